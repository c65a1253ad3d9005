"""report.lua: what a process counted is added to the shard's tally, once, with its times."""

from __future__ import annotations

from typing import Any

import pytest

from lua.world import World
from vwo_celery.queue.looks.tallies import Tally, Told, read_tallies, sum_tallies, tally_of
from vwo_celery.queue.records.reports import Count, Report, report

SPOOLED = "spooled"
DROPPED = "unaccepted:redis_unavailable"
HOUR_MS = 3_600_000


def told(world: World, *, id: str = "r", **counts: tuple[int, float, float]) -> bool:
    """Report events as (number, seconds since the first, seconds since the last) of each name."""
    names = {
        name.replace("dropped", DROPPED): Count(events, 1000.0 - first, 1000.0 - last)
        for name, (events, first, last) in counts.items()
    }
    return world.call(report, world.shard, Report(0, id, names), now=1000.0)


def given_tally(world: World, **fields: Any) -> None:
    """A tally of earlier reports on spooled events."""
    names = {each: f"{each}:{SPOOLED}" for each in fields} | {"events": SPOOLED}
    world.client.hset(
        world.shard.keys.tally, mapping={names[each]: value for each, value in fields.items()}
    )


def test_the_first_report_is_added(world: World) -> None:
    """Events and times are told by Redis' clock, whatever the reporting host's clock shows."""
    world.given()

    assert told(world, dropped=(7, 30.0, 2.0), spooled=(3, 9.0, 9.0))

    assert world.changes() == {
        "mark:r": b"1",
        "tally": {
            DROPPED: 7, f"recent:{DROPPED}": 7,
            f"since_ms:{DROPPED}": world.now(-30_000), f"last_ms:{DROPPED}": world.now(-2_000),
            SPOOLED: 3, f"recent:{SPOOLED}": 3,
            f"since_ms:{SPOOLED}": world.now(-9_000), f"last_ms:{SPOOLED}": world.now(-9_000),
        },
    }  # fmt: skip
    assert 0 < world.client.pttl(world.shard.keys.mark("r")) <= 24 * HOUR_MS


@pytest.mark.parametrize(
    ("last_ago_ms", "recent", "since_ago_ms"),
    [(HOUR_MS - 5_000, 14, 2 * HOUR_MS), (HOUR_MS + 60_000, 4, 0)],
    ids=["a run goes on", "another run begins"],
)
def test_runs(world: World, last_ago_ms: int, recent: int, since_ago_ms: int) -> None:
    """An hour without such an event ends a run; the number of all is never forgotten."""
    world.given()
    since = world.at(-2 * HOUR_MS)
    given_tally(world, events=100, recent=10, since_ms=since, last_ms=world.at(-last_ago_ms))

    assert told(world, spooled=(4, 0.0, 0.0))

    (tally,) = read_tallies([world.shard])
    assert (tally.spooled.events, tally.spooled.recent_events) == (104, recent)
    assert tally.spooled.since_ms == (since if since_ago_ms else world.now())
    assert tally.spooled.last_ms == world.now()


def test_an_older_report_moves_no_time_forward(world: World) -> None:
    """A process that tells late widens the run backwards; the last event stays the last."""
    world.given()
    last = world.at(0)
    given_tally(world, events=1, recent=1, since_ms=last, last_ms=last)

    assert told(world, spooled=(1, 50.0, 40.0))

    (tally,) = read_tallies([world.shard])
    assert tally.spooled == Told(2, 2, tally.spooled.since_ms, last)
    assert tally.spooled.since_ms == world.now(-50_000)


def test_a_report_counts_once(world: World) -> None:
    """A report whose answer was lost is sent again, and changes nothing."""
    world.given()
    told(world, dropped=(7, 1.0, 1.0))

    assert told(world, dropped=(7, 3.0, 3.0))

    assert world.changes() == {}


def test_a_queue_that_is_not_registered(world: World) -> None:
    """Nothing is written for a queue that Redis does not know: the report waits."""
    assert not told(world, dropped=(7, 1.0, 1.0))

    assert world.changes() == {}


def test_a_tally_that_cannot_be_read() -> None:
    """Strange fields count as 0, and hide nothing else."""
    tally = tally_of({b"spooled": b"x", b"last_ms:spooled": b"-5", b"drained": b"2", b"new": b"1"})

    assert tally == Tally(drained=Told(2))


def test_a_key_of_another_type_hides_no_other(world: World) -> None:
    """A shard whose tally is no hash says so; the others are shown."""
    world.given()
    other = type(world.shard)(world.client, "vwo", world.shard.queue, 1)
    world.client.set(other.keys.tally, "x")
    told(world, dropped=(7, 1.0, 1.0))

    good, bad = read_tallies([world.shard, other])

    assert (good.all_unaccepted.events, good.unreadable) == (7, "")
    assert "WRONGTYPE" in bad.unreadable
    assert sum_tallies([good, bad]).all_unaccepted.events == 7


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [
        (Told(5, 2, 100, 200), Told(3, 3, 150, 300), Told(8, 5, 100, 300)),
        (Told(5, 2, 1, 2), Told(3, 3, 2 + HOUR_MS, HOUR_MS * 2), Told(8, 3, 2 + HOUR_MS, HOUR_MS * 2)),
        (Told(), Told(3, 3, 150, 300), Told(3, 3, 150, 300)),
    ],
)  # fmt: skip
def test_sums(one: Told, other: Told, total: Told) -> None:
    """Events add up; of two runs that do not touch, the later one is the latest."""
    assert one + other == other + one == total


def test_events_on_disk() -> None:
    """What was spooled and neither drained nor dropped from there waits on some host's disk."""
    oldest = {"spool_oldest": Told(2), "spool_full": Told(9)}

    assert Tally(oldest, spooled=Told(10), drained=Told(5)).on_disk == 3
    assert Tally(drained=Told(5)).on_disk == 0
