"""Changes of what waits, one script each: dropped for good, due at once, or found to have vanished.

Beside `shard`; at an operator's request, but for `vanish`, which whoever meets such a batch calls. If
the process dies inside a function, its script has run as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.logs import announce_drop
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import PURGED, Shard

#: Reason under which events are counted that somebody deleted from Redis.
VANISHED: Final = "vanished"


class Dropped(NamedTuple):
    """Events that were dropped.

    Attributes:
        events: Their number.
        vanished: Number of those among them that somebody had deleted before.
    """

    events: int
    vanished: int


class Hastened(NamedTuple):
    """Batches that were made due at once, and the number of their events."""

    batches: int
    events: int


def vanish(shard: Shard, batch_id: str, *, attempt: int | None = None) -> int:
    """Count a batch as dropped whose events somebody deleted; their number, 0 if that is not so.

    Args:
        shard: The shard.
        batch_id: Its name.
        attempt: The attempt under which the caller holds it; None for one that no worker holds, dead
            or not.

    Raises:
        QueueUnavailable: Redis did not answer; it may be counted.
    """
    k = shard.keys
    keys = (*k.sets, *k.indexes, k.settled, k.batch(batch_id), k.traced)
    held = "" if attempt is None else attempt
    with unavailable(f"look for the events of batch {batch_id}"):
        events = int(script("vanish").run(shard.client, keys, (batch_id, held)))
    if events:
        announce_vanished(shard.queue, events)
    return events


def announce_vanished(queue: str, events: int) -> None:
    """Announce events that somebody deleted from Redis."""
    if events:
        announce_drop(queue, VANISHED, events, "somebody deleted keys of the queue; find out who")


def drop_waiting(shard: Shard, batch_id: str, *, sealed_until_ms: int) -> Dropped:
    """Drop a batch that waits for good, counted as purged; nothing of one that a worker holds.

    Args:
        shard: The shard.
        batch_id: Its name.
        sealed_until_ms: Unix ms; a batch that was sealed later stays.

    Raises:
        QueueUnavailable: Redis did not answer; it may be dropped.
    """
    k = shard.keys
    meta, ready, leases, info, _ = k.sets
    keys = (meta, ready, leases, info, *k.indexes, k.settled, k.batch(batch_id), k.traced)
    with unavailable(f"drop of batch {batch_id}"):
        answer = script("drop").run(shard.client, keys, (batch_id, PURGED, sealed_until_ms))
    return Dropped(*answer)


def drop_open(shard: Shard, most: int, *, begun_until_ms: int) -> int:
    """Drop the oldest events of the open list for good, some at a time; their number.

    Args:
        shard: The shard.
        most: Most events to drop; call again until this many are, or the answer is 0.
        begun_until_ms: Drop nothing of a list that was begun later than that Unix ms.

    Raises:
        QueueUnavailable: Redis did not answer; some may be dropped.
    """
    k = shard.keys
    with unavailable(f"drop of open events of {k.name}"):
        keys, arguments = (k.open, k.meta, k.traces), (most, PURGED, begun_until_ms)
        return int(script("drop_open").run(shard.client, keys, arguments))


def hasten(shard: Shard, batch_ids: Sequence[str] = ()) -> Hastened:
    """Make batches that wait for their next attempt due at once.

    Args:
        shard: The shard.
        batch_ids: Their names; none for those that are due first, some at a time.

    Raises:
        QueueUnavailable: Redis did not answer; some may be due.
    """
    k = shard.keys
    with unavailable(f"retry of {k.name}"):
        return Hastened(*script("hasten").run(shard.client, (k.ready, k.info), batch_ids))


def open_events(shard: Shard) -> int:
    """Number of open events, those of other programs included.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"look at {shard.keys.name}"):
        return int(shard.client.llen(shard.keys.open))


def delayed(shard: Shard, now_ms: int) -> int:
    """Number of batches that are due later than that Unix ms.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"look at {shard.keys.name}"):
        return int(shard.client.zcount(shard.keys.ready, f"({now_ms}", "+inf"))
