"""claim.lua on a shard that is held, since its destination's circuit is open: who may claim, and what."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lua.world import LEASE_MS, LEASE_SECONDS, LIMITS, Line, World
from vwo_celery.queue.words.batches import HELD


def held(world: World, until_ms: int, **meta: int | str) -> None:
    """A held shard with two ready batches, one expired lease and the slot of a wake-up."""
    world.given(
        limits=replace(LIMITS, parallel=4),
        meta={"held_until": world.at(until_ms), **meta},
        ready={"a": world.at(-2), "c": world.at(-1)},
        leases={"b": world.at(-1)},
        info={"a": Line(), "b": Line(attempt=1), "c": Line()},
        slots={"w": world.at(9_000), "v": world.at(9_000)},
    )


def test_a_held_shard_gives_nothing(world: World) -> None:
    """A held shard gives neither ready batches nor expired leases; the wake-up's slot is freed."""
    held(world, 60_000)

    answer = world.ask("w")

    assert answer is None
    assert world.changes() == {"slots": {"w": None}}


def test_after_a_hold_the_circuit_is_to_be_asked(world: World) -> None:
    """After a hold, the caller is told to ask the circuit; nothing is claimed yet."""
    held(world, -1)

    answer = world.ask("w")

    assert answer is HELD
    assert world.changes() == {"slots": {"w": None}}


def test_after_a_hold_of_an_empty_shard_the_circuit_is_to_be_asked(world: World) -> None:
    """After a hold, the circuit is asked even if no batch is due, to end the hold."""
    world.given(meta={"held_until": world.at(-1)})

    assert world.ask() is HELD
    assert world.changes() == {}


@pytest.mark.parametrize("until_ms", [-1, 60_000])
def test_a_probe_claims_from_a_held_shard(world: World, until_ms: int) -> None:
    """A probe claims one batch of a held shard, the next in order, and calls for no help."""
    held(world, until_ms)

    batch = world.claim("w", probe=True)

    assert batch is not None
    assert (batch.id, batch.attempt, batch.lost_leases, batch.wakeups) == ("b", 2, 1, 0)
    assert world.changes() == {
        "leases": {"b": world.now(LEASE_MS)},
        "info": {"b": Line(attempt=2, lost=1)},
        "slots": {"w": None},
        "tally": {"lost_leases": 1},
    }


@pytest.mark.parametrize(("newest", "claimed"), [(False, "old"), (True, "new")])
def test_a_probe_may_claim_the_newest_batch(world: World, newest: bool, claimed: str) -> None:
    """A probe takes the oldest due batch, or, if asked to, the newest of those that were tried least."""
    due = {"old": world.at(-9_000), "new": world.at(-5_000), "tried": world.at(-1)}
    world.given(
        meta={"held_until": world.at(-1)},
        ready=due | {"later": world.at(60_000)},
        info=dict.fromkeys([*due, "later"], Line()) | {"tried": Line(attempt=1)},
    )

    batch = world.call(
        world.shard.claim, token="", lease_seconds=LEASE_SECONDS, probe=True, newest=newest
    )

    assert batch.id == claimed


def test_a_probe_that_finds_nothing_gives_its_slot_back(world: World) -> None:
    """A probe that finds no batch gives its slot back, as every claim does."""
    world.given(meta={"held_until": world.at(-1)}, slots={"w": world.at(9_000)})

    assert world.claim("w", probe=True) is None
    assert world.changes() == {"slots": None}


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize("until_ms", [-1, 60_000])
def test_a_pause_beats_a_hold(world: World, until_ms: int, probe: bool) -> None:
    """The circuit of a paused queue is not asked, and not even a probe is sent for it."""
    held(world, until_ms, paused="401")

    answer = world.ask("w", probe=probe)

    assert answer is None
    assert world.changes() == {"slots": {"w": None}}


def test_a_probe_keeps_to_the_lanes(world: World) -> None:
    """A probe counts the batches that have been in flight since before the hold towards `parallel`."""
    held(world, -1)
    world.shard.set_limits(replace(LIMITS, parallel=1))
    world.client.zadd(world.shard.keys.leases, {"d": world.at(60_000)})

    assert world.claim("w", probe=True) is None


def test_a_later_hold_replaces_an_earlier_one(world: World) -> None:
    """A later hold replaces an earlier one, whether longer or shorter."""
    held(world, -1)

    world.call(world.shard.hold, world.at(5_000))

    assert world.changes() == {"meta": {"held_until": world.at(5_000), "held_ms": world.now()}}


def test_a_hold_that_is_let_go_is_over(world: World) -> None:
    """After a hold is lifted, claims are ordinary again and call for help."""
    held(world, 60_000)
    world.shard.let_go()

    batch = world.claim("w")

    assert batch is not None
    assert (batch.id, batch.wakeups) == ("b", 1)
