"""append.lua: the usual single event by the shortest way; all else is left to enqueue.lua."""

from __future__ import annotations

from typing import Any

import pytest
from lua.world import LIMITS, World
from msgspec.structs import replace

from vwo_celery import store
from vwo_celery.marks import Mark
from vwo_celery.store import Limits

MARK = "mark:m"
NINE = b"123456789"  # ten bytes with its separator


def begun(world: World, **changes: Any) -> dict[str, Any]:
    """A shard that the sweep knows, with one event of ten bytes in its open list."""
    counts = {"open_events": 1, "open_bytes": 10, "events": 1, "bytes": 10, "accepted": 1}
    return {"watched": 1, **counts, "first_ms": world.at(-9_000), **changes}


def mark(sequence: int = 1) -> Mark:
    """A producer's mark, raised for its next push."""
    return Mark("m", sequence)


def test_an_event_between_others_is_stored(world: World) -> None:
    """It is behind the others, counted, and its push is remembered; the timer goes on."""
    world.given(meta=begun(world), open=[NINE])

    stored = world.call(world.shard.append, mark(), b"2")

    assert stored is True
    assert world.changes() == {
        "open": [NINE, b"2"],
        "meta": {"open_events": 2, "open_bytes": 12, "events": 2, "bytes": 12, "accepted": 2},
        MARK: b"1",
    }
    assert 60_000 < world.client.pttl(world.shard.keys.mark("m")) <= 3_600_000


def test_an_event_that_fills_a_batch_to_its_bytes_is_stored(world: World) -> None:
    """Up to the limit itself nothing has to be sealed."""
    world.given(limits=replace(LIMITS, batch_bytes=20), meta=begun(world), open=[NINE])

    stored = world.call(world.shard.append, mark(), NINE)

    assert stored is True


def test_the_last_event_that_a_queue_has_room_for_is_stored(world: World) -> None:
    """A queue may be filled to its capacity."""
    limits = replace(LIMITS, capacity_events=2, capacity_bytes=20)
    world.given(limits=limits, meta=begun(world), open=[NINE])

    stored = world.call(world.shard.append, mark(), NINE)

    assert stored is True


@pytest.mark.parametrize(
    ("limits", "changes"),
    [
        (LIMITS, {"open_events": 0}),  # it opens a list, and starts a timer
        (LIMITS, {"open_events": 2}),  # it fills the batch
        (replace(LIMITS, events_per_request=1), {}),  # the limit was lowered
        (replace(LIMITS, batch_bytes=19), {}),  # it does not fit into the batch
        (replace(LIMITS, capacity_events=1), {}),  # the queue is full
        (replace(LIMITS, capacity_bytes=19), {}),
        (LIMITS, {"mixed": 1}),  # another program has pushed as well
    ],
)
def test_what_is_unusual_is_left_alone(
    world: World, limits: Limits, changes: dict[str, Any]
) -> None:
    """Whatever takes a seal, a timer or a refusal is not done here: nothing changes."""
    world.given(limits=limits, meta=begun(world, **changes), open=[NINE])

    stored = world.call(world.shard.append, mark(), NINE)

    assert stored is False
    assert world.changes() == {}


@pytest.mark.parametrize("missing", ["watched", "events_per_request"])
def test_a_shard_that_must_be_made_known_is_left_alone(world: World, missing: str) -> None:
    """A shard without limits, or that the sweep does not know, takes a producer's help."""
    world.given(meta=begun(world), open=[NINE])
    world.client.hdel(world.shard.keys.meta, missing)

    stored = world.call(world.shard.append, mark(), NINE)

    assert stored is False
    assert world.changes() == {}


@pytest.mark.parametrize("sequence", [6, 7])
def test_a_repeat_stores_nothing(world: World, sequence: int) -> None:
    """The same push again is left to the general way, which knows it too and stores nothing."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta=begun(world), open=[NINE])
    world.shard.append(mark(7), b"2")

    stored = world.call(world.shard.append, mark(sequence), b"2")
    changes = world.changes()
    pushed = world.push(mark(sequence), b"2")

    assert stored is False
    assert changes == {}
    assert pushed.code == store.DUPLICATE
    assert world.changes() == {}


def test_both_ways_share_their_marks(world: World) -> None:
    """A push that went the general way is not stored again by the short one."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta=begun(world), open=[NINE])
    world.shard.push(world.shard.push_command(mark(7), [b"2"], 2))

    stored = world.call(world.shard.append, mark(7), b"2")

    assert stored is False
    assert world.changes() == {}
