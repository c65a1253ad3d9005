"""arrive.lua and forgo.lua: a batch that a move or an import brings comes once, or never."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lua.world import LIMITS, Line, World
from vwo_celery.queue.handling import moving
from vwo_celery.queue.handling.moving import Arrival

ARRIVAL = Arrival(batch="b", state="ready", events=2, bytes=8, first_ms=5)
EVENTS = [b"123", b"456"]


def stage(world: World) -> None:
    """The batch's events are staged."""
    assert moving.stage(world.shard, "b", EVENTS, before=0)


def test_a_batch_is_ready_with_a_new_age(world: World) -> None:
    """A batch that a move brings may be claimed at once; its events count as accepted and moved in."""
    world.given()
    stage(world)

    answer = world.call(moving.arrive_from_move, world.shard, ARRIVAL)

    changes = world.changes()
    changes.pop("arrived")
    assert answer == moving.ARRIVED
    assert changes == {
        "batch:b": EVENTS,
        "batch:b.staged": None,
        "info": {"b": Line(events=2, bytes=8, first=5, sealed=world.now())},
        "meta": {
            "accepted": 2, "events": 2, "bytes": 8, "moved_in": 2, "arrived_ms": world.now(),
        },
        "ready": {"b": world.now()},
    }  # fmt: skip


def test_a_dead_letter_arrives_with_its_story(world: World) -> None:
    """A dead letter stays dead, with attempts, reason and time, and takes no room of the queue."""
    world.given(limits=replace(LIMITS, capacity_events=1))
    stage(world)
    dead = replace(ARRIVAL, state="dead", attempt=3, error="HTTP 413", died_ms=7)

    answer = world.call(moving.arrive_from_file, world.shard, dead)

    changes = world.changes()
    assert answer == moving.ARRIVED
    assert changes["dead"] == {"b": 7}
    assert changes["info"]["b"]._replace(sealed=0) == Line(3, 0, 2, 8, 5, 0, "HTTP 413")
    assert (changes["meta"]["dead"], changes["meta"]["imported"]) == (2, 2)
    assert "events" not in changes["meta"]


def test_a_batch_arrives_once(world: World) -> None:
    """After its arrival, and after its delivery, the same batch does not arrive again."""
    world.given()
    stage(world)
    moving.arrive_from_move(world.shard, ARRIVAL)
    world.shard.ack("b")
    stage(world)

    answer = world.call(moving.arrive_from_move, world.shard, ARRIVAL)

    assert answer == moving.CAME_BEFORE
    assert world.changes() == {}
    assert moving.forgo(world.shard, "b") is False


def test_a_batch_that_was_forgone_never_arrives(world: World) -> None:
    """Once its arrival is forgone a late mover cannot bring it, and is told."""
    world.given()
    stage(world)

    assert moving.forgo(world.shard, "b") is True
    stage(world)
    answer = world.call(moving.arrive_from_move, world.shard, ARRIVAL)

    assert answer == moving.FORGONE
    assert world.changes() == {}


@pytest.mark.parametrize(
    ("limit", "answer"),
    [
        ({"capacity_events": 1}, moving.TOO_MANY_EVENTS),
        ({"capacity_bytes": 7}, moving.TOO_MANY_BYTES),
    ],
)
def test_a_full_queue_takes_nothing(world: World, limit: dict[str, int], answer: int) -> None:
    """A batch that does not fit is refused, and leaves no trace."""
    world.given(limits=replace(LIMITS, **limit), meta={"accepted": 0})
    stage(world)

    assert world.call(moving.arrive_from_move, world.shard, ARRIVAL) == answer
    assert world.changes() == {}


def test_an_unregistered_queue_and_missing_events_are_refused(world: World) -> None:
    """Nothing arrives without its events, or in a queue whose limits nobody has set."""
    stage(world)
    unregistered = world.call(moving.arrive_from_move, world.shard, ARRIVAL)
    assert world.changes() == {}
    world.given()

    few = world.call(moving.arrive_from_move, world.shard, replace(ARRIVAL, events=3))

    assert (unregistered, few) == (moving.NOT_REGISTERED, moving.NOT_STAGED)
    assert world.changes() == {}


def test_pages_of_two_processes_are_not_mixed_up(world: World) -> None:
    """A page says how many events come before it; one that others have overtaken is refused."""
    assert moving.stage(world.shard, "b", [b"1"], before=0)
    assert moving.stage(world.shard, "b", [b"1", b"2"], before=0)
    assert not moving.stage(world.shard, "b", [b"2"], before=1)
    assert moving.stage(world.shard, "b", [b"3"], before=2)

    assert world.dump()["batch:b.staged"] == [b"1", b"2", b"3"]
