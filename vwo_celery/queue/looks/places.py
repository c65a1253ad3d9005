"""Which batches are where, as a move or an import asks it.

Beside an event's way. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vwo_celery.connections import unavailable
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import as_text

#: Sets of a shard's batches.
Family = Literal["ready", "released", "leases", "dead"]


def page_of(
    shard: Shard,
    family: Family,
    *,
    until_ms: int | None = None,
    skip: int = 0,
    most: int = 100,
) -> list[str]:
    """Names of batches in one of a shard's sets, the earliest first (of "released", those tried least).

    Args:
        shard: The shard.
        family: The set.
        until_ms: Only those with that time or an earlier one, Unix ms; None for all.
        skip: Number of names to leave out at the beginning.
        most: Most names.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    high = "+inf" if until_ms is None else until_ms
    with unavailable(f"list of batches of {shard.keys.name}"):
        names = shard.client.zrangebyscore(getattr(shard.keys, family), "-inf", high, skip, most)
    return [as_text(name) for name in names]


def still_in(shard: Shard, family: Family, names: Sequence[str]) -> int:
    """The number of these batches that are in one of a shard's sets.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"list of batches of {shard.keys.name}"):
        times = shard.client.zmscore(getattr(shard.keys, family), names)
    return sum(at is not None for at in times)


def oldest_open(shard: Shard, most: int) -> list[bytes]:
    """The oldest *most* events of a shard's open list, oldest first.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"look at the open events of {shard.keys.name}"):
        found: list[bytes] = shard.client.lrange(shard.keys.open, -most, -1)
    return found[::-1]


def dead_events(shards: Sequence[Shard]) -> int:
    """The number of dead events of a queue, by its shards' counters.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return sum(int(each or 0) for each in _each(shards, "dead", "count of dead letters"))


def took_imports(shards: Sequence[Shard]) -> list[Shard]:
    """Those of some queues' shards into which anything was ever imported.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    counts = _each(shards, "imported", "look for imports")
    return [shard for shard, count in zip(shards, counts, strict=True) if count]


def _each(shards: Sequence[Shard], field: str, doing: str) -> list[bytes | None]:
    """A field of the meta hash of each shard."""
    with unavailable(doing):
        pipe = shards[0].client.pipeline(transaction=False)
        for shard in shards:
            pipe.hget(shard.keys.meta, field)
        found: list[bytes | None] = pipe.execute()
    return found


def home_of(shards: Sequence[Shard], batch_id: str) -> Shard | None:
    """The shard that a batch is in, or was imported into lately; None if it is none of these.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    if not shards:
        return None
    with unavailable(f"look for batch {batch_id}"):
        pipe = shards[0].client.pipeline(transaction=False)
        for shard in shards:
            pipe.hget(shard.keys.info, batch_id)
            pipe.hget(shard.keys.leaving, batch_id)
            pipe.zscore(shard.keys.arrived, batch_id)
        answers = iter(pipe.execute())
    for shard in shards:
        line, gone, trace = next(answers), next(answers), next(answers)
        if line is not None or gone is not None or (trace or 0) > 0:
            return shard
    return None
