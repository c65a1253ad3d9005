"""Trace contexts end with their batch, however it ends, and go with what goes on under another name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from lua.contexts import DAY_MS, MANY, context, kept, left, push
from lua.pushing import mark
from lua.world import NAMESPACE, World, ours
from vwo_celery.queue import capacity
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import forgetting, moving
from vwo_celery.queue.handling.picking import pick_out
from vwo_celery.queue.handling.waiting import drop_open, drop_waiting, vanish
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch, Part, part_id
from vwo_celery.queue.work import moves

LATE_MS = 10**15
HEADING = moving.Heading("fme-2-other", 0, "b~1")


def sealed(world: World) -> str:
    """A ready batch of three events, each of a call of its own; its name."""
    world.given(limits=MANY)
    push(world, mark(3), b"1", b"2", b"3")
    world.sweep(force=True)
    (name,) = world.client.hkeys(world.shard.keys.traced)
    return str(name.decode())


def claimed(world: World) -> Batch:
    """The same, in flight."""
    sealed(world)
    batch = world.claim()
    assert batch is not None
    return batch


def died(world: World) -> str:
    """The same, dead."""
    batch = claimed(world)
    assert world.shard.dead_letter(batch, error="HTTP 400")
    return batch.id


def gone_events(world: World, name: str) -> str:
    """The same batch after somebody deleted its events."""
    world.client.delete(world.shard.keys.batch(name))
    return name


def _make_room(world: World) -> object:
    sealed(world)
    world.shard.set_limits(replace(MANY, capacity_events=3))
    return capacity.make_room(world.shard, [b"4"]).dropped


def _make_room_of_open(world: World) -> object:
    world.given(limits=replace(MANY, capacity_events=3))
    push(world, mark(3), b"1", b"2", b"3")
    return capacity.make_room(world.shard, [b"4", b"5", b"6"]).dropped


def _drop_open(world: World) -> object:
    world.given(limits=MANY)
    push(world, mark(3), b"1", b"2", b"3")
    return drop_open(world.shard, 3, begun_until_ms=LATE_MS)


def _move(world: World) -> object:
    name = sealed(world)
    assert moving.depart(world.shard, name, HEADING, state="ready", sealed_until_ms=LATE_MS)
    assert left(world) == ["traced"]  # it may come back
    return moving.forget(world.shard, name, HEADING)


#: By the way in which a batch, or the open list, ends: what ends it, whose answer is true.
ENDS: dict[str, Callable[[World], object]] = {
    "ack": lambda world: world.shard.ack(claimed(world).id),
    "delivered in parts": lambda world: world.shard.split(claimed(world), [], delivered=3),
    "purge": lambda world: world.shard.purge(died(world)),
    "too many dead letters": lambda world: died(world) and capacity.trim_dead([world.shard], 0),
    "drop": lambda world: drop_waiting(world.shard, sealed(world), sealed_until_ms=LATE_MS).events,
    "vanish": lambda world: vanish(world.shard, gone_events(world, sealed(world))),
    "vanish, dead": lambda world: vanish(world.shard, gone_events(world, died(world))),
    "picked out and dropped": lambda world: (
        pick_out(world.shard, died(world), [0, 1, 2], drop="purged").events
    ),
    "make room": _make_room,
    "make room, open": _make_room_of_open,
    "drop open": _drop_open,
    "move": _move,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_they_end_with_their_batch(world: World, end: Callable[[World], object]) -> None:
    """Nothing is left of the contexts of a batch that is gone, or of an open list that is."""
    assert end(world)

    assert left(world) == []


def test_a_queue_that_is_forgotten_leaves_none(world: World) -> None:
    """What an older release left there goes with the queue."""
    world.given(limits=MANY)
    world.client.hset(world.shard.keys.traced, "gone", f"1\n{context(1)}")
    world.client.rpush(world.shard.keys.traces, f"5:1:{context(1)}")

    assert forgetting.forget_shard(world.shard, idle_seconds=None, delete=True).code == 1

    assert left(world) == []


def test_contexts_stay_while_any_open_event_does(world: World) -> None:
    """Of an open list whose oldest event is dropped, the calls of the others are linked to."""
    world.given(limits=MANY)
    push(world, mark(3), b"1", b"2", b"3")

    assert drop_open(world.shard, 1, begun_until_ms=LATE_MS) == 1
    world.sweep(force=True)

    assert kept(world) == {(b"2", b"3"): ([1, 2, 3], 3)}


# -- what goes on under another name keeps them


def test_parts_keep_those_of_the_whole(world: World) -> None:
    """A split hands them to each part, dead or ready; the whole's go."""
    batch = claimed(world)

    parts = [Part("dead", ((0, 1),), 2, error="400"), Part("ready", ((1, 3),), 4)]
    assert world.call(world.shard.split, batch, parts)

    assert kept(world) == {(b"1",): ([1, 2, 3], 3), (b"2", b"3"): ([1, 2, 3], 3)}
    names = {part_id(batch.id, number, batch.help_token) for number in (1, 2)}
    assert {name.decode() for name in world.client.hkeys(world.shard.keys.traced)} == names


def test_what_is_picked_out_keeps_those_of_the_whole(world: World) -> None:
    """The events that are sent again, and the rest that stays dead; the whole's go."""
    name = died(world)

    assert pick_out(world.shard, name, [1]).events == 1

    assert kept(world) == {(b"2",): ([1, 2, 3], 3), (b"1", b"3"): ([1, 2, 3], 3)}
    assert world.client.hlen(world.shard.keys.traced) == 2


@pytest.mark.parametrize("is_readable", [True, False], ids=["contexts", "another program's key"])
def test_a_batch_that_moves_takes_them_along(world: World, is_readable: bool) -> None:
    """The new queue has them, for a day; where they cannot be read, the batch moves without."""
    name = sealed(world)
    fleet = Fleet(ours(world.client), NAMESPACE)
    target = fleet.shard("fme-2-other", 0)
    target.set_limits(MANY)
    if not is_readable:
        world.client.set(world.shard.keys.traced, "else")
    (batch,) = moves.look_up(world.shard, [name], "ready")

    moved = moves.move_batch(
        fleet, world.shard, target, batch, [b"1", b"2", b"3"], sealed_until_ms=LATE_MS
    )

    assert (moved.fate, moved.events) == ("moved", 3)
    assert _taken(target) == ([f"3\n{context(1)}\n{context(2)}\n{context(3)}"] * is_readable)
    assert is_readable is (0 < world.client.pttl(target.keys.traced) <= DAY_MS)
    world.client.delete(*world.client.keys(f"{target.keys.prefix}*"))


def _taken(target: Shard) -> list[str]:
    return [each.decode() for each in target.client.hvals(target.keys.traced)]
