"""SDKs get their settings through the relay: fresh where VWO answers, and copies where it does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.relays import ACCOUNT, KEY, LONGEST_WAIT_SECONDS, RelayServer, relaying
from tools.waiting import wait_until
from vwo_celery.copies import Asked
from vwo_celery.queue.records.copies import FRESH_MS, KEPT_MS, MOST_COPIES
from vwo_celery.queue.words.keys import copy_keys
from vwo_celery.relay import counts
from vwo_celery.relay.passing.settings_files import host_of
from vwo_celery.relay.reading.request import Request
from vwo_celery.testing import Fault, RedisServer, Standin, free_port

LEGACY = f"/server-side/settings?a={ACCOUNT}&i={KEY}&platform=server&sdk=vwo-node-sdk&sdk-v=1.73.0"
FME = f"/server-side/v2-settings?i={KEY}&a={ACCOUNT}&sn=vwo-fme-go-sdk&sv=1.60.0&api-version=3"
PULL = FME.replace("v2-settings", "v2-pull")

pytestmark = pytest.mark.declared_keys("settings", "refresh")


@pytest.fixture
def documents(captures: Path) -> dict[str, Any]:
    """Settings of each generation."""
    names = {"settings": "settings_legacy", "fme_settings": "settings_fme"}
    return {
        name: json.loads((captures / f"{file}.json").read_text("utf-8"))
        for name, file in names.items()
    }


@pytest.fixture
def vwo(documents: dict[str, Any]) -> Iterator[Standin]:
    """VWO, with settings of the account."""
    with Standin(accounts={ACCOUNT: KEY}, **documents) as standin:
        yield standin


@pytest.fixture
def relay(redis_url: str, vwo: Standin) -> Iterator[RelayServer]:
    """A relay that takes everybody's requests, in front of it."""
    with relaying(redis_url, relay_upstream=vwo.url) as relay:
        yield relay


@pytest.fixture
def age(redis: redis_py.Redis, vwo: Standin) -> Callable[..., None]:
    """Make the copies of the account older, by Redis' time."""
    return lambda by_ms: make_older(redis, vwo, by_ms)


def make_older(redis: redis_py.Redis, vwo: Standin, by_ms: int) -> None:
    """Make the copies of the account older, by Redis' time."""
    asked = Asked(vwo.url, "", "", ACCOUNT, KEY, "")
    key = copy_keys("vwo", asked.name.owner, "")[0]
    index = redis.hget(key, "index")
    assert index is not None
    copies = [each.split() for each in index.decode().split(";")[:-1]]
    redis.hset(
        key,
        "index",
        "".join(f"{n} {int(at) - by_ms} {int(due) - by_ms};" for n, at, due in copies),
    )


# -- what an SDK gets


@pytest.mark.parametrize(
    ("target", "document"),
    [
        (LEGACY, "settings"),
        (LEGACY.replace("settings", "pull", 1), "settings"),
        (FME, "fme_settings"),
        (PULL, "fme_settings"),
        ("/eu01" + FME, "fme_settings"),
        ("/eu01" + LEGACY, "settings"),
    ],
)
def test_an_sdk_gets_vwos_bytes(
    relay: RelayServer, vwo: Standin, documents: dict[str, Any], target: str, document: str
) -> None:
    """Each path, also after a region, is answered with VWO's bytes; VWO sees the same target."""
    answer = relay.get(f"{target}&r=0.25")

    assert (answer.status, json.loads(answer.body)) == (200, documents[document])
    assert answer.headers["content-type"] == "application/json"
    assert "x-vwo-celery" not in answer.headers
    assert [request.target for request in vwo.fetches] == [f"{target}&r=0.25"]


def test_a_fresh_copy_spares_vwo_the_request(relay: RelayServer, vwo: Standin) -> None:
    """For a minute VWO is asked once, whatever `r` is, in whatever order, region or not."""
    answers = [relay.get(f"{FME}&r={i}").body for i in range(3)]
    path, _, query = FME.partition("?")
    turned = f"/eu01{path}?r=9&{'&'.join(reversed(query.split('&')))}"
    answers.append(relay.get(turned).body)

    assert len(set(answers)) == len(vwo.fetches) == 1


