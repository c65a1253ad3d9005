"""Batches of the SDKs through the relay: flushes, their callbacks, and the largest that there are."""

from __future__ import annotations

import pytest

from sdk.relay.arrivals import arrivals
from sdk.relay.conftest import Start
from sdk.relay.house import House
from sdk.relay.plans import everything
from sdk.relay.sdks import BATCHING, Sdk

_MOST = 5_000

pytestmark = pytest.mark.parametrize("sdk", BATCHING, ids=lambda sdk: sdk.title)


def test_a_flush_says_the_same(sdk: Sdk, house: House, start: Start) -> None:
    """A flush and its callback tell of the relay what they tell of VWO."""
    account, plan = house.account(), everything(sdk.generation)
    steps = [*plan.steps, ["flush"]]

    told = []
    for url in (house.direct.url, house.url):
        running = start(sdk, url, account, steps, events=100, seconds=600)
        running.wait_for_told("flush")
        running.wait_for_told("callback")
        told.append((running.all_told("flush"), running.all_told("callback")))

    running.wait_until(
        lambda: len(arrivals(house.vwo, account)) >= len(plan.kinds), what="all events"
    )
    direct, relayed = told
    assert relayed == direct
    assert relayed[1] == [{"error": None, "events": len(plan.kinds)}]
    assert [each.item for each in arrivals(house.vwo, account)] == [
        each.item for each in arrivals(house.direct, account)
    ]


def test_the_largest_batch_arrives_whole(sdk: Sdk, house: House, start: Start) -> None:
    """5,000 events of one request arrive, each once."""
    account = house.account()
    event = {
        "fme": ["event", "purchase", {"id": "user-#"}, {"n": "#"}],
        "legacy": ["tag", "n", "value #", "user-#"],
    }[sdk.generation]
    steps = [["times", _MOST, event]]
    before = house.vwo.stats().events

    running = start(sdk, house.url, account, steps, events=_MOST, seconds=600)
    running.wait_until(
        lambda: house.vwo.stats().events >= before + _MOST, timeout_seconds=60, what="all events"
    )

    came = arrivals(house.vwo, account)
    assert (len(came), len({each.item for each in came})) == (_MOST, _MOST)
    assert running.all_told("callback") == [{"error": None, "events": _MOST}]
