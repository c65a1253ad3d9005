"""What an operator does: pause and resume queues, put dead letters back or drop them for good.

Place: work, beside an event's way; delivery never imports it. Each batch is moved by one script, so
that if the process dies in between, the rest is as it was, and the same command goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from vwo_celery.logs import announce_drop
from vwo_celery.operating.inspector import shards_of
from vwo_celery.queue import sweeping
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.shard import PURGED, Shard
from vwo_celery.queue.snapshots import BatchView, Snapshot, take_snapshots


class DeadBatch(msgspec.Struct, frozen=True):
    """One batch that is tried no more.

    Attributes:
        queue: Whose it is.
        shard: In which of the queue's shards.
        batch: Its name.
        events: Number of events in it.
        bytes: Their size.
        attempts: How often it was tried.
        reason: Why it was given up.
        died_ms: Unix ms of its dead-lettering.
        died_age_seconds: Time since then.
        first_ms: Unix ms at which its oldest event was enqueued.
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


def pause(fleet: Fleet, registered: Mapping[str, Registration], reason: str) -> list[str]:
    """Have nothing claimed from these queues; the names of those that were not paused before.

    What is in flight is settled as usual. A queue that is paused keeps its reason, which may be all
    that is known of a refusal of VWO's.

    Raises:
        QueueUnavailable: Redis did not answer; some of them may be paused.
    """
    shards = [shard for those in shards_of(fleet, registered).values() for shard in those]
    paused = set()
    for shard, snapshot in zip(shards, take_snapshots(shards), strict=True):
        if not snapshot.paused:
            shard.pause(reason)
            paused.add(shard.queue)
    return sorted(paused)


def resume(fleet: Fleet, registered: Mapping[str, Registration]) -> list[str]:
    """End the pause of these queues and wake the workers for them; the names of those paused.

    Raises:
        QueueUnavailable: Redis did not answer; some of them may be resumed.
    """
    resumed = []
    for queue, shards in shards_of(fleet, registered).items():
        if sum(shard.resume() for shard in shards):
            resumed.append(queue)
            for shard in shards:
                _wake(fleet, shard)
    return resumed


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
        registered: Whose dead letters.
        batches: Only those of these names; none for all.
        reason: Only those whose reason contains this text, in upper or lower case.

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
    """JSON of the oldest *most* events of a dead letter; fewer if it holds fewer.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return fleet.shard(dead.queue, dead.shard).first_events(dead.batch, most)


def redrive(
    fleet: Fleet,
    dead: Iterable[DeadBatch],
    *,
    each: Callable[[int], None] = lambda _: None,
) -> int:
    """Put dead letters back to be sent, and wake the workers for them.

    Args:
        fleet: The queues.
        dead: Which; one that is dead no more is left alone.
        each: Called after each batch with the number of its events.

    Returns:
        The number of events put back.

    Raises:
        QueueUnavailable: Redis did not answer; some may be put back, the others are still dead.
    """
    shards: dict[tuple[str, int], Shard] = {}
    total = 0
    for batch in dead:
        shard = fleet.shard(batch.queue, batch.shard)
        if (batch.queue, batch.shard) not in shards:
            fleet.watch(
                shard.keys.name
            )  # one that holds nothing but dead letters is not under watch
            shards[batch.queue, batch.shard] = shard
        events = shard.redrive(batch.batch)
        total += events
        each(events)
    for shard in shards.values():
        _wake(fleet, shard)
    return total


def purge(
    fleet: Fleet, dead: Iterable[DeadBatch], *, each: Callable[[int], None] = lambda _: None
) -> int:
    """Drop dead letters for good, counted and announced as dropped with the reason "purged".

    Args:
        fleet: The queues.
        dead: Which; one that is dead no more is left alone.
        each: Called after each batch with the number of its events.

    Returns:
        The number of events dropped.

    Raises:
        QueueUnavailable: Redis did not answer; some may be gone, the others are as they were.
    """
    dropped: Counter[str] = Counter()
    try:
        for batch in dead:
            events = fleet.shard(batch.queue, batch.shard).purge(batch.batch)
            dropped[batch.queue] += events
            each(events)
    finally:
        for queue, count in (+dropped).items():
            announce_drop(queue, PURGED, count, "an operator purged dead letters")
    return dropped.total()


def _wake(fleet: Fleet, shard: Shard) -> None:
    wakeups, _ = sweeping.sweep_shard(shard)
    fleet.leave_wakeups(shard.queue, shard.number, [wakeup.token for wakeup in wakeups])
