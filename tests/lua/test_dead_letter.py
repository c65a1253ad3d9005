"""dead_letter.lua: take a batch out of delivery and keep it for the operator."""

from __future__ import annotations

import pytest

from lua.world import Line, World

META = {"accepted": 5, "events": 5, "bytes": 50, "dead": 4}
LINE = Line(attempt=2, lost=1, events=3, bytes=30, error="HTTP 503")


def test_a_leased_batch_is_kept_and_counted(world: World) -> None:
    """The events of a dead letter move from undelivered to dead; they stay readable, with the reason."""
    world.given(
        meta=META,
        leases={"b": world.at(9_000)},
        info={"b": LINE},
        batches={"b": [b"1", b"2", b"3"]},
    )

    died = world.call(world.shard.dead_letter, world.batch("b", attempt=2), error="too old")

    assert died is True
    assert world.changes() == {
        "leases": None,
        "dead": {"b": world.now()},
        "info": {"b": LINE._replace(error="too old")},
        "meta": {"events": 2, "bytes": 20, "dead": 7},
    }


def test_an_expired_lease_that_nobody_took_may_die(world: World) -> None:
    """The holder of an expired lease may dead-letter its batch while no other worker has it."""
    world.given(meta=META, leases={"b": world.at(-5_000)}, info={"b": LINE}, batches={"b": [b"1"]})

    died = world.call(world.shard.dead_letter, world.batch("b", attempt=2), error="too old")

    assert died is True


@pytest.mark.parametrize("attempt", [1, 3])
def test_another_attempt_is_refused(world: World, attempt: int) -> None:
    """The holder of an older lease cannot dead-letter a batch that another worker is sending."""
    world.given(meta=META, leases={"b": world.at(9_000)}, info={"b": LINE}, batches={"b": [b"1"]})

    died = world.call(world.shard.dead_letter, world.batch("b", attempt=attempt), error="late")

    assert died is False
    assert world.changes() == {}


@pytest.mark.parametrize("state", ["ready", "dead"])
def test_what_is_not_leased_is_refused(world: World, state: str) -> None:
    """Only a leased batch is dead-lettered: not one that was released or is already dead."""
    world.given(
        meta=META, info={"b": LINE}, batches={"b": [b"1"]}, members={state: {"b": world.at(-1)}}
    )

    died = world.call(world.shard.dead_letter, world.batch("b", attempt=2), error="late")

    assert died is False
    assert world.changes() == {}


def test_a_settled_batch_is_refused(world: World) -> None:
    """A delivered batch is not dead-lettered."""
    world.given(meta=META)

    died = world.call(world.shard.dead_letter, world.batch("b"), error="late")

    assert died is False
    assert world.changes() == {}
