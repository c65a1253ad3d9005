"""dead_letter.lua: a batch leaves delivery and is kept for the operator."""

from __future__ import annotations

import pytest

from lua.world import Line, World

META = {"accepted": 5, "events": 5, "bytes": 50, "dead": 4}
LINE = Line(attempt=2, lost=1, events=3, bytes=30, error="HTTP 503")


def test_a_leased_batch_is_kept_and_counted(world: World) -> None:
    """Its events are no longer undelivered, but dead; they stay readable, with the reason."""
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
    """As long as no other worker has the batch, its holder decides."""
    world.given(meta=META, leases={"b": world.at(-5_000)}, info={"b": LINE}, batches={"b": [b"1"]})

    died = world.call(world.shard.dead_letter, world.batch("b", attempt=2), error="too old")

    assert died is True


@pytest.mark.parametrize("attempt", [1, 3])
def test_another_attempt_is_refused(world: World, attempt: int) -> None:
    """Who held an older lease cannot bury what another worker is sending."""
    world.given(meta=META, leases={"b": world.at(9_000)}, info={"b": LINE}, batches={"b": [b"1"]})

    died = world.call(world.shard.dead_letter, world.batch("b", attempt=attempt), error="late")

    assert died is False
    assert world.changes() == {}


@pytest.mark.parametrize("state", ["ready", "dead"])
def test_what_is_not_leased_is_refused(world: World, state: str) -> None:
    """A batch dies once; one that was given back is somebody else's to claim."""
    world.given(
        meta=META, info={"b": LINE}, batches={"b": [b"1"]}, members={state: {"b": world.at(-1)}}
    )

    died = world.call(world.shard.dead_letter, world.batch("b", attempt=2), error="late")

    assert died is False
    assert world.changes() == {}


def test_a_settled_batch_is_refused(world: World) -> None:
    """What was delivered does not die."""
    world.given(meta=META)

    died = world.call(world.shard.dead_letter, world.batch("b"), error="late")

    assert died is False
    assert world.changes() == {}
