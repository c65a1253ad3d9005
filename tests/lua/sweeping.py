"""What the tests of sweep.lua share: times, states of a shard, and the names of sealed batches."""

from __future__ import annotations

from typing import Any

from lua.world import LIMITS, World
from vwo_celery.queue.words.answers import Swept

SECOND = 1_000
YOUNG = -10 * SECOND
DUE = -LIMITS.interval_ms


def watched(world: World) -> dict[str, int | str]:
    """The `watched` time of a shard that was swept a moment ago."""
    return {"watched": world.at(0)}


def own(world: World, first_ms: int, *events: bytes) -> dict[str, Any]:
    """A state whose open list holds these events, all enqueued by our producers."""
    size = sum(map(len, events)) + len(events)
    counts = {"open_events": len(events), "events": len(events), "accepted": len(events)}
    sizes = {"open_bytes": size, "bytes": size}
    meta = {**watched(world), **counts, **sizes, "first_ms": world.at(first_ms)}
    return {"meta": meta, "open": events}


def name_of(swept: Swept, number: int = 0) -> str:
    """The id of a batch that this sweep sealed."""
    return f"{swept.token}.{number:04d}"
