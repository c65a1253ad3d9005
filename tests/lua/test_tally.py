"""shared/tally.lua: what a worker counted is added up with the change that settles its batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lua.circuits import FAILURES, circuit, fail, probing
from lua.world import LEASE_SECONDS, Line, World
from vwo_celery.queue.looks.tallies import Tally, read_tallies
from vwo_celery.queue.words import counts
from vwo_celery.queue.words.batches import Batch, Part

COUNTS = {"answer:503": 3, "post_ms": 40}
UNTIL_MS = 9_000

Settle = Callable[[World, Batch], Any]

SETTLES: dict[str, Settle] = {
    "ack": lambda world, batch: world.shard.ack(batch.id, counts=COUNTS),
    "release": lambda world, batch: world.shard.release(
        batch, delay_seconds=1, error="HTTP 503", counts=COUNTS
    ),
    "hand_back": lambda world, batch: world.shard.hand_back(
        batch, lease_until_ms=world.at(UNTIL_MS), counts=COUNTS
    ),
    "split": lambda world, batch: world.shard.split(
        batch, [Part("ready", ((0, 2),), 20)], counts=COUNTS
    ),
    "dead_letter": lambda world, batch: world.shard.dead_letter(
        batch, error="too old", counts=COUNTS
    ),
}


def leased(world: World) -> Batch:
    """A leased batch of two events, in a shard whose tally has counted before."""
    world.given(
        leases={"b": world.at(UNTIL_MS)},
        info={"b": Line(attempt=1, events=2, bytes=20)},
        batches={"b": [b"1", b"2"]},
    )
    world.client.hset(world.shard.keys.tally, "answer:503", 4)
    return world.batch("b")


@pytest.mark.parametrize("settle", SETTLES.values(), ids=SETTLES)
def test_counts_are_added_with_the_change(world: World, settle: Settle) -> None:
    """The script that settles the batch raises each counter by what the worker counted."""
    batch = leased(world)

    world.call(settle, world, batch)

    assert world.changes()["tally"] == {"answer:503": 7, "post_ms": 40}


@pytest.mark.parametrize("settle", SETTLES.values(), ids=SETTLES)
def test_a_batch_that_was_settled_counts_nothing_again(world: World, settle: Settle) -> None:
    """A settling that comes twice, as after a lost answer, counts once."""
    batch = leased(world)
    settle(world, batch)

    world.call(settle, world, batch)

    assert world.changes() == {}


@pytest.mark.parametrize("settle", SETTLES.values(), ids=SETTLES)
def test_a_tally_that_is_none_stops_nothing(world: World, settle: Settle) -> None:
    """Where another program made the key something else the batch is settled, and only not counted."""
    batch = leased(world)
    world.client.set(world.shard.keys.tally, "not a hash")

    done = world.call(settle, world, batch)

    assert done is True
    assert "leases" in world.changes()
    assert "tally" not in world.changes()


def test_a_full_redis_counts(redis: Any, world: World) -> None:
    """What is settled on a Redis without memory is counted there as well."""
    batch = leased(world)
    redis.config_set("maxmemory", 1)
    try:
        done = world.shard.ack(batch.id, counts=COUNTS)
    finally:
        redis.config_set("maxmemory", 0)

    assert done is True
    assert read_tallies([world.shard])[0].answers == {"503": 7}


def test_one_part_is_no_split(world: World) -> None:
    """A batch that becomes one of all its events, as with another program's pushes, is not split."""
    batch = leased(world)

    world.shard.split(batch, [Part("ready", ((0, 2),), 20)])

    assert read_tallies([world.shard])[0].split == 0


def test_only_what_closes_again_opens_again(world: World) -> None:
    """A probe that fails keeps an open circuit open: that is counted as one opening."""
    seen = circuit(world)
    for _ in range(FAILURES):
        fail(world, seen)
    fail(world, seen, probe=probing(world, seen).token)

    assert read_tallies([world.shard])[0].opened == 1
    seen.end_probe(probing(world, seen).token, answered=True)
    for _ in range(FAILURES):
        fail(world, seen)
    assert read_tallies([world.shard])[0].opened == 2


def test_a_claim_that_loses_no_lease_counts_none(world: World) -> None:
    """A batch that is claimed for the first time, or after its release, has lost no lease."""
    world.given(ready={"b": world.at(-1)}, info={"b": Line(attempt=1, error="HTTP 503")})

    world.call(world.shard.claim, token="", lease_seconds=LEASE_SECONDS)

    assert "tally" not in world.changes()


def test_a_tally_reads_what_a_worker_counted(world: World) -> None:
    """Requests are counted by answer, time and size, and batches by the age of their oldest event."""
    leased(world)
    world.client.delete(world.shard.keys.tally)
    told = counts.summed(
        counts.request("413", seconds=0.07, events=1_000),
        counts.request("200", seconds=61, events=1),
    )
    told = counts.summed(counts.summed(told, counts.accepted(4.2)), counts.dead("rejected", 3))

    world.shard.ack("b", counts=told)

    assert read_tallies([world.shard]) == [
        Tally(
            answers={"200": 1, "413": 1},
            ages=(0, 0, 0, 1, *[0] * 11), age_ms=4_200,
            posts=(0, 1, *[0] * 8, 1), post_ms=61_070,
            sizes=(1, 0, 0, 0, 0, 0, 1, 0, 0, 0), size_events=1_001,
            dead_by={"rejected": 3},
        )
    ]  # fmt: skip


def test_a_clock_that_stepped_back_gives_no_age(world: World) -> None:
    """An event from the future, by a clock that has stepped back since, is new."""
    assert counts.accepted(-3_600) == {"age:0": 1, "age_ms": 0}