@pytest.mark.parametrize(
    "other", [FME.replace("1.60.0", "1.61.0"), FME.replace("version=3", "version=1"), LEGACY]
)
def test_whoever_asks_otherwise_gets_an_answer_of_its_own(
    relay: RelayServer, vwo: Standin, other: str
) -> None:
    """VWO's answer depends on the SDK, its version and the interface's: so do the copies."""
    relay.get(FME)
    relay.get(other)

    assert [request.target for request in vwo.fetches] == [FME, other]


@pytest.mark.parametrize(
    "target",
    [
        FME.replace(KEY, "c" * 32),
        FME.replace(ACCOUNT, "7"),
        FME.replace(f"i={KEY}&", ""),
        f"{FME}&a=7",
        f"{FME}&%61=7",
    ],
)
def test_others_get_none(redis_url: str, vwo: Standin, target: str) -> None:
    """Only an account and key of the list get settings; a query that names two accounts gets none."""
    with relaying(redis_url, accounts={ACCOUNT: [KEY]}, relay_upstream=vwo.url) as relay:
        assert relay.get(FME).status == 200
        answer = relay.get(target)

    assert answer.status == 400
    assert KEY.encode() not in answer.body
    assert len(vwo.fetches) == 1


def test_a_page_gets_settings_if_its_origin_may(redis_url: str, vwo: Standin) -> None:
    """The SDKs for browsers fetch their settings across origins; HEAD and POST are no ways to them."""
    origin = {"Origin": "https://shop.example"}
    with relaying(
        redis_url, relay_upstream=vwo.url, relay_allowed_origins=["https://shop.example"]
    ) as relay:
        preflight, answer = relay.get(FME, origin, "OPTIONS"), relay.get(FME, origin)

        assert (preflight.status, answer.status) == (204, 200)
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert relay.get(FME, method="HEAD").status == 405
        assert relay.post(FME, b"{}").status == 405


# -- while VWO is away


def test_settings_are_served_while_vwo_is_away_after_a_restart(
    redis_url: str, vwo: Standin, age: Callable[..., None]
) -> None:
    """SDKs start while VWO is away, also through a relay that was started meanwhile."""
    with relaying(redis_url, relay_upstream=vwo.url) as relay:
        fresh = relay.get(FME)
    vwo.stop()
    age(FRESH_MS + 60_000)

    with relaying(redis_url, relay_upstream=vwo.url) as relay:
        stale = relay.get(FME)

    assert (stale.status, stale.body) == (200, fresh.body)
    assert stale.headers["content-type"] == fresh.headers["content-type"]
    assert stale.headers["x-vwo-celery"] == "stale"
    assert 120 <= int(stale.headers["age"]) <= 180


