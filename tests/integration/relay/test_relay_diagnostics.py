"""The SDKs' reports on themselves: sent on in the background, put on the queue, or thrown away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.relays import ACCOUNT, EVENT, KEY, all_stored, relaying, stored
from tools.waiting import wait_until
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.destinations import Destination
from vwo_celery.events import wrap
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.relay.passing import diagnostics
from vwo_celery.relay.telling.counts import counted
from vwo_celery.sending import forwarding
from vwo_celery.sending.forwarding import Forwarder
from vwo_celery.settings import Settings
from vwo_celery.testing import Fault, Standin

FOLDER = Path(__file__).parents[2] / "data" / "captures" / "relay"
DEBUG = f"/events/t?en=vwo_sdkDebug&a={ACCOUNT}&eTime=1&p=FS&sn=vwo-fme-node-sdk&env={KEY}"
STATISTICS = "/eu01/events/t?en=vwo_sdkUsageStats&a=1000001&eTime=1&p=FS&sn=wingify-fme-python-sdk"
ACCOUNTS = {ACCOUNT: [KEY]}

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups", "leases"
)


def report(name: str, **meta: Any) -> bytes:
    """The body of a report."""
    event = {"props": {"vwoMeta": meta}, "name": name, "time": 1}
    return json.dumps({"d": {"msgId": "é", "event": event}}, ensure_ascii=False).encode()


OWN_STATISTICS = report("vwo_sdkUsageStats", a=int(ACCOUNT), env=KEY, lv="v20")


@pytest.fixture
def vwo() -> Iterator[Standin]:
    """A stand-in that knows the account."""
    with Standin(accounts={ACCOUNT: KEY}) as server:
        yield server


@pytest.fixture
def outcomes() -> Iterator[Counter[str]]:
    """What became of reports since the test began, once it has ended or is looked at."""
    before = counted.reports.copy()
    counted.reports.clear()
    yield counted.reports
    counted.reports.update(before)


# -- sent on


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*sdkDebug*")))
def test_a_report_is_sent_on_as_it_came(
    name: str, vwo: Standin, redis_url: str, outcomes: Counter[str]
) -> None:
    """Target and body reach VWO byte for byte; nothing of it is stored."""
    capture = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    with relaying(redis_url, relay_upstream=vwo.url, accounts=ACCOUNTS) as relay:
        answer = relay.post(capture["target"], capture["body_text"].encode())
        wait_until(lambda: outcomes["forwarded"], what="the report is sent on")

    assert (answer.status, answer.body) == (200, b'{"status":"success"}')
    (sent,) = vwo.singles
    assert (sent.target, sent.body) == (capture["target"], capture["body_text"].encode())
    assert sent.header("Authorization") is None
    assert all_stored(redis_url) == []


@pytest.mark.parametrize("more", ["", f"&env={KEY}"], ids=["without a key", "with its key"])
def test_usage_statistics_of_an_allowed_account_are_sent_on(
    more: str, vwo: Standin, redis_url: str, outcomes: Counter[str]
) -> None:
    """They go to another account, without a key in the query, or with the sender's, as Python's 1.65
    sends them; whose they are says the report.
    """
    with relaying(redis_url, relay_upstream=vwo.url, accounts=ACCOUNTS) as relay:
        assert relay.post(STATISTICS + more, OWN_STATISTICS).status == 200
        wait_until(lambda: outcomes["forwarded"], what="the report is sent on")

    (sent,) = vwo.singles
    assert (sent.target, sent.body) == (STATISTICS + more, OWN_STATISTICS)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (STATISTICS, report("vwo_sdkUsageStats", a=int(ACCOUNT), env="another")),
        (STATISTICS, report("vwo_sdkUsageStats", a=777777, env=KEY)),
        (STATISTICS, report("vwo_sdkUsageStats")),
        (f"{STATISTICS}&env=another", OWN_STATISTICS),
        (f"{STATISTICS}&env={KEY}", report("vwo_sdkUsageStats", a=int(ACCOUNT), env="another")),
        (STATISTICS, b'{"d":{"event":{"name":"vwo_sdkUsageStats","props":5}}}'),
        (STATISTICS, report("purchase", a=int(ACCOUNT), env=KEY)),
        (STATISTICS.replace("1000001", "a/b"), OWN_STATISTICS),
        (DEBUG.replace(ACCOUNT, "777777"), report("vwo_sdkDebug")),
        (DEBUG.replace(f"&env={KEY}", ""), report("vwo_sdkDebug", a=int(ACCOUNT), env=KEY)),
        (DEBUG, report("purchase")),
        (f"{DEBUG}&a=777777", report("vwo_sdkDebug")),
        (DEBUG, b"[]"),
    ],
)
@pytest.mark.parametrize("mode", ["forward", "queue", "drop"])
def test_the_relay_is_no_open_proxy(
    target: str, body: bytes, mode: str, vwo: Standin, redis_url: str, outcomes: Counter[str]
) -> None:
    """A report of somebody who may not send, or another event in its name, goes nowhere."""
    settings = {"relay_upstream": vwo.url, "relay_diagnostics": mode}
    with relaying(redis_url, accounts=ACCOUNTS, **settings) as relay:
        assert relay.post(target, body).status == 400
        assert relay.post(DEBUG, report("vwo_sdkDebug")).status == 200  # goes after any before it
        wait_until(lambda: sum(outcomes.values()) == 1, what="the allowed report is done with")

    assert [sent.body for sent in vwo.singles] == [report("vwo_sdkDebug")] * (mode == "forward")
    assert len(all_stored(redis_url)) == (mode == "queue")


def test_no_event_waits_for_a_report(vwo: Standin, redis_url: str, outcomes: Counter[str]) -> None:
    """While VWO leaves a report without an answer, reports and events are answered; the relay ends."""
    vwo.fail_singles(Fault(connection="hang"))
    with relaying(redis_url, relay_upstream=vwo.url, accounts=ACCOUNTS) as relay:
        assert relay.post(DEBUG, report("vwo_sdkDebug", n=1)).status == 200
        wait_until(lambda: vwo.singles, what="the first report hangs")
        for n in range(forwarding.MOST_WAITING + 3):
            assert relay.post(DEBUG, report("vwo_sdkDebug", n=n)).status == 200
        assert relay.post(EVENT, b'{"d":{"event":{}}}').status == 200

    assert all_stored(redis_url) == [b'{"d":{"event":{}}}']
    assert len(vwo.singles) == 1
    assert outcomes["full"] == 3
    assert outcomes["ended"] == forwarding.MOST_WAITING


def test_a_report_that_vwo_does_not_take_is_counted(
    vwo: Standin, redis_url: str, outcomes: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It is not tried again; the log says so, without the key."""
    vwo.fail_singles(500)
    with relaying(redis_url, relay_upstream=vwo.url, accounts=ACCOUNTS) as relay:
        assert relay.post(DEBUG, report("vwo_sdkDebug")).status == 200
        wait_until(lambda: outcomes["failed"], what="the attempt has failed")

    assert len(vwo.singles) == 1
    assert all(KEY not in record.getMessage() for record in caplog.records)


