"""SDKs get their settings through the relay while VWO is away: copies, for a week."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tools.relays import ACCOUNT, KEY, RelayServer, relaying
from tools.settings_files import FME
from tools.waiting import wait_until
from vwo_celery.queue.records.copies import FRESH_MS, KEPT_MS
from vwo_celery.testing import Fault, Standin

pytestmark = pytest.mark.declared_keys("settings", "refresh")


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
