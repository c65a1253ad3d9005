"""extend.lua: extend a lease."""

from __future__ import annotations

import pytest

from lua.world import Line, World


def test_a_lease_is_extended_from_now(world: World) -> None:
    """The lease ends later, and the caller gets the new end."""
    world.given(
        leases={"b": world.at(100), "c": world.at(100)},
        info={"b": Line(attempt=1), "c": Line(attempt=1)},
    )

    extended = world.call(world.shard.extend, world.batch("b"), lease_seconds=45)

    assert extended == world.now(45_000)
    assert world.changes() == {"leases": {"b": world.now(45_000)}}


def test_an_expired_lease_that_nobody_took_is_extended(world: World) -> None:
    """The holder of an expired lease may extend it while no other worker has the batch."""
    world.given(leases={"b": world.at(-5_000)}, info={"b": Line(attempt=1)})

    extended = world.call(world.shard.extend, world.batch("b"), lease_seconds=45)

    assert extended == world.now(45_000)
    assert world.changes() == {"leases": {"b": world.now(45_000)}}


@pytest.mark.parametrize("attempt", [1, 3])
def test_another_attempt_is_refused(world: World, attempt: int) -> None:
    """The holder of an older lease is told that it is gone, and changes nothing."""
    world.given(leases={"b": world.at(100)}, info={"b": Line(attempt=2)})

    extended = world.call(world.shard.extend, world.batch("b", attempt=attempt), lease_seconds=45)

    assert extended == 0
    assert world.changes() == {}


@pytest.mark.parametrize("state", ["ready", "dead"])
def test_what_is_not_leased_is_refused(world: World, state: str) -> None:
    """A released or dead batch cannot be leased again by an extend."""
    world.given(
        info={"b": Line(attempt=1)},
        members={state: {"b": world.at(-1)}},
    )

    extended = world.call(world.shard.extend, world.batch("b"), lease_seconds=45)

    assert extended == 0
    assert world.changes() == {}


def test_a_settled_batch_is_refused(world: World) -> None:
    """The lease of a delivered batch cannot be extended."""
    world.given()

    extended = world.call(world.shard.extend, world.batch("b"), lease_seconds=45)

    assert extended == 0
    assert world.changes() == {}