def test_a_huge_report_is_thrown_away(vwo: Standin, redis_url: str, outcomes: Counter[str]) -> None:
    """It is answered as any other, so that its SDK does not send it again."""
    body = report("vwo_sdkDebug", msg="x" * diagnostics.MOST_REPORT_BYTES)
    with relaying(redis_url, relay_upstream=vwo.url, accounts=ACCOUNTS) as relay:
        assert relay.post(DEBUG, body).status == 200

    assert (outcomes, vwo.singles) == (Counter(too_large=1), [])


# -- the other choices


def test_a_report_can_go_through_the_queue(
    vwo: Standin, redis_url: str, outcomes: Counter[str]
) -> None:
    """Both kinds are single requests of the sender's own queue, and reach VWO as they came."""
    settings = {"relay_upstream": vwo.url, "relay_diagnostics": "queue"}
    with relaying(redis_url, accounts=ACCOUNTS, **settings) as relay:
        assert relay.post(DEBUG.replace("/ev", "/eu01/ev", 1), report("vwo_sdkDebug")).status == 200
        assert relay.post(STATISTICS.replace("wingify", "vwo"), OWN_STATISTICS).status == 200
    (destination,) = stored(redis_url)
    settings = Settings(redis_url=redis_url, allowed_hosts=[vwo.netloc])
    fleet = Fleet(redis_py.Redis.from_url(redis_url), "vwo")
    deliver(Worker(fleet, settings, lambda wakeup: None), Wakeup(destination.queue, 0, ""))

    assert (destination.generation, destination.account_id) == ("single", ACCOUNT)
    assert [sent.body for sent in vwo.singles] == [report("vwo_sdkDebug"), OWN_STATISTICS]
    assert {sent.status for sent in vwo.singles} == {200}
    assert outcomes == Counter(queued=2)


