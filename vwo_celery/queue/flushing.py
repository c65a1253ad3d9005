"""Flush: seal the open events now, whatever their age, and watch until they are delivered.

Stage 2 of an event's way, at somebody's request. A flush is a sweep that does not wait for age, and
then polls Redis until none of the sealed batches is left. If the process dies here, the batches are
delivered anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from vwo_celery.queue.capacity import OLDEST
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.registration import Registration, Wakeup
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.snapshots import take_snapshot
from vwo_celery.queue.sweeping import skipping_refusals, sweep_shard

_FIRST_POLL_SECONDS = 0.01
_LONGEST_POLL_SECONDS = 0.2
_NUDGE_SECONDS = 1.0


class FlushCounts(NamedTuple):
    """The result of a flush: numbers of events, and why not all were delivered."""

    delivered: int
    failed: int
    pending: int
    reason: str


def flush(fleet: Fleet, registration: Registration, *, timeout_seconds: float) -> FlushCounts:
    """Seal the open events of one queue, wake the workers, and wait for the outcome.

    Raises:
        QueueUnavailable: Redis did not answer; what is pending stays pending.
    """
    shards = fleet.all_shards(registration)
    queue = registration.destination.queue
    return flush_shards(fleet, shards, timeout_seconds=timeout_seconds)[queue]


def flush_shards(
    fleet: Fleet,
    shards: Sequence[Shard],
    *,
    timeout_seconds: float,
    watch: Callable[[FlushCounts], None] = lambda _: None,
) -> dict[str, FlushCounts]:
    """Flush any shards of any queues under one deadline; see `flush`.

    Args:
        fleet: The queues.
        shards: The shards to flush.
        timeout_seconds: Longest wait; 0 only wakes the workers.
        watch: Called at each poll with the counts of all queues together.

    Returns:
        The result of each queue.

    Raises:
        QueueUnavailable: Redis did not answer; what is pending stays pending.
    """
    wakeups = [wakeup for shard in shards for wakeup in sweep_shard(shard, force=True)[0]]
    flushes = [_Flush(shard) for shard in shards]
    _leave(fleet, wakeups)  # only now, so that the counts include what these deliver
    _await(fleet, flushes, timeout_seconds, watch)
    queues: dict[str, list[_Flush]] = {}
    for each in flushes:
        queues.setdefault(each.shard.queue, []).append(each)
    return {queue: _counts(fleet, parts) for queue, parts in queues.items()}


class _Flush:
    """One shard's part of a flush: the events of each batch that is still awaited."""

    def __init__(self, shard: Shard) -> None:
        snapshot = take_snapshot(shard)
        sealed = (batch for batch in snapshot.batches if batch.state != "dead")
        self.shard = shard
        self.awaited = {batch.id: batch.events for batch in sealed}
        self.total = sum(self.awaited.values())
        self.dead = 0
        self._dropped = snapshot.dropped.get(OLDEST, 0)

    @property
    def pending(self) -> int:
        """Events still awaited."""
        return sum(self.awaited.values())

    def look(self) -> None:
        """Take out the batches that have been settled."""
        if not self.awaited:
            return
        dead, gone = self.shard.settled(list(self.awaited))
        for batch_id in gone:
            del self.awaited[batch_id]
        if gone:  # a batch that was split is gone, too; its parts are still awaited
            self.awaited |= self.shard.parts_of(gone)
        self.dead += sum(self.awaited.pop(batch_id) for batch_id in dead)

    def dropped(self) -> int:
        """Most events, of those that are gone, that can have been dropped for newer ones."""
        dropped = take_snapshot(self.shard).dropped.get(OLDEST, 0) - self._dropped
        return min(max(0, dropped), self.total - self.dead - self.pending)


def _sum(flushes: Sequence[_Flush]) -> FlushCounts:
    dead, pending = sum(each.dead for each in flushes), sum(each.pending for each in flushes)
    return FlushCounts(sum(each.total for each in flushes) - dead - pending, dead, pending, "")


def _counts(fleet: Fleet, flushes: Sequence[_Flush]) -> FlushCounts:
    counts, dropped = _sum(flushes), sum(each.dropped() for each in flushes)
    counts = counts._replace(delivered=counts.delivered - dropped, failed=counts.failed + dropped)
    if counts.pending:
        return counts._replace(reason=_why_pending(fleet, [each.shard for each in flushes]))
    why = "dead-lettered, or dropped for newer events" if dropped else "dead-lettered"
    return counts._replace(reason=why if counts.failed else "")


def _leave(fleet: Fleet, wakeups: Iterable[Wakeup]) -> None:
    """Leave wake-ups; the workers' own sweep makes up for one that Redis refuses."""
    for wakeup in wakeups:
        with skipping_refusals(f"a wake-up for {wakeup.queue}"):
            fleet.leave_wakeups(wakeup.queue, wakeup.shard, [wakeup.token])


def _await(
    fleet: Fleet,
    flushes: Sequence[_Flush],
    timeout_seconds: float,
    watch: Callable[[FlushCounts], None],
) -> None:
    """Poll until all batches are settled or the time is over."""
    started, nudged, pause = time.monotonic(), 0.0, _FIRST_POLL_SECONDS
    while True:
        for each in flushes:
            each.look()
        waited = time.monotonic() - started
        awaited = [each.shard for each in flushes if each.awaited]
        if not awaited or waited >= timeout_seconds:
            return
        watch(_sum(flushes))
        if waited - nudged >= _NUDGE_SECONDS:
            nudged = waited
            for shard in awaited:  # wake-ups may have been lost
                _leave(fleet, sweep_shard(shard)[0])
        time.sleep(min(pause, timeout_seconds - waited))
        pause = min(2 * pause, _LONGEST_POLL_SECONDS)


def _why_pending(fleet: Fleet, shards: Iterable[Shard]) -> str:
    if not fleet.listeners():
        return "no worker listens; start one: celery -A vwo_celery.celery.app worker"
    snapshots = [take_snapshot(shard) for shard in shards]
    for snapshot in snapshots:
        if snapshot.paused:
            return f"the queue is paused: {snapshot.paused}"
        for batch in snapshot.batches:
            if batch.state == "released":
                return f"VWO did not accept it yet: {batch.error}"
    return "time was over before everything was sent"
