"""Batches as an operator finds them: dead letters, and those that wait or are in flight.

Beside an event's way. Looking changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vwo_celery.operating.inspector import shards_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.snapshots import BatchView, Snapshot, take_snapshots
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.shard import Shard


class DeadBatch(msgspec.Struct, frozen=True):
    """One dead-lettered batch.

    Attributes:
        queue: The queue it belongs to.
        shard: Number of the queue's shard that holds it.
        batch: Its name.
        events: Number of events in it.
        bytes: Their size.
        attempts: Attempts to deliver it.
        reason: Why it was dead-lettered.
        died_ms: Unix ms of its dead-lettering.
        died_age_seconds: Time since then.
        first_ms: Unix ms at which its oldest event was enqueued.
        matching_events: Places, from 1, of its events of which a filter's words on events are true.
    """

    queue: str
    shard: int
    batch: str
    events: int
    bytes: int
    attempts: int
    reason: str
    died_ms: int
    died_age_seconds: float
    first_ms: int
    matching_events: tuple[int, ...] = ()


class WaitingBatch(msgspec.Struct, frozen=True):
    """One batch that is not dead.

    Attributes:
        queue: The queue it belongs to.
        shard: Number of the queue's shard that holds it.
        batch: Its name.
        state: "ready", "released" or "in_flight".
        events: Number of events in it.
    """

    queue: str
    shard: int
    batch: str
    state: str
    events: int


def find_waiting(
    fleet: Fleet, registered: Mapping[str, Registration], batches: Sequence[str]
) -> list[WaitingBatch]:
    """Those of these batches that are in one of the queues and not dead.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    shards = [shard for those in shards_of(fleet, registered).values() for shard in those]
    return [
        WaitingBatch(shard.queue, shard.number, batch.id, batch.state, batch.events)
        for shard, snapshot in zip(shards, take_snapshots(shards), strict=True)
        for batch in snapshot.batches
        if batch.state != "dead" and batch.id in batches
    ]


def find_dead(
    fleet: Fleet,
    registered: Mapping[str, Registration],
    *,
    batches: Sequence[str] = (),
    reason: str = "",
) -> list[DeadBatch]:
    """The dead letters of these queues, the newest first.

    Args:
        fleet: The queues.
        registered: The queues whose dead letters are wanted.
        batches: Names of the batches that are wanted; none for all.
        reason: Text that the reason must contain, in upper or lower case.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    shards = [shard for those in shards_of(fleet, registered).values() for shard in those]
    found = [
        _dead_batch(shard, snapshot, batch)
        for shard, snapshot in zip(shards, take_snapshots(shards), strict=True)
        for batch in snapshot.batches
        if batch.state == "dead"
        and (not batches or batch.id in batches)
        and reason.lower() in batch.error.lower()
    ]
    return sorted(found, key=lambda dead: (-dead.died_ms, dead.batch))


def _dead_batch(shard: Shard, snapshot: Snapshot, batch: BatchView) -> DeadBatch:
    return DeadBatch(
        queue=shard.queue,
        shard=shard.number,
        batch=batch.id,
        events=batch.events,
        bytes=batch.bytes,
        attempts=batch.attempt,
        reason=batch.error,
        died_ms=batch.at_ms,
        died_age_seconds=max(0, snapshot.now_ms - batch.at_ms) / 1000,
        first_ms=batch.first_ms,
    )


def first_events(fleet: Fleet, dead: DeadBatch, most: int) -> list[bytes]:
    """The oldest *most* events of a dead letter, encoded; fewer if it holds fewer.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return fleet.shard(dead.queue, dead.shard).first_events(dead.batch, most)
