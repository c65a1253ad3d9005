"""set_aside.lua: an operator takes a batch that no worker holds out of delivery."""

from __future__ import annotations

import pytest

from lua.world import Line, World

META = {"accepted": 5, "events": 5, "bytes": 50, "dead": 4}
LINE = Line(attempt=12, events=3, bytes=30, error="HTTP 400")


@pytest.mark.parametrize(("state", "at_ms"), [("ready", -1), ("ready", 60_000), ("leases", -1)])
def test_a_waiting_batch_is_kept_and_counted(world: World, state: str, at_ms: int) -> None:
    """A batch that is ready, released or of a lost lease becomes a dead letter, with the reason."""
    world.given(
        meta=META, info={"b": LINE}, batches={"b": [b"1", b"2", b"3"]},
        members={state: {"b": world.at(at_ms)}},
    )  # fmt: skip

    events = world.call(world.shard.set_aside, "b", reason="malformed")

    assert events == 3
    assert world.changes() == {
        state: None,
        "dead": {"b": world.now()},
        "info": {"b": LINE._replace(error="malformed")},
        "meta": {"events": 2, "bytes": 20, "dead": 7},
        "tally": {"dead:operator": 3},
    }


@pytest.mark.parametrize("state", ["leases", "dead"])
def test_a_batch_in_flight_or_dead_is_left_alone(world: World, state: str) -> None:
    """A batch that a worker holds is its alone to settle, and a dead letter stays as it is."""
    world.given(
        meta=META, info={"b": LINE}, batches={"b": [b"1"]}, members={state: {"b": world.at(9_000)}}
    )

    events = world.call(world.shard.set_aside, "b", reason="malformed")

    assert events == 0
    assert world.changes() == {}


def test_a_batch_that_is_gone_is_told_as_such(world: World) -> None:
    """A batch that was settled meanwhile is not counted again."""
    world.given(meta=META)

    assert world.call(world.shard.set_aside, "gone", reason="malformed") == 0
    assert world.changes() == {}


def test_who_lost_the_lease_settles_it_no_more(world: World) -> None:
    """A worker whose lease had run out cannot release what an operator has set aside meanwhile."""
    world.given(meta=META, leases={"b": world.at(-1)}, info={"b": LINE}, batches={"b": [b"1"]})
    world.shard.set_aside("b", reason="malformed")

    released = world.call(
        world.shard.release, world.batch("b", attempt=12), delay_seconds=9, error="late"
    )

    assert released is False
    assert world.changes() == {}
