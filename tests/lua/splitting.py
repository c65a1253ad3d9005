"""What the tests of split.lua share: numbered events, parts of a batch, and a leased batch to split."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from lua.world import Line, World
from vwo_celery.queue.words.batches import Part, part_id

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
