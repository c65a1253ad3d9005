"""release.lua: give a lease back; the batch may be claimed again after a delay."""

from __future__ import annotations

import pytest

from lua.world import Line, World

META = {"accepted": 3, "events": 3, "bytes": 30}


def test_a_lease_is_given_back(world: World) -> None:
    """A released batch is visible after the delay, with the reason; no event and no counter changes."""
    line = Line(attempt=1, events=3, bytes=30, first=world.at(-9), sealed=world.at(-8))
    world.given(meta=META, leases={"b": world.at(9_000)}, info={"b": line}, batches={"b": [b"1"]})

    released = world.call(
        world.shard.release, world.batch("b"), delay_seconds=2.5, error="HTTP 503: busy"
    )

    assert released is True
    assert world.changes() == {
        "leases": None,
        "ready": {"b": world.now(2_500)},
        "info": {"b": line._replace(error="HTTP 503: busy")},
        "meta": {
            "failing_ms": world.now(), "failed_ms": world.now(), "failed_why": "HTTP 503: busy",
        },
    }  # fmt: skip


def test_without_a_delay_it_is_ready_at_once(world: World) -> None:
    """Without a delay the batch is ready at once for the next claim, which is its second attempt."""
    world.given(leases={"b": world.at(9_000)}, info={"b": Line(attempt=1)}, batches={"b": [b"1"]})

    world.call(world.shard.release, world.batch("b"), delay_seconds=0, error="stopping")
    batch = world.claim()

    assert batch is not None
    assert (batch.id, batch.attempt, batch.lost_leases) == ("b", 2, 0)


def test_an_expired_lease_that_nobody_took_may_be_given_back(world: World) -> None:
    """The holder of an expired lease may release it while no other worker has the batch; no lost
    lease is counted.
    """
    world.given(leases={"b": world.at(-5_000)}, info={"b": Line(attempt=1)}, batches={"b": [b"1"]})

    released = world.call(world.shard.release, world.batch("b"), delay_seconds=1, error="late")

    assert released is True
    assert world.changes()["ready"] == {"b": world.now(1_000)}


@pytest.mark.parametrize("attempt", [1, 3])
def test_another_attempt_is_refused(world: World, attempt: int) -> None:
    """The holder of an older lease cannot release the batch of the new holder."""
    world.given(leases={"b": world.at(9_000)}, info={"b": Line(attempt=2)}, batches={"b": [b"1"]})

    released = world.call(
        world.shard.release, world.batch("b", attempt=attempt), delay_seconds=1, error="late"
    )

    assert released is False
    assert world.changes() == {}


@pytest.mark.parametrize("state", ["ready", "dead"])
def test_what_is_not_leased_is_refused(world: World, state: str) -> None:
    """A second release, or one of a batch that died meanwhile, changes nothing."""
    world.given(
        info={"b": Line(attempt=1)}, batches={"b": [b"1"]}, members={state: {"b": world.at(9_000)}}
    )

    released = world.call(world.shard.release, world.batch("b"), delay_seconds=1, error="late")

    assert released is False
    assert world.changes() == {}


def test_a_settled_batch_is_refused(world: World) -> None:
    """A delivered batch stays delivered."""
    world.given(meta={"delivered": 3})

    released = world.call(world.shard.release, world.batch("b"), delay_seconds=1, error="late")

    assert released is False
    assert world.changes() == {}


def test_a_long_error_is_cut(world: World) -> None:
    """A long error text is cut: an answer of any length costs Redis a bounded amount."""
    world.given(leases={"b": world.at(9_000)}, info={"b": Line(attempt=1)}, batches={"b": [b"1"]})

    world.call(world.shard.release, world.batch("b"), delay_seconds=1, error="x" * 10_000)

    assert len(world.changes()["info"]["b"].error) < 1_000