def test_a_report_can_be_thrown_away(vwo: Standin, redis_url: str, outcomes: Counter[str]) -> None:
    """It is answered 200, and counted."""
    settings = {"relay_upstream": vwo.url, "relay_diagnostics": "drop"}
    with relaying(redis_url, accounts=ACCOUNTS, **settings) as relay:
        assert relay.post(DEBUG, report("vwo_sdkDebug")).status == 200

    assert (outcomes, vwo.singles, all_stored(redis_url)) == (Counter(switched_off=1), [], [])


def test_a_report_inside_a_batch_stays_there(redis_url: str) -> None:
    """Node 1.35 puts its reports into the batch: they are events of it like others."""
    capture = json.loads((FOLDER / "node_new_fme_batch__batch.json").read_text("utf-8"))
    with relaying(redis_url, accounts=ACCOUNTS) as relay:
        assert relay.post(capture["target"], capture["body_text"].encode()).status == 200

    assert sum(b"vwo_sdkDebug" in event for event in all_stored(redis_url)) == 1


# -- the forwarder by itself


def test_it_sends_to_no_host_that_is_not_allowed(vwo: Standin) -> None:
    """Only VWO's hosts and those that were named are connected to."""
    told: Counter[str] = Counter()
    to = Destination(account_id=ACCOUNT, sdk_key=KEY, generation="single", base_url=vwo.url)
    forwarder = Forwarder(lambda outcome: told.update([outcome]), ["gateway.example"])

    taken = forwarder.forward(to, wrap("/events/t", {}, b"{}", account_id=ACCOUNT, sdk_key=KEY))
    wait_until(lambda: told, what="it has been tried")
    forwarder.end(5)

    assert (taken, told, vwo.requests) == (True, Counter(failed=1), [])
    assert not forwarder.forward(to, b"{}")
    assert told["ended"] == 1


def test_what_waits_has_a_bound_in_bytes(vwo: Standin) -> None:
    """Large reports fill the memory before their number does."""
    told: Counter[str] = Counter()
    vwo.fail_singles(Fault(connection="hang"))
    to = Destination(account_id=ACCOUNT, sdk_key=KEY, generation="single", base_url=vwo.url)
    body = b'{"d":"%b"}' % (b"x" * (forwarding.MOST_WAITING_BYTES // 2))
    event = wrap("/events/t?en=x", {}, body, account_id=ACCOUNT, sdk_key=KEY)
    forwarder = Forwarder(lambda outcome: told.update([outcome]), [vwo.netloc])

    forwarder.forward(to, event)
    wait_until(lambda: vwo.singles, what="the first one hangs")
    taken = [forwarder.forward(to, event) for _ in range(3)]
    forwarder.end(0)
    vwo.stop()
    wait_until(lambda: told["failed"], what="the connection of the first one has ended")

    assert taken == [True, False, False]
    assert told == Counter(full=2, ended=1, failed=1)
