"""The operator's actions: pause and resume queues; add, redrive or purge dead letters.

Beside an event's way; delivery never imports it. One script moves one batch: if the process
dies in between, the other batches are as they were, and the same command goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from vwo_celery.logs import announce_drop
from vwo_celery.operating.inspector import shards_of
from vwo_celery.queue.circuit import forget_circuit
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.snapshots import BatchView, Snapshot, take_snapshots
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.shard import PURGED, Shard
from vwo_celery.queue.work import sweeping


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


def pause(fleet: Fleet, registered: Mapping[str, Registration], reason: str) -> list[str]:
    """Pause these queues; the names of those that were not paused before.

    Batches in flight are settled as usual. A queue that was paused before keeps its reason, since
    that may be the only trace of a refusal by VWO.

    Raises:
        QueueUnavailable: Redis did not answer; some queues may be paused.
    """
    shards = [shard for those in shards_of(fleet, registered).values() for shard in those]
    paused = set()
    for shard, snapshot in zip(shards, take_snapshots(shards), strict=True):
        if not snapshot.paused:
            shard.pause(reason, by="operator")
            paused.add(shard.queue)
    return sorted(paused)


def resume(fleet: Fleet, registered: Mapping[str, Registration]) -> list[str]:
    """End the stop of these queues and wake the workers; the names of those that were stopped.

    Whether an operator or a worker paused them, or the circuit is open: released batches are due at
    once, too.

    Raises:
        QueueUnavailable: Redis did not answer; some queues may be resumed.
    """
    resumed = []
    for queue, shards in shards_of(fleet, registered).items():
        forget_circuit(shards[0])  # else a shard that is let go would be held again
        if sum(shard.resume() + shard.let_go(hasten=True) for shard in shards):
            resumed.append(queue)
            for shard in shards:
                _wake(fleet, shard)
    return resumed


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


def add_dead(fleet: Fleet, waiting: Iterable[WaitingBatch], reason: str) -> list[WaitingBatch]:
    """Make dead letters of batches that no worker holds; those that were.

    Raises:
        QueueUnavailable: Redis did not answer; some batches may be dead.
    """
    return [
        each
        for each in waiting
        if fleet.shard(each.queue, each.shard).set_aside(each.batch, reason=reason)
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


def redrive(
    fleet: Fleet,
    dead: Iterable[DeadBatch],
    *,
    each: Callable[[int], None] = lambda _: None,
) -> int:
    """Make dead letters ready again and wake the workers for them.

    Args:
        fleet: The queues.
        dead: The batches; one that is no longer dead is left alone.
        each: Called after each batch with its number of events.

    Returns:
        The number of events put back.

    Raises:
        QueueUnavailable: Redis did not answer; some batches may be ready, the others are still
            dead.
    """
    shards: dict[tuple[str, int], Shard] = {}
    total = 0
    for batch in dead:
        shard = fleet.shard(batch.queue, batch.shard)
        if (batch.queue, batch.shard) not in shards:
            fleet.watch(shard.keys.name)  # a shard that holds only dead letters is not watched
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
        dead: The batches; one that is no longer dead is left alone.
        each: Called after each batch with its number of events.

    Returns:
        The number of events dropped.

    Raises:
        QueueUnavailable: Redis did not answer; some batches may be gone, the others are as they
            were.
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
    wakeups = sweeping.sweep_shard(shard)
    fleet.try_leaving_wakeups(shard.queue, shard.number, [wakeup.token for wakeup in wakeups])
