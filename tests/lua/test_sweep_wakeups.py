"""sweep.lua: wake as many workers as there is work for, and one to ask the circuit after a hold."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.sweeping import DUE, SECOND, YOUNG, own, watched
from lua.world import HORIZON_MS, LIMITS, World
from vwo_celery.queue.words.batches import HELD

# -- waking workers


@pytest.mark.parametrize(
    ("held", "wakeups"),
    [
        ({"ready": {"a": YOUNG}}, 1),
        ({"ready": {"a": YOUNG, "b": YOUNG, "c": YOUNG}}, 2),  # never more than may be sent at once
        ({"ready": {"a": 60 * SECOND}}, 0),  # in backoff
        ({"leases": {"a": YOUNG}}, 1),  # expired lease
        ({"leases": {"a": 60 * SECOND}}, 0),  # in flight
        ({"ready": {"a": YOUNG}, "leases": {"b": 60 * SECOND}}, 1),
        ({"ready": {"a": YOUNG}, "leases": {"b": 60 * SECOND}, "slots": {"v": 60 * SECOND}}, 0),
        ({"ready": {"a": YOUNG}, "slots": {"v": 60 * SECOND}}, 0),
        ({"ready": {"a": YOUNG}, "slots": {"v": -1}}, 1),  # that wake-up was lost
        ({"dead": {"a": YOUNG}}, 0),
    ],
)
def test_wakeups_follow_what_is_due(world: World, held: dict[str, Any], wakeups: int) -> None:
    """Taken slots never exceed the batches that are due, nor, with those in flight, `parallel`."""
    times = {name: {m: world.at(t) for m, t in members.items()} for name, members in held.items()}
    world.given(meta=watched(world), members=times)

    swept = world.sweep()

    assert swept.wakeups == wakeups
    live = {token for token, until in world.dump().get("slots", {}).items() if until > world.at(0)}
    assert swept.overdue == 0
    assert {f"{swept.token}:{i + 1}" for i in range(wakeups)} <= live
    assert len(live) <= LIMITS.parallel


@pytest.mark.parametrize(
    ("given_ms", "wakeups"),
    [(-9_000, 1), (-5_001, 1), (-4_000, 0), (-2_000, 0)],  # a slot's time is three seconds
)
def test_a_wakeup_is_lost_only_if_later_ones_have_come(
    world: World, given_ms: int, wakeups: int
) -> None:
    """A slot given before the time that messages have passed is free again; a later one still waits.

    A message may wait in the broker for as long as every lane is busy: another would only pile up.
    """
    slot = world.at(given_ms + LIMITS.slot_ttl_ms)
    world.given(meta=watched(world), ready={"a": world.at(YOUNG)}, slots={"v": slot})

    swept = world.sweep(lost_until_ms=world.at(-5_000))

    assert swept.wakeups == wakeups
    assert ("v" in world.dump()["slots"]) is not bool(wakeups)
    # A message that has waited for its time may be lost, if nothing else shows that it is not.
    assert swept.overdue == (given_ms == -4_000)


def test_a_wakeup_without_work_is_not_missed(world: World) -> None:
    """No message is looked for whose batches others have sent."""
    world.given(meta=watched(world), slots={"v": world.at(-9_000)})

    assert world.sweep(lost_until_ms=0).overdue == 0


def test_a_paused_queue_is_sealed_and_left_asleep(world: World) -> None:
    """A paused queue is sealed by age as usual, and nobody is woken for it."""
    state = own(world, DUE, b"1")
    world.given(meta={**state["meta"], "paused": "401 Unauthorized"}, open=[b"1"])

    swept = world.sweep()

    assert (swept.sealed, swept.wakeups) == (1, 0)
    assert "slots" not in world.dump()


def test_what_a_moment_of_a_wrong_clock_hid_is_visible_again(world: World) -> None:
    """A batch due later than any settings allow becomes visible: the clock was ahead for a moment."""
    hidden, normal = world.at(HORIZON_MS + 60 * SECOND), world.at(HORIZON_MS - 60 * SECOND)
    world.given(
        meta=watched(world),
        ready={"a": hidden, "b": normal},
        leases={"c": hidden, "d": normal},
        slots={"v": hidden, "w": normal},
    )

    world.sweep()

    changes = world.changes()
    assert changes["ready"] == {"a": world.now()}
    assert changes["leases"] == {"c": world.now()}
    assert changes["slots"]["v"] is None  # lost, for all we know
    assert "w" not in changes["slots"]


# -- a shard that is held, since its destination's circuit is open


def held(world: World, until_ms: int, **meta: int | str) -> None:
    """A held shard with ready batches."""
    world.given(
        limits=replace(LIMITS, parallel=4),
        meta={**watched(world), "held_until": world.at(until_ms), **meta},
        ready={name: world.at(YOUNG) for name in "abc"},
    )


def test_nobody_is_woken_while_a_shard_is_held(world: World) -> None:
    """While a shard is held nobody is woken: a worker could claim nothing."""
    held(world, 60 * SECOND)

    swept = world.sweep()

    assert swept.wakeups == 0
    assert world.changes() == {}


def test_a_held_shard_is_sealed(world: World) -> None:
    """A held shard is sealed by age as usual."""
    state = own(world, DUE, b"1")
    world.given(meta={**state["meta"], "held_until": world.at(60 * SECOND)}, open=[b"1"])

    swept = world.sweep()

    assert (swept.sealed, swept.wakeups) == (1, 0)


def test_after_a_hold_one_worker_is_woken(world: World) -> None:
    """After a hold one worker is woken to ask the circuit, however many batches are ready."""
    held(world, -1)

    swept = world.sweep()

    assert swept.wakeups == 1
    assert world.changes() == {"slots": {f"{swept.token}:1": world.now(LIMITS.slot_ttl_ms)}}
    assert world.sweep().wakeups == 0
    assert world.changes() == {}


def test_after_a_hold_nobody_is_woken_for_nothing(world: World) -> None:
    """After a hold nobody is woken if no batch is due: a probe needs one."""
    world.given(
        meta={**watched(world), "held_until": world.at(-1)},
        ready={"a": world.at(60 * SECOND)},
        leases={"b": world.at(60 * SECOND)},
    )

    assert world.sweep().wakeups == 0


def test_a_worker_that_is_awake_is_enough_after_a_hold(world: World) -> None:
    """After a hold nobody is woken if a worker already has a slot: it will ask the circuit."""
    held(world, -1)
    world.client.zadd(world.shard.keys.slots, {"v": world.at(60 * SECOND)})

    assert world.sweep().wakeups == 0


@pytest.mark.parametrize("until_ms", [-1, 60 * SECOND, HORIZON_MS + 60 * SECOND])
def test_a_pause_beats_a_hold(world: World, until_ms: int) -> None:
    """Nobody is woken for a paused queue, whatever its circuit."""
    held(world, until_ms, paused="401 Unauthorized")

    assert world.sweep().wakeups == 0


def test_a_hold_that_the_clock_made_endless_is_over(world: World) -> None:
    """A hold longer than any settings allow is ended: the clock was ahead when it was set."""
    held(world, HORIZON_MS + 60 * SECOND)

    swept = world.sweep()

    assert swept.wakeups == 1
    assert world.changes() == {
        "meta": {"held_until": world.now()},
        "slots": {f"{swept.token}:1": world.now(LIMITS.slot_ttl_ms)},
    }
    assert world.ask(f"{swept.token}:1") is HELD


def test_a_long_hold_is_kept(world: World) -> None:
    """The longest valid hold is kept."""
    held(world, HORIZON_MS - 60 * SECOND)

    assert world.sweep().wakeups == 0
    assert world.changes() == {}


def test_a_shard_whose_hold_was_let_go_is_woken_as_ever(world: World) -> None:
    """After a hold is lifted, the sweep wakes workers for all lanes."""
    held(world, 60 * SECOND)
    world.shard.let_go()

    assert world.sweep().wakeups == 3
