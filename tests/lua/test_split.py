"""split.lua: count the delivered part of a batch and make batches of the rest, in one step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import pytest
from msgspec.structs import replace

from lua.pushing import next_mark
from lua.world import LIMITS, Line, World
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.words.batches import LONGEST_ERROR, Part, part_id
from vwo_celery.queue.words.marks import Mark

#: Size of each event in these tests in bytes, including its separator.
SIZE = 6
#: Longest range in events that passes through the script; Redis copies longer ones.
LONG = 64
SEALED, FIRST = -8_000, -9_000
FIRST_PART, SECOND_PART, THIRD_PART = (part_id("b", number) for number in (1, 2, 3))

Range = tuple[int, int]


def numbered(start: int, end: int) -> list[bytes]:
    """Events that contain their position in the batch."""
    return [b"%05d" % i for i in range(start, end)]


def part(
    fate: Literal["ready", "dead"], *ranges: Range, delay_seconds: float = 0.0, error: str = ""
) -> Part:
    """A part with its true size."""
    size = SIZE * sum(end - start for start, end in ranges)
    return Part(fate, ranges, size, delay_seconds, error)


def leased(world: World, events: int, **line: int | str) -> Line:
    """A shard with only one leased batch of the given number of events, and 2 delivered before."""
    counts = {"accepted": events + 2, "events": events, "bytes": SIZE * events, "delivered": 2}
    times = {"first": world.at(FIRST), "sealed": world.at(SEALED)}
    shown = Line(events=events, bytes=SIZE * events, **{"attempt": 1, **times, **line})  # type: ignore[arg-type]
    world.given(
        meta={**counts, "delivered_ms": 7},
        leases={"b": world.at(9_000)},
        info={"b": shown},
        batches={"b": numbered(0, events)},
    )
    return shown


def split(world: World, *parts: Part, delivered: int = 0, attempt: int = 1) -> bool:
    """Call the script for batch "b"."""
    batch = world.batch("b", attempt=attempt)
    return world.call(world.shard.split, batch, parts, delivered=delivered)


def events_of(world: World, batch_id: str) -> list[bytes]:
    """A batch's events, as a worker reads them."""
    line = world.dump()["info"][batch_id]
    batch = replace(world.batch(batch_id), events=line.events)
    return world.shard.read(batch)


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


# -- who may split


def test_a_second_split_changes_nothing(world: World) -> None:
    """A second split, as after a lost answer, changes nothing: every event exists once."""
    leased(world, 4)
    parts = [part("dead", (0, 1)), part("ready", (2, 4))]
    assert split(world, *parts, delivered=1)

    again = split(world, *parts, delivered=1)

    assert again is False
    assert world.changes() == {}


@pytest.mark.parametrize("attempt", [1, 3])
def test_another_attempt_is_refused(world: World, attempt: int) -> None:
    """The holder of an older lease cannot split the batch of the new holder."""
    leased(world, 4, attempt=2)

    done = split(world, part("ready", (0, 2)), part("ready", (2, 4)), attempt=attempt)

    assert done is False
    assert world.changes() == {}


def test_an_expired_lease_that_nobody_took_may_be_split(world: World) -> None:
    """The holder of an expired lease may split its batch while no other has it: VWO's answer counts."""
    leased(world, 4)
    world.client.zadd(world.shard.keys.leases, {"b": world.at(-5_000)})

    assert split(world, part("ready", (0, 2)), delivered=2) is True
    assert world.snapshot().balanced


@pytest.mark.parametrize("state", ["ready", "dead"])
def test_what_is_not_leased_is_refused(world: World, state: str) -> None:
    """A batch that was released or has died meanwhile is not split."""
    world.given(
        info={"b": Line(attempt=1, events=2)},
        batches={"b": numbered(0, 2)},
        members={state: {"b": world.at(-1)}},
    )

    done = split(world, part("ready", (0, 1)), part("ready", (1, 2)))

    assert done is False
    assert world.changes() == {}


def test_what_is_gone_is_refused(world: World) -> None:
    """A batch that an older holder acked stays delivered."""
    world.given(meta={"delivered": 3})

    assert split(world, part("ready", (0, 1)), part("ready", (1, 2))) is False
    assert world.changes() == {}


# -- events of another program


@pytest.mark.parametrize("count", [4, 2 * LONG])
@pytest.mark.parametrize("push", ["lpush", "rpush"])
def test_what_another_program_pushed_into_it_is_accepted(
    world: World, push: str, count: int
) -> None:
    """The parts hold all that the list holds, in its order; what was not counted is accepted."""
    leased(world, count)
    aliens, own = [b"alien"] * 2, numbered(0, count)
    getattr(world.client, push)(world.shard.keys.batch("b"), *aliens)

    assert split(world, part("dead", (0, 1)), part("ready", (1, count + 2)))

    kept = events_of(world, FIRST_PART) + events_of(world, SECOND_PART)
    assert kept == (own + aliens if push == "lpush" else aliens + own)
    found = world.snapshot()
    assert (found.accepted, found.events("dead"), found.events("ready")) == (
        count + 4,
        1,
        count + 1,
    )
    assert found.balanced


def test_such_events_hide_no_single_push(world: World) -> None:
    """What producers stored singly before is counted once; the list stays an ordinary one."""
    leased(world, 4)
    world.push(Mark("m", 1), b"1")
    assert world.shard.append(next_mark(2), b"2")
    world.client.lpush(world.shard.keys.batch("b"), b"alien")

    assert split(world, part("ready", (0, 5)))
    world.sweep()

    found = world.snapshot()
    assert (found.accepted, found.open_events, found.balanced) == (9, 2, True)
    assert world.client.hget(world.shard.keys.meta, "mixed") is None


# -- programming mistakes


@pytest.mark.parametrize(
    ("parts", "delivered"),
    [
        ([((0, 2),), ((2, 3),)], 0),
        ([((0, 2),), ((1, 4),)], 0),
        ([((0, 2),), ((2, 4),)], 1),
        ([], 3),
        ([], 0),
    ],
    ids=["too few", "too many", "too many with the delivered", "too few delivered", "nothing"],
)
def test_parts_that_are_not_the_batch_are_refused(
    world: World, parts: Sequence[tuple[Range, ...]], delivered: int
) -> None:
    """Parts that do not add up to the batch are refused: no event is lost or duplicated."""
    leased(world, 4)

    with pytest.raises(QueueUnavailable, match="the parts are not the batch"):
        split(world, *[part("ready", *ranges) for ranges in parts], delivered=delivered)

    assert world.changes() == {}


@pytest.mark.parametrize("left", [0, 3])
def test_a_batch_that_is_not_whole_is_refused(world: World, left: int) -> None:
    """A batch from which events were deleted is not split; the next claim finds the deletion."""
    leased(world, 4)
    world.client.ltrim(world.shard.keys.batch("b"), 4 - left, 3)

    with pytest.raises(QueueUnavailable, match=re.escape(f"{4 - left} events of it are gone")):
        split(world, part("ready", (0, 2)), part("ready", (2, 4)))

    assert world.changes() == {}
