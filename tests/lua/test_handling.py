"""drop.lua, drop_open.lua, hasten.lua, vanish.lua: an operator changes what waits, and what is gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lua.world import LIMITS, Line, World, room_of
from vwo_celery.queue.capacity import make_room
from vwo_celery.queue.handling.waiting import (
    Dropped,
    Hastened,
    drop_open,
    drop_waiting,
    hasten,
    vanish,
)
from vwo_celery.queue.words.batches import Part
from vwo_celery.queue.work.settlements import Note, begin, look

#: Later than any time here, Unix ms.
FAR = 10**15


def given(world: World, state: str, *, at: int = -1, sealed: int = -5, there: bool = True) -> None:
    """One batch of three events that failed once, in some state, and two open events."""
    waits = state != "dead"
    world.given(
        limits=LIMITS,
        meta={
            "accepted": 5, "events": 2 + 3 * waits, "bytes": 4 + 6 * waits, "dead": 3 * (not waits),
            "open_events": 2, "open_bytes": 4, "first_ms": world.at(-9),
        },
        open=[b"4", b"5"],
        info={"b": Line(1, 0, 3, 6, world.at(-9), world.at(sealed), "503")},
        batches={"b": [b"1", b"2", b"3"]} if there else {},
        members={
            state: {"b": world.at(at)},
        },
    )  # fmt: skip


def note_of(world: World) -> Note:
    """The only note that was left."""
    ((_, note),) = look(world.shard, 0, 0).notes
    return note


# -- drop.lua


@pytest.mark.parametrize(("state", "at"), [("ready", -1), ("ready", 60_000), ("leases", -1)])
@pytest.mark.parametrize(("there", "reason"), [(True, "purged"), (False, "vanished")])
def test_what_waits_is_dropped_and_counted(
    world: World, state: str, at: int, there: bool, reason: str
) -> None:
    """A batch that no worker holds leaves Redis; what somebody deleted before counts as vanished."""
    given(world, state, at=at, there=there)
    begin(world.shard)

    dropped = world.call(drop_waiting, world.shard, "b", sealed_until_ms=world.at(0))

    assert dropped == Dropped(3, 0 if there else 3)
    snapshot = world.snapshot()
    assert snapshot.balanced
    assert (snapshot.batches, snapshot.dropped) == ((), {reason: 3})
    assert (snapshot.counted_events, snapshot.counted_bytes) == (2, 4)
    assert world.dump().keys() == {"meta", "open", "settled"}
    assert note_of(world) == Note("b", reason, 3, world.at(-5))


@pytest.mark.parametrize(
    ("state", "at", "sealed"), [("leases", 60_000, -5), ("dead", -1, -5), ("ready", -1, 5)],
    ids=["in flight", "dead", "newer"],
)  # fmt: skip
def test_what_was_not_meant_is_left_alone(world: World, state: str, at: int, sealed: int) -> None:
    """What a worker holds, what is dead, and what was sealed after it was counted stays."""
    given(world, state, at=at, sealed=sealed)

    assert world.call(drop_waiting, world.shard, "b", sealed_until_ms=world.at(0)) == (0, 0)
    assert world.changes() == {}


def test_a_second_drop_counts_nothing(world: World) -> None:
    """A repeat, as after a kill, finds nothing to drop."""
    given(world, "ready")
    drop_waiting(world.shard, "b", sealed_until_ms=world.at(0))

    assert world.call(drop_waiting, world.shard, "b", sealed_until_ms=world.at(0)) == (0, 0)
    assert world.changes() == {}


# -- drop_open.lua


@pytest.mark.parametrize(("most", "left"), [(9, []), (2, []), (1, [b"5"])])
def test_the_oldest_open_events_are_dropped(world: World, most: int, left: list[bytes]) -> None:
    """Open events leave, the oldest first, and only as many as were meant."""
    given(world, "ready")

    assert world.call(drop_open, world.shard, most, begun_until_ms=FAR) == 2 - len(left)
    assert world.dump().get("open", []) == left
    snapshot = world.snapshot()
    assert snapshot.balanced
    assert snapshot.dropped == {"purged": 2 - len(left)}
    assert snapshot.counted_bytes == 6 + 2 * len(left)


def test_foreign_open_events_are_counted_before_they_go(world: World) -> None:
    """Events of another program are entered into the ledger, and counted as dropped."""
    given(world, "ready")
    world.client.lpush(world.shard.keys.open, b"6", b"7")

    assert drop_open(world.shard, 99, begun_until_ms=FAR) == 4

    snapshot = world.snapshot()
    assert snapshot.balanced
    assert (snapshot.accepted, snapshot.dropped) == (7, {"purged": 4})


def test_the_time_of_foreign_open_events_begins_when_they_are_counted(world: World) -> None:
    """What is left is as old as its first count, not as an event of a list that is long gone."""
    world.given(meta={"first_ms": world.at(-999_000)})
    world.client.lpush(world.shard.keys.open, b"1", b"2")

    assert world.call(drop_open, world.shard, 1, begun_until_ms=FAR) == 1

    assert world.snapshot().open_first_ms == world.now()
    assert world.sweep().sealed == 0


def test_a_list_that_was_begun_later_stays(world: World) -> None:
    """What was counted has been sealed meanwhile: nobody agreed to drop what is open now."""
    given(world, "ready")

    assert world.call(drop_open, world.shard, 2, begun_until_ms=world.at(-10)) == 0
    assert world.changes() == {}
    assert drop_open(world.shard, 2, begun_until_ms=world.at(-9)) == 2


def test_very_many_open_events_go_in_steps(world: World) -> None:
    """One call pops a bounded number, where some are to stay."""
    world.given()
    world.client.lpush(world.shard.keys.open, *[b"1"] * 1_300)

    dropped = [
        drop_open(world.shard, most, begun_until_ms=world.zero_ms) for most in (1_200, 700, 200)
    ]

    assert dropped == [500, 500, 200]
    assert world.snapshot().balanced
    assert world.snapshot().open_events == 100


def test_appended_events_are_dropped_too(world: World) -> None:
    """What was stored in the fast way is in the counters before it is dropped."""
    given(world, "ready")
    accepted = world.snapshot().accepted
    room = room_of(5, 50, accepted=accepted, taken=(1, 2))
    world.client.hset(world.shard.keys.meta, mapping=room)
    world.client.lpush(world.shard.keys.open, b"6")

    assert drop_open(world.shard, 99, begun_until_ms=FAR) == 3
    assert world.snapshot().balanced


def test_an_empty_list_is_left_alone(world: World) -> None:
    """Without open events nothing changes."""
    world.given()

    assert world.call(drop_open, world.shard, 9, begun_until_ms=FAR) == 0
    assert world.changes() == {}


def test_open_events_that_others_took_are_counted_first(world: World) -> None:
    """What another program popped has vanished, and only the rest was purged."""
    given(world, "ready")
    world.client.rpop(world.shard.keys.open)

    assert drop_open(world.shard, 99, begun_until_ms=FAR) == 1

    snapshot = world.snapshot()
    assert snapshot.balanced
    assert snapshot.dropped == {"vanished": 1, "purged": 1}


# -- hasten.lua


@pytest.mark.parametrize("names", [(), ("b", "unknown")])
def test_what_was_released_is_due_at_once(world: World, names: tuple[str, ...]) -> None:
    """A batch that waits for its next attempt may be claimed now; nothing else of it changes."""
    given(world, "ready", at=60_000)

    assert world.call(hasten, world.shard, names) == Hastened(1, 3)
    assert world.changes() == {"ready": {"b": world.now()}}


@pytest.mark.parametrize(("state", "at"), [("ready", -1), ("leases", 60_000), ("dead", -1)])
@pytest.mark.parametrize("names", [(), ("b",)])
def test_what_waits_for_no_attempt_is_left_alone(
    world: World, state: str, at: int, names: tuple[str, ...]
) -> None:
    """What is due, in flight or dead keeps its place."""
    given(world, state, at=at)

    assert world.call(hasten, world.shard, names) == (0, 0)
    assert world.changes() == {}


# -- batches whose events somebody deleted


@pytest.mark.parametrize(
    ("state", "at", "attempt"),
    [("ready", -1, None), ("leases", -1, None), ("leases", 60_000, 1), ("dead", -1, None)],
)
def test_what_vanished_is_counted_as_that(
    world: World, state: str, at: int, attempt: int | None
) -> None:
    """A batch without its events is dropped as vanished, whatever state it is in."""
    given(world, state, at=at, there=False)
    begin(world.shard)

    assert world.call(vanish, world.shard, "b", attempt=attempt) == 3

    snapshot = world.snapshot()
    assert snapshot.balanced
    assert (snapshot.dropped, snapshot.batches) == ({"vanished": 3}, ())
    assert note_of(world) == Note("b", "vanished", 3, -1 if state == "dead" else world.at(-5))


@pytest.mark.parametrize(
    ("state", "attempt", "there"),
    [("leases", 2, False), ("leases", None, False), ("ready", 1, False), ("ready", None, True)],
    ids=["claimed again", "in flight", "released meanwhile", "still there"],
)
def test_what_is_another_workers_or_there_is_left_alone(
    world: World, state: str, attempt: int | None, there: bool
) -> None:
    """A worker that holds it may have its events in memory; and a batch with events has not vanished."""
    given(world, state, at=60_000, there=there)

    assert world.call(vanish, world.shard, "b", attempt=attempt) == 0
    assert world.changes() == {}


def test_a_redrive_does_not_pretend(world: World) -> None:
    """A dead letter whose events are gone cannot be put back, and stays as it is."""
    given(world, "dead", there=False)

    assert world.call(world.shard.redrive, "b") == -1
    assert world.changes() == {}


@pytest.mark.parametrize(
    ("state", "drop"),
    [
        ("dead", lambda world: world.shard.purge("b")),
        ("ready", lambda world: make_room(world.shard, [b"n"] * 48).dropped),
    ],
    ids=["purge", "make room"],
)
def test_a_drop_of_what_vanished_says_so(
    world: World, state: str, drop: Callable[[World], int]
) -> None:
    """Neither an operator nor a full queue has dropped what somebody deleted before."""
    given(world, state, there=False)

    assert drop(world) == 3

    snapshot = world.snapshot()
    assert snapshot.balanced
    assert snapshot.dropped == {"vanished": 3}


def test_a_split_of_what_vanished_leaves_it(world: World) -> None:
    """A batch of which events are missing is not divided: whoever reads it next counts it."""
    given(world, "leases", at=60_000)
    batch = world.batch("b")
    world.client.delete(world.shard.keys.batch("b"))

    with pytest.raises(Exception, match="3 events of it are gone"):
        world.shard.split(batch, [Part("ready", ((0, 3),), 6)])
    assert vanish(world.shard, "b", attempt=1) == 3
