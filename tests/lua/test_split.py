"""split.lua: count the delivered part of a batch and make batches of the rest, in one step."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lua.splitting import (
    FIRST_PART,
    LONG,
    SEALED,
    SECOND_PART,
    SIZE,
    THIRD_PART,
    events_of,
    leased,
    numbered,
    part,
    split,
)
from lua.world import LIMITS, World
from vwo_celery.queue.words.batches import LONGEST_ERROR

# -- halves


@pytest.mark.parametrize("half", [1, 3, LONG, LONG + 1, 2_500])
def test_halves_become_batches_of_their_own(world: World, half: int) -> None:
    """Each half becomes a ready batch in the old place, as a first attempt, its events in order."""
    line = leased(world, 2 * half, error="HTTP 503: busy")

    done = split(
        world,
        part("ready", (0, half), error="HTTP 413"),
        part("ready", (half, 2 * half), error="HTTP 413"),
    )

    assert done is True
    child = line._replace(attempt=0, events=half, bytes=SIZE * half, error="HTTP 413")
    assert world.changes() == {
        "leases": None,
        "batch:b": None,
        "ready": {FIRST_PART: world.at(SEALED), SECOND_PART: world.at(SEALED)},
        "info": {"b": None, FIRST_PART: child, SECOND_PART: child},
        f"batch:{FIRST_PART}": numbered(0, half),
        f"batch:{SECOND_PART}": numbered(half, 2 * half),
        "tally": {"split": 1},
    }
    assert world.snapshot().balanced


@pytest.mark.parametrize(
    "cut", [1, LONG - 1, LONG, LONG + 1, 999, 1_000, 1_001, 4_000, 4_998, 4_999]
)
def test_a_cut_anywhere_loses_nothing(world: World, cut: int) -> None:
    """A batch of the most events that the vendor allows can be cut at any place without loss."""
    leased(world, 5_000)

    split(world, part("ready", (0, cut)), part("ready", (cut, 5_000)))

    assert events_of(world, FIRST_PART) == numbered(0, cut)
    assert events_of(world, SECOND_PART) == numbered(cut, 5_000)
    assert world.snapshot().balanced


def test_the_halves_leave_before_younger_batches_and_in_order(world: World) -> None:
    """The halves leave in order and before younger batches, even of the same push."""
    leased(world, 4)
    others = {"a": world.at(SEALED - 1), "b.0001": world.at(SEALED), "c": world.at(SEALED + 1)}
    world.client.zadd(world.shard.keys.ready, others)
    for name in others:
        world.client.hset(world.shard.keys.info, name, "0:0:1:6:0:0:")
    world.shard.set_limits(replace(LIMITS, parallel=9))

    split(world, part("ready", (0, 2)), part("ready", (2, 4)))

    claimed = [world.claim() for _ in range(5)]
    ids = [batch.id for batch in claimed if batch]
    assert ids == ["a", FIRST_PART, SECOND_PART, "b.0001", "c"]


def test_a_clock_that_stepped_back_does_not_hide_a_part(world: World) -> None:
    """After a clock that stepped back, a part is visible although its old place is in the future."""
    leased(world, 2, sealed=world.at(60_000))

    split(world, part("ready", (0, 1)), part("ready", (1, 2)))

    assert world.changes()["ready"] == {FIRST_PART: world.now(), SECOND_PART: world.now()}


def test_halves_may_be_halved(world: World) -> None:
    """Halves can be halved again, down to single events, in order."""
    leased(world, 8)
    world.shard.set_limits(replace(LIMITS, parallel=9))
    split(world, part("ready", (0, 4)), part("ready", (4, 8)))

    while (batch := world.claim()) and batch.events > 1:
        half = batch.events // 2
        parts = [part("ready", (0, half)), part("ready", (half, batch.events))]
        assert world.shard.split(batch, parts)
        world.client.delete(world.shard.keys.leases)
    assert batch is not None
    world.client.zadd(world.shard.keys.ready, {batch.id: world.at(SEALED)})  # to be claimed again

    claimed = [batch for batch in (world.claim() for _ in range(5)) if batch]
    read = [world.shard.read(batch) for batch in claimed]
    assert [event for events in read for event in events] == numbered(0, 8)


# -- after a search for a refused event


def test_delivered_dead_and_ready_parts(world: World) -> None:
    """Each part is counted by its outcome; a dead part has its reason, a ready one may have a delay."""
    line = leased(world, 10, lost=2)

    done = split(
        world,
        part("dead", (2, 3), (7, 8), error="HTTP 400: bad"),
        part("ready", (0, 1), (8, 10), delay_seconds=2.5, error="HTTP 503"),
        delivered=5,
    )

    assert done is True
    rest = line._replace(attempt=1, events=3, bytes=3 * SIZE, error="HTTP 503")
    dead = line._replace(attempt=0, events=2, bytes=2 * SIZE, error="HTTP 400: bad")
    assert world.changes() == {
        "leases": None,
        "batch:b": None,
        "dead": {FIRST_PART: world.now()},
        "ready": {SECOND_PART: world.now(2_500)},
        "info": {"b": None, FIRST_PART: dead, SECOND_PART: rest},
        f"batch:{FIRST_PART}": [b"00002", b"00007"],
        f"batch:{SECOND_PART}": [b"00000", b"00008", b"00009"],
        "meta": {
            "events": 3, "bytes": 3 * SIZE, "dead": 2, "delivered": 7, "delivered_ms": world.now(),
        },
        "tally": {"split": 1},
    }  # fmt: skip
    assert world.snapshot().balanced


def test_many_ranges_keep_their_order(world: World) -> None:
    """Every second event of the largest batch, and ranges between single events, keep their order."""
    leased(world, 5_000)
    singles = [(i, i + 1) for i in range(0, 2_000, 2)]
    longs = [(2_000, 3_500), (3_600, 3_601), (3_700, 5_000)]
    gaps = [(i, i + 1) for i in range(1, 2_000, 2)] + [(3_500, 3_600), (3_601, 3_700)]

    split(world, part("dead", *gaps, error="HTTP 400"), part("ready", *singles, *longs))

    assert events_of(world, FIRST_PART) == [e for start, end in gaps for e in numbered(start, end)]
    kept = [*singles, *longs]
    assert events_of(world, SECOND_PART) == [e for start, end in kept for e in numbered(start, end)]
    snapshot = world.snapshot()
    assert snapshot.balanced
    assert (snapshot.events("ready"), snapshot.events("dead")) == (3_801, 1_199)


def test_all_of_it_delivered(world: World) -> None:
    """A split in which every part was delivered leaves no batch."""
    leased(world, 5)

    done = split(world, delivered=5)

    assert done is True
    assert world.changes() == {
        "leases": None,
        "info": None,
        "batch:b": None,
        "meta": {"events": 0, "bytes": 0, "delivered": 7, "delivered_ms": world.now()},
    }


def test_nothing_delivered_leaves_the_time_of_the_last_delivery(world: World) -> None:
    """A split that delivers nothing leaves the time of the last delivery unchanged."""
    leased(world, 2)

    split(world, part("dead", (0, 1)), part("ready", (1, 2)))

    assert world.changes()["meta"] == {"events": 1, "bytes": SIZE, "dead": 1}
    assert world.snapshot().balanced


def test_a_part_may_be_delivered_and_redriven_as_any_batch(world: World) -> None:
    """Parts are ordinary batches: they can be claimed, acked, redriven and purged."""
    leased(world, 4)
    split(world, part("dead", (0, 1)), part("ready", (1, 2)), part("dead", (2, 4)))

    batch = world.claim()
    assert batch is not None
    assert (batch.id, batch.attempt, batch.events) == (SECOND_PART, 1, 1)
    assert world.shard.ack(batch.id)
    assert world.shard.redrive(FIRST_PART) == 1
    assert world.shard.purge(THIRD_PART) == 2

    snapshot = world.snapshot()
    assert snapshot.balanced
    assert (snapshot.delivered, snapshot.events("ready")) == (3, 1)


def test_a_long_error_is_cut(world: World) -> None:
    """A long error text is cut: an answer of any length costs Redis a bounded amount."""
    leased(world, 2)

    split(
        world, part("dead", (0, 1), error="x" * 10_000), part("ready", (1, 2), error="y" * 10_000)
    )

    lines = [line for line in world.changes()["info"].values() if line]
    assert {len(line.error) for line in lines} == {LONGEST_ERROR}


def test_an_error_text_survives(world: World) -> None:
    """An error text with colons, line breaks or digits stays readable."""
    leased(world, 1)

    split(world, part("dead", (0, 1), error="HTTP 400: a:b\n1:2:3"))

    assert world.changes()["info"][FIRST_PART].error == "HTTP 400: a:b\n1:2:3"
