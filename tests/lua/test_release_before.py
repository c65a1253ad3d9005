"""What append.lua stored, where scripts of 0.1.0 that know nothing of its room come in between.

`test_mixed_model.py` lets both come in any order; here each case that needs care has its own test.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lua.pushing import NINE, given_mark, mark, next_mark
from lua.release_before import ShardBefore
from lua.world import LIMITS, Line, World
from vwo_celery.queue.handling.moving import Heading, depart

MANY = replace(LIMITS, events_per_request=9)


def begun(world: World) -> ShardBefore:
    """A list of one event that enqueue.lua opened, and of two that append.lua added."""
    world.given(
        limits=MANY, meta={"watched": 1, "accepted": 2, "events": 2, "bytes": 20},
        ready={"b": world.at(-1)}, info={"b": Line(events=2, bytes=20)}, batches={"b": [NINE, NINE]},
    )  # fmt: skip
    world.push(mark(1), NINE)
    assert [world.shard.append(next_mark(number), NINE) for number in (2, 3)] == [True, True]
    return ShardBefore(world.shard)


def counts(world: World) -> tuple[int, int, int]:
    """Accepted, undelivered and their bytes, as a balanced snapshot tells them."""
    snapshot = world.snapshot()
    assert snapshot.balanced
    assert snapshot.dropped == {}
    return snapshot.accepted, snapshot.counted_events, snapshot.counted_bytes


def test_what_its_sweep_adopted_is_not_counted_again(world: World) -> None:
    """Its sweep counts appended events as another program's; a sweep of this release sees that."""
    before = begun(world)

    before.sweep("w", force=False)
    adopted = counts(world)[:2]
    world.sweep()

    assert adopted == (5, 5)
    assert counts(world) == (5, 5, 50)


def test_what_its_sweep_adopted_and_sealed_is_not_counted_again(world: World) -> None:
    """The same where the batch that it made has left before a script of this release comes."""
    before = begun(world)

    before.sweep("w", force=True)
    for _ in range(2):
        batch = world.claim()
        assert batch is not None
        world.shard.ack(batch.id)
    world.sweep()

    assert counts(world) == (5, 0, 0)


def test_a_batch_that_leaves_hides_nothing_that_was_counted(world: World) -> None:
    """A move lowers the number of accepted events, maybe to what it was when the room was granted."""
    before = begun(world)

    before.sweep("w", force=False)
    assert depart(world.shard, "b", Heading("other", 0, "n"), state="ready", sealed_until_ms=10**15)
    world.sweep()

    assert counts(world)[:2] == (5, 5)  # with the two on their way


def test_its_pushes_leave_the_list_ours(world: World) -> None:
    """Its enqueue.lua counts its own event alone; the next push of this release counts all, and grants
    room again.
    """
    before = begun(world)

    before.push("old", 1, [NINE])
    world.push(mark(4), NINE)
    appended = world.shard.append(next_mark(5), NINE)

    assert appended
    assert counts(world) == (8, 8, 80)
    assert world.client.hget(world.shard.keys.meta, "open_events") == b"5"
    assert world.client.hget(world.shard.keys.meta, "mixed") is None


def test_nothing_is_appended_to_a_list_that_it_sealed(world: World) -> None:
    """Its sweep leaves the room; append.lua does not open a list of which no time is noted."""
    world.given(limits=MANY, meta={"watched": 1})
    world.push(mark(1), NINE)

    ShardBefore(world.shard).sweep("w", force=True)
    appended = world.call(world.shard.append, next_mark(2), NINE)

    assert not appended
    assert world.changes() == {}


@pytest.mark.parametrize("force", [False, True])
def test_room_of_both_is_counted(world: World, force: bool) -> None:
    """Each release appends out of the room that it granted; each event is counted once."""
    world.given(limits=MANY, meta={"watched": 1})
    before = ShardBefore(world.shard)
    world.push(mark(1), NINE)
    before.push("old", 1, [NINE])

    appended = [before.append("old", 2, NINE), world.shard.append(next_mark(2), NINE)]
    before.sweep("w", force=force)
    world.sweep()

    assert appended == [True, True]
    assert counts(world) == (4, 4, 40)


def test_its_room_is_taken_over(world: World) -> None:
    """What its append.lua stored is counted, and its room ends with the next push of this release."""
    world.given(limits=MANY, meta={"watched": 1})
    before = ShardBefore(world.shard)
    before.push("old", 1, [NINE])
    assert before.append("old", 2, NINE)

    world.push(mark(1), NINE)

    assert not before.append("old", 3, NINE)
    assert counts(world) == (3, 3, 30)
    assert world.client.hget(world.shard.keys.meta, "open_events") == b"3"


def test_a_number_of_its_marks_is_no_mark_of_ours(world: World) -> None:
    """A mark without the last digits of ours is left to enqueue.lua, which compares numbers."""
    world.given(limits=MANY, meta={"watched": 1})
    world.push(mark(1), NINE)
    given_mark(world, "7")

    stored = world.call(world.shard.append, next_mark(8, "7.0000000000000000001"), NINE)

    assert not stored
    assert world.changes() == {}
