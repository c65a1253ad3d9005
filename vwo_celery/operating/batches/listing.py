"""The batches of a queue in one state, and the events of one of them, page by page.

Beside an event's way; nothing to lose. However much the queue holds, only the wanted batches and events
are read.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Final

import msgspec

from vwo_celery.operating.looks.inspector import shards_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks import pages
from vwo_celery.queue.looks.snapshots import BatchView, State
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration

__all__ = ["BATCH_STATES", "ListedBatch", "State", "events_in", "list_batches"]

#: States of batches, in the order in which they leave; dead ones do not.
BATCH_STATES: Final[tuple[State, ...]] = ("in_flight", "ready", "released", "dead")


class ListedBatch(msgspec.Struct, frozen=True):
    """One batch as lists show it.

    Attributes:
        queue: The queue it belongs to.
        shard: Number of the queue's shard that holds it.
        batch: Its name.
        state: "in_flight", "ready", "released" or "dead".
        events: Number of events in it.
        bytes: Their size.
        attempts: Attempts to deliver it so far.
        oldest_age_seconds: Time since its oldest event was enqueued; None if that is not known.
        at_seconds: Time until its lease ends, or until it is due; below 0 where that is past. Of a dead
            letter, below 0: the time since it died.
        reason: Why it was last released or dead-lettered, "" if it never was.
    """

    queue: str
    shard: int
    batch: str
    state: State
    events: int
    bytes: int
    attempts: int
    oldest_age_seconds: float | None
    at_seconds: float
    reason: str


def list_batches(
    fleet: Fleet, queue: str, registration: Registration, state: State, most: int
) -> list[ListedBatch]:
    """The batches of a queue in a state: those that leave first, and the latest dead letters.

    Args:
        fleet: The queues.
        queue: The queue's name.
        registration: Its registration.
        state: One of `BATCH_STATES`.
        most: Most batches.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    now_ms, newest_first = fleet.now_ms(), state == "dead"
    sign = -1 if newest_first else 1
    parts = [
        _of_shard(shard, pages.batches(shard, state, now_ms, page=most, newest_first=newest_first))
        for shard in shards_of(fleet, {queue: registration})[queue]
    ]
    found = heapq.merge(*parts, key=lambda each: sign * each[1].at_ms)
    return [_listed(shard, view, now_ms) for shard, view in islice(found, most)]


def _of_shard(shard: Shard, views: Iterator[BatchView]) -> Iterator[tuple[Shard, BatchView]]:
    return ((shard, view) for view in views)


def _listed(shard: Shard, view: BatchView, now_ms: int) -> ListedBatch:
    return ListedBatch(
        queue=shard.queue,
        shard=shard.number,
        batch=view.id,
        state=view.state,
        events=view.events,
        bytes=view.bytes,
        attempts=view.attempt,
        oldest_age_seconds=max(0, now_ms - view.first_ms) / 1000 if view.first_ms else None,
        at_seconds=(view.at_ms - now_ms) / 1000,
        reason=view.error,
    )


def events_in(fleet: Fleet, listed: ListedBatch, start: int, most: int) -> list[bytes]:
    """Events of a batch, encoded, the oldest first; none if it is gone meanwhile.

    Args:
        fleet: The queues.
        listed: The batch.
        start: Number of events to leave out, from the oldest on.
        most: Most events.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    shard = fleet.shard(listed.queue, listed.shard)
    return [*pages.events(shard, listed.batch, start=start, most=most)]