@pytest.mark.parametrize(
    "fault",
    [
        500, 503, 429, 403, 302, "reset", "cut",
        Fault(status=200, body=b"<html>"), Fault(status=200, body=b"[]"), Fault(status=200, body=b"{}"),
        Fault(body=b'{"accountId": 7}'), Fault(body=b"x" * 5_000_001),
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_that_is_no_settings_of_the_account_is_worth_nothing(
    relay: RelayServer, vwo: Standin, age: Callable[..., None], fault: Any
) -> None:
    """Whatever else VWO answers is neither kept nor handed on: SDKs get the copy, or 503 without one."""
    vwo.fail_fetches(fault)
    without = relay.get(FME)
    wait_until(lambda: relay.get(FME).status == 200, what="VWO is asked again")
    age(FRESH_MS)
    vwo.fail_fetches(fault)
    wait_until(lambda: "age" in (stale := relay.get(FME)).headers and stale, what="it is due")

    assert (without.status, without.headers["retry-after"]) == (503, "2")
    assert json.loads(relay.get(FME).body)["accountId"] == int(ACCOUNT)


def test_an_old_copy_is_not_waited_for_long(
    relay: RelayServer, vwo: Standin, age: Callable[..., None]
) -> None:
    """A VWO that hangs keeps an SDK with an old copy waiting for a moment only."""
    relay.get(FME)
    age(FRESH_MS)
    vwo.fail_fetches("hang")
    stale = wait_stale(relay)

    assert stale.status == 200


def wait_stale(relay: RelayServer) -> Any:
    """An answer from a copy that is due; the copy in memory is trusted for a moment before."""
    found: list[Any] = []

    def is_stale() -> bool:
        found.append(relay.get(FME))
        return "x-vwo-celery" in found[-1].headers

    wait_until(is_stale, what="an answer that is stale")
    return found[-1]


def test_after_a_week_there_are_no_settings(
    redis_url: str, vwo: Standin, age: Callable[..., None]
) -> None:
    """A copy is used for seven days, by Redis' time, and then no more."""
    with relaying(redis_url, relay_upstream=vwo.url) as relay:
        relay.get(FME)
    vwo.stop()
    age(KEPT_MS - 60_000)
    with relaying(redis_url, relay_upstream=vwo.url) as relay:
        almost = relay.get(FME)
    age(60_000)
    with relaying(redis_url, relay_upstream=vwo.url) as relay:
        after = relay.get(FME)

    assert (almost.status, after.status) == (200, 503)
    assert json.loads(after.body)["message"].startswith("VWO gives no settings")


def test_a_refusal_is_handed_on_and_remembered(relay: RelayServer, vwo: Standin) -> None:
    """VWO's 400 for a wrong key is handed on in its words, and asked for once in some seconds."""
    wrong = FME.replace(KEY, "c" * 32)
    answers = [relay.get(wrong) for _ in range(3)]

    assert [answer.status for answer in answers] == [400, 400, 400]
    assert json.loads(answers[-1].body) == {"message": "Invalid api key"}
    assert len(vwo.fetches) == 1


# -- one request for all


def test_two_relays_make_one_request(
    redis_url: str, vwo: Standin, age: Callable[..., None]
) -> None:
    """Of two relays with many SDKs each, one fetches a copy that is missing, and one that is due."""
    with (
        relaying(redis_url, relay_upstream=vwo.url) as one,
        relaying(redis_url, relay_upstream=vwo.url) as two,
    ):
        vwo.fail_fetches(Fault(delay_seconds=0.3))
        first = together([one, two] * 4)
        age(FRESH_MS)
        wait_until(lambda: len(vwo.fetches) == 2 or not together([one, two]), what="it is due")
        together([one, two] * 4)

    assert {answer.status for answer in first} == {200}
    assert len(vwo.fetches) == 2


def together(relays: list[RelayServer]) -> list[Any]:
    """Ask relays for the same settings at the same time."""
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda relay=relay: answers.append(relay.get(FME)))
        for relay in relays
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(relays)
    return answers


# -- pulls


def test_a_pull_asks_vwo_and_renews_all_copies(
    relay: RelayServer, redis_url: str, vwo: Standin, documents: dict[str, Any]
) -> None:
    """After VWO's webhook SDKs get the new settings at once, also others, and through other relays."""
    other = FME.replace("1.60.0", "1.61.0")
    with relaying(redis_url, relay_upstream=vwo.url) as second:
        relay.get(FME)
        second.get(other)
        vwo.fme_settings = documents["fme_settings"] | {"version": 2}

        pulled = json.loads(relay.get(PULL).body)["version"]

        assert pulled == json.loads(relay.get(FME).body)["version"] == 2
        wait_until(
            lambda: json.loads(second.get(FME).body)["version"] == 2, what="the other relay knows"
        )
        wait_until(
            lambda: json.loads(second.get(other).body)["version"] == 2, what="the other copy is new"
        )
    assert len(vwo.fetches) == 4


def test_a_pull_has_no_copy(relay: RelayServer, vwo: Standin) -> None:
    """A pull is never answered from a copy: old settings are what it is not for."""
    relay.get(FME)
    vwo.fail_fetches(503)

    assert relay.get(PULL).status == 503
    assert relay.get(FME).status == 200


# -- without Redis


def test_without_redis_vwo_is_asked_and_memory_serves(documents: dict[str, Any]) -> None:
    """While Redis is away SDKs get settings from VWO, and then from this process' memory."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    with (
        Standin(accounts={ACCOUNT: KEY}, **documents) as vwo,
        relaying(away, relay_upstream=vwo.url) as relay,
    ):
        first = relay.get(FME)
        vwo.stop()
        second = relay.get(FME)

    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body


def test_without_redis_a_relay_makes_one_request(documents: dict[str, Any]) -> None:
    """While Redis is away SDKs that start at once share one request of their relay."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    asked, may_answer = threading.Semaphore(0), threading.Event()

    def hold(_: Any) -> None:
        asked.release()
        may_answer.wait(LONGEST_WAIT_SECONDS)

    with (
        Standin(fetch_faults=hold, **documents) as vwo,
        relaying(away, relay_upstream=vwo.url) as relay,
    ):
        threads = [threading.Thread(target=together, args=([relay] * 2,)) for _ in range(2)]
        threads[0].start()
        assert asked.acquire(timeout=LONGEST_WAIT_SECONDS)
        before = counts()["requests"]
        threads[1].start()
        wait_until(lambda: counts()["requests"] >= before + 2, what="others ask, too")
        relay.get("/healthz")  # a step of the loop later
        may_answer.set()
        for thread in threads:
            thread.join()

        assert len(vwo.fetches) == 1


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("wingify-fme-php-sdk", "edge.wingify.net"),
        ("vwo-fme-php-sdk", "dev.visualwebsiteoptimizer.com"),
        ("", "dev.visualwebsiteoptimizer.com"),
    ],
)
def test_an_sdks_own_host_is_asked(name: str, host: str) -> None:
    """Without an upstream that host is asked from which the SDK would fetch its settings."""
    query = f"a={ACCOUNT}&i={KEY}&sn={name}".encode()
    scope = {"method": "GET", "path": "/server-side/v2-settings", "query_string": query}

    assert host_of(Request({**scope, "headers": []}, b"")) == host


