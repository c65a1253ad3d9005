"""due.lua: which shards a sweep would change, seen in few round trips."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.world import LIMITS, NAMESPACE, Line, World
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.surveys import due_shards

SECOND = 1_000
IDLE_MS = 600 * SECOND
LATER = 60 * SECOND
#: A time later than any: every wake-up that has waited for its time is lost.
ALL_LOST = 10**15


def look(world: World, lost_until_ms: int = ALL_LOST) -> tuple[bool, bool]:
    """Whether the shard needs a sweep, and whether one of its wake-ups may be lost."""
    fleet = Fleet(world.client, NAMESPACE)
    names = [world.shard.keys.name]
    due, overdue, _ = world.call(due_shards, fleet, names, IDLE_MS, lost_until_ms)
    return len(due) == 1, len(overdue) == 1


def at(world: World, members: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Times counted from the start of the test."""
    return {name: {m: world.at(t) for m, t in each.items()} for name, each in members.items()}


@pytest.mark.parametrize(
    ("members", "meta", "due"),
    [
        ({"ready": {"a": -1}}, {}, True),
        ({"ready": {"a": LATER}}, {}, False),
        ({"leases": {"a": -1}}, {}, True),
        ({"leases": {"a": LATER}}, {}, False),
        ({"ready": {"a": -1}, "leases": {"b": LATER, "c": LATER}}, {}, False),  # no lane is free
        ({"ready": {"a": -1}, "slots": {"v": LATER}}, {}, False),  # a wake-up waits
        ({"ready": {"a": -1}, "slots": {"v": -1}}, {}, True),  # it is lost
        ({"ready": {"a": -1, "b": -1}, "slots": {"v": LATER}}, {}, True),
        ({"ready": {"a": -1}}, {"paused": "401"}, False),
        ({"ready": {"a": -1}}, {"held_until": LATER}, False),
        ({"ready": {"a": -1}}, {"held_until": -1}, True),
        ({"ready": {"a": -1, "b": -1}, "slots": {"v": LATER}}, {"held_until": -1}, False),
        ({"ready": {"a": 90_000 * SECOND}}, {}, True),  # hidden by a clock that was ahead
        ({"dead": {"a": -1}}, {}, False),
    ],
)
def test_batches_that_need_a_sweep(
    world: World, members: dict[str, dict[str, int]], meta: dict[str, Any], due: bool
) -> None:
    """A sweep is due where a wake-up is missing, not where one waits, and not while none may help."""
    times = {name: world.at(t) if isinstance(t, int) else t for name, t in meta.items()}
    world.given(meta={"watched": world.at(0), **times}, members=at(world, members))

    assert look(world)[0] is due
    assert world.changes() == {}


def test_an_open_list_that_is_due(world: World) -> None:
    """An open list needs a sweep when it is old enough, and when another program changed it."""
    counts = {"open_events": 1, "open_bytes": 2, "events": 1, "bytes": 2, "accepted": 1}
    times = {"first_ms": world.at(-SECOND), "watched": world.at(0)}
    world.given(meta={**counts, **times}, open=[b"1"])
    young = look(world)[0]
    world.client.hset(world.shard.keys.meta, "first_ms", world.at(-LIMITS.interval_ms))
    old = look(world)[0]
    world.client.hset(world.shard.keys.meta, "first_ms", world.at(0))
    world.client.lpush(world.shard.keys.open, b"foreign")
    pushed = look(world)[0]
    world.client.delete(world.shard.keys.open)

    assert (young, old, pushed) == (False, True, True)
    assert look(world)[0]
    assert world.changes() == {}


def test_wake_ups_that_wait_are_told(world: World) -> None:
    """Of a shard whose wake-ups have waited for long, it is told that they may be lost."""
    world.given(meta={"watched": world.at(0)}, ready={"a": world.at(-1)}, slots={"v": world.at(-1)})

    assert look(world, lost_until_ms=0) == (False, True)


def test_a_busy_shard_stays_noted(world: World) -> None:
    """The note of a shard that waits is renewed, as a sweep would; later a step of the clock shows."""
    world.given(meta={"watched": world.at(-11 * SECOND)}, ready={"a": world.at(LATER)})

    assert look(world) == (False, False)
    assert world.changes() == {"meta": {"watched": world.now()}}


@pytest.mark.parametrize(
    ("watched_ms", "due"), [(-599 * SECOND, False), (-601 * SECOND, True), (2 * SECOND, True)]
)
def test_an_empty_shard_is_forgotten_by_the_sweep(world: World, watched_ms: int, due: bool) -> None:
    """A sweep is due for a shard that has held nothing for long, and after a step of the clock."""
    world.given(meta={"watched": world.at(watched_ms)})

    assert look(world)[0] is due


def test_a_shard_that_is_not_registered_needs_nothing(world: World) -> None:
    """A sweep can do nothing for a shard without limits."""
    world.client.lpush(world.shard.keys.open, b"1")

    assert look(world) == (False, False)


def test_an_error_is_left_to_the_sweep(world: World) -> None:
    """A shard whose keys are not ours is swept, which reports it; the others are looked at."""
    fleet, broken, well = Fleet(world.client, NAMESPACE), "fme-1-a:0", world.shard.keys.name
    world.given(ready={"a": world.at(-1)}, info={"a": Line()}, limits=replace(LIMITS))
    world.client.set(fleet.shard("fme-1-a", 0).keys.meta, "not a hash")

    due, *_ = due_shards(fleet, [broken, well, "fme-1-b:0"], IDLE_MS, ALL_LOST)

    assert [shard.keys.name for shard in due] == [broken, well]


@pytest.mark.parametrize(
    ("members", "meta", "claimable"),
    [
        ({"ready": {"a": -1}, "slots": {"v": LATER}}, {}, True),
        ({"leases": {"a": -1}}, {}, True),
        ({"ready": {"a": LATER}, "leases": {"b": LATER}}, {}, False),
        ({"ready": {"a": -1}}, {"paused": "401"}, False),
    ],
)
def test_batches_that_may_be_claimed(
    world: World, members: dict[str, dict[str, int]], meta: dict[str, Any], claimable: bool
) -> None:
    """It is told where a batch is due, whoever was woken for it."""
    world.given(meta={"watched": world.at(0), **meta}, members=at(world, members))

    found = due_shards(Fleet(world.client, NAMESPACE), [world.shard.keys.name], IDLE_MS)

    assert bool(found.claimable) is claimable
