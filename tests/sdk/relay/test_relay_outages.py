"""The relay goes and comes back, VWO goes and comes back: what the SDKs have sent arrives."""

from __future__ import annotations

import pytest

from sdk.relay.arrivals import arrivals, count, kinds
from sdk.relay.closed_door import ClosedDoor
from sdk.relay.conftest import Start
from sdk.relay.house import House
from sdk.relay.plans import some
from sdk.relay.sdks import NODE_LEGACY_OLD, SDKS, Sdk
from vwo_celery.testing import free_port

#: The SDKs repeat after 2, 4 and 8 seconds, the legacy one of Python after 6 and 12.
_LONGEST_REPEAT_SECONDS = 30.0


#: Every SDK, with batching and without; a gateway has none.
_WAYS = [(sdk, batched) for sdk in SDKS for batched in (False, True) if sdk.batches or not batched]
#: Node's 1.70.1 repeats batches, and single events not at all.
_REPEATING = [way for way in _WAYS if way != (NODE_LEGACY_OLD, False)]


def _name(value: Sdk | bool) -> str:
    return value.title if isinstance(value, Sdk) else ("single", "batched")[value]


@pytest.mark.parametrize(("sdk", "batched"), _REPEATING, ids=_name)
def test_what_is_sent_while_the_relay_is_away_arrives_later(
    sdk: Sdk, batched: bool, house: House, start: Start
) -> None:
    """What an SDK repeats arrives, all of it."""
    account, plan, port = house.account(), some(sdk.generation), free_port()
    batch = {"events": len(plan.kinds), "seconds": 600} if batched else {}
    with house.make_relay(port) as relay:
        relay.wait_for_port(port)
        running = start(sdk, house.at(port), account, [["gate"], *plan.steps], **batch)
        running.wait_for_told("gate")

    with ClosedDoor(port) as door:
        running.go_on()
        running.wait_until(lambda: door.knocks, what="an attempt")
    with house.make_relay(port):
        running.wait_until(
            lambda: len(arrivals(house.vwo, account)) >= len(plan.kinds),
            _LONGEST_REPEAT_SECONDS,
            what="all events",
        )

    assert kinds(house.vwo, account) == plan.kinds
    assert house.disagreements() == []


@pytest.mark.parametrize(("sdk", "batched"), _WAYS, ids=_name)
def test_no_sdk_notices_that_vwo_is_away(
    sdk: Sdk, batched: bool, house: House, start: Start
) -> None:
    """The relay answers as ever, the events are kept, and arrive when VWO is back."""
    account, plan = house.account(), some(sdk.generation)
    batch = {"events": len(plan.kinds), "seconds": 600} if batched else {}
    running = start(sdk, house.url, account, [["gate"], *plan.steps], **batch)
    running.wait_for_told("gate")

    house.vwo.stop()
    try:
        running.go_on()
        running.wait_for_told("callback" if batch else "done")
        running.wait_until(lambda: house.stored(account) == len(plan.kinds), what="all stored")
        assert count(house.vwo, account) == 0
    finally:
        house.vwo.start()
    running.wait_until(
        lambda: len(arrivals(house.vwo, account)) >= len(plan.kinds), what="all events"
    )

    assert kinds(house.vwo, account) == plan.kinds
    assert running.all_told("callback") == [{"error": None, "events": len(plan.kinds)}] * bool(
        batch
    )
    assert "ERROR" not in running.log()


@pytest.mark.parametrize("sdk", SDKS, ids=_name)
def test_an_sdk_starts_while_vwo_is_away(sdk: Sdk, house: House, start: Start) -> None:
    """The relay has the settings from the SDK that asked before; events arrive when VWO is back."""
    account, plan = house.account(), some(sdk.generation)
    start(sdk, house.url, account, []).wait_for_told("done")

    house.vwo.stop()
    try:
        running = start(sdk, house.url, account, plan.steps)
        running.wait_for_told("done")
        running.wait_until(lambda: house.stored(account) == len(plan.kinds), what="all stored")
    finally:
        house.vwo.start()
    running.wait_until(
        lambda: len(arrivals(house.vwo, account)) >= len(plan.kinds), what="all events"
    )

    assert kinds(house.vwo, account) == plan.kinds
    assert "ERROR" not in running.log()