def test_redis_is_used_again(documents: dict[str, Any]) -> None:
    """A relay that lost Redis keeps its copies there once it is back."""
    with (
        RedisServer() as server,
        Standin(**documents) as vwo,
        relaying(server.url, relay_upstream=vwo.url) as relay,
    ):
        server.stop()
        assert relay.get(FME).status == 200
        server.start()
        wait_until(lambda: bool(_kept(relay, server)), what="a copy is in Redis")


def test_a_full_redis_neither_hides_what_memory_has_nor_sends_each_to_vwo(
    documents: dict[str, Any],
) -> None:
    """Where Redis takes no copy, its old one is not preferred to memory's, and VWO is asked seldom."""
    changed = {**documents["fme_settings"], "version": 77}
    with RedisServer() as server, Standin(**documents) as vwo:
        with relaying(server.url, relay_upstream=vwo.url) as relay:
            relay.get(FME)
        vwo.fme_settings = changed
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        make_older(client, vwo, 2 * FRESH_MS)
        client.config_set("maxmemory", 1)
        client.close()
        with relaying(server.url, relay_upstream=vwo.url) as relay:
            answers = [relay.get(FME) for _ in range(3)]
            asked = len(vwo.fetches)
            vwo.stop()
            wait_until(
                lambda: answers.append(relay.get(FME)) or "age" in answers[-1].headers,
                what="a copy that is not sure",
            )

    assert [json.loads(answer.body) for answer in answers] == [changed] * len(answers)
    assert asked == 2


def _kept(relay: RelayServer, server: RedisServer) -> list[bytes]:
    relay.get(LEGACY)
    relay.get(PULL)
    client: redis_py.Redis = redis_py.Redis.from_url(server.url)
    try:
        return client.keys("vwo:1:settings:*")
    finally:
        client.close()


# -- bounds


def test_queries_without_end_fill_neither_redis_nor_memory(
    relay: RelayServer, redis: redis_py.Redis, vwo: Standin
) -> None:
    """Copies of one account and key are bounded; those in use stay, and everybody gets an answer."""
    relay.get(FME)
    for i in range(MOST_COPIES + 5):
        assert relay.get(f"{FME}&unknown={i}").status == 200
    asked = len(vwo.fetches)
    relay.get(FME)

    keys = redis.keys("vwo:1:settings:*")
    assert [redis.hlen(key) for key in keys] == [MOST_COPIES + 2]
    assert len(vwo.fetches) == asked


def test_nothing_shows_a_key(
    relay: RelayServer, redis: redis_py.Redis, vwo: Standin, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a name in Redis nor a line of the log holds an SDK key."""
    vwo.fail_fetches(503, None)
    relay.get(FME)
    wait_until(lambda: relay.get(FME).status == 200, what="VWO is asked again")

    assert "cannot be fetched: answer 503" in caplog.text
    assert KEY not in caplog.text
    assert not any(KEY.encode() in name for name in redis.keys("*"))


def test_the_relay_counts_what_sdks_get(relay: RelayServer) -> None:
    """Counts tell fresh settings from others."""
    before = counts()["settings"].get("fresh", 0)
    relay.get(FME)

    assert counts()["settings"]["fresh"] == before + 1
