"""redrive.lua: an operator puts a dead-lettered batch back to be sent."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lua.pushing import next_mark
from lua.world import LIMITS, Line, World
from vwo_celery.queue.words.answers import TOO_MANY_EVENTS
from vwo_celery.queue.words.marks import Mark

META = {"accepted": 5, "events": 2, "bytes": 20, "dead": 3}


def test_a_dead_letter_is_ready_again(world: World) -> None:
    """A redriven batch is pending at once, with a new age and no error, and the same attempts."""
    line = Line(
        attempt=4, lost=11, events=3, bytes=30, first=world.at(-9_000), sealed=world.at(-8_000),
        error="workers went silent",
    )  # fmt: skip
    world.given(meta=META, dead={"b": world.at(-100)}, info={"b": line}, batches={"b": [b"1"]})

    events = world.call(world.shard.redrive, "b")

    assert events == 3
    assert world.changes() == {
        "dead": None,
        "ready": {"b": world.now()},
        "info": {"b": line._replace(lost=0, sealed=world.now(), error="")},
        "meta": {"events": 5, "bytes": 50, "dead": 0},
        "tally": {"redriven": 3},
    }


def test_an_older_holder_cannot_settle_a_redriven_batch(world: World) -> None:
    """Attempts keep counting after a redrive: a holder from before the batch died stays fenced off."""
    world.given(
        meta=META, dead={"b": world.at(-1)}, info={"b": Line(attempt=1)}, batches={"b": [b"1"]}
    )
    world.shard.redrive("b")
    world.claim()

    released = world.call(world.shard.release, world.batch("b"), delay_seconds=9, error="late")

    assert released is False
    assert world.changes() == {}


def test_a_queue_that_a_redrive_has_filled_is_full(world: World) -> None:
    """A redrive withdraws the room for appends: the capacity includes the redriven events."""
    limits = replace(LIMITS, events_per_request=9, capacity_events=5)
    world.given(
        limits=limits, dead={"b": world.at(-1)}, info={"b": Line(events=3)}, batches={"b": [b"1"]}
    )
    world.push(Mark("m", 1), b"1")
    assert world.shard.append(next_mark(2), b"2")

    world.shard.redrive("b")

    assert world.shard.append(next_mark(3), b"3") is False
    assert world.push(Mark("m", 3), b"3").code == TOO_MANY_EVENTS


@pytest.mark.parametrize("state", ["ready", "leases"])
def test_what_is_not_dead_is_left_alone(world: World, state: str) -> None:
    """A second redrive does not send a batch twice."""
    world.given(
        meta=META,
        info={"b": Line(attempt=1)},
        batches={"b": [b"1"]},
        members={state: {"b": world.at(9_000)}},
    )

    events = world.call(world.shard.redrive, "b")

    assert events == 0
    assert world.changes() == {}


def test_an_unknown_batch_is_nothing(world: World) -> None:
    """A purged, delivered or unknown batch is not redriven."""
    world.given(meta=META)

    events = world.call(world.shard.redrive, "b")

    assert events == 0
    assert world.changes() == {}
