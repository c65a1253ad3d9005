"""Flush: seal the open events now, whatever their age, and watch until they are delivered.

Stage 2 of an event's way, at somebody's request. A flush is a sweep that does not wait for age, and
then polls Redis until nothing is left of what was sealed. It reads no batch of the backlog, so it
costs what is settled while it waits. If the process dies here, the batches are delivered anyway.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from vwo_celery.clocks import monotonic
from vwo_celery.queue.capacity import DEAD_LETTERS_FULL, OLDEST
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling.moving import EXPORTED, MOVED
from vwo_celery.queue.shard import PURGED, Shard
from vwo_celery.queue.words.registration import Registration, Wakeup
from vwo_celery.queue.work import settlements
from vwo_celery.queue.work.awaiting import Awaited
from vwo_celery.queue.work.obstacles import why_pending
from vwo_celery.queue.work.sweeping import sweep_shard
from vwo_celery.text.amounts import count

_FIRST_POLL_SECONDS = 0.01
_LONGEST_POLL_SECONDS = 0.2
_NUDGE_SECONDS = 1.0
#: What became of events that were neither delivered nor dead, by the reason that the notes tell.
_DROPS = {
    OLDEST: "dropped for newer ones",
    DEAD_LETTERS_FULL: "dropped as dead letters beyond max_dead_events",
    PURGED: "dropped by an operator",
    EXPORTED: "taken into a file by an operator",
    MOVED: "moved to another destination by an operator",
}


class FlushCounts(NamedTuple):
    """The result of a flush: numbers of events, and why not all were delivered.

    `failed` are dead-lettered, dropped, or lost by Redis.
    """

    delivered: int
    failed: int
    pending: int
    reason: str


#: Entered by a queue's name for each step at one of its shards; may keep an error of the queue's own.
Guard = Callable[[str], AbstractContextManager[None]]


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
    guard: Guard = lambda _: nullcontext(),
) -> dict[str, FlushCounts]:
    """Flush any shards of any queues under one deadline; see `flush`.

    Args:
        fleet: The queues.
        shards: The shards to flush.
        timeout_seconds: Longest wait; 0 only wakes the workers.
        watch: Called at each poll with the counts of all queues together.
        guard: Without one, an error of one queue ends the flush of all.

    Returns:
        The result of each queue of which a shard could be flushed.

    Raises:
        QueueUnavailable: Redis did not answer; what is pending stays pending.
    """
    flushes = _begin(fleet, shards, guard)
    _await(fleet, flushes, timeout_seconds, watch, guard)
    queues: dict[str, list[Awaited]] = {}
    for each in flushes:
        queues.setdefault(each.shard.queue, []).append(each)
    return {queue: _counts(fleet, parts, guard) for queue, parts in queues.items()}


def _begin(fleet: Fleet, shards: Sequence[Shard], guard: Guard) -> list[Awaited]:
    """Seal what the shards hold, note what is awaited, and wake the workers."""
    wakeups: list[Wakeup] = []
    flushes = []
    for shard in shards:
        with guard(shard.queue):
            wakeups += sweep_shard(shard, force=True)
            flushes.append(Awaited(shard))
    _leave(fleet, wakeups)  # only now, so that the counts include what these deliver
    return flushes


def _sum(flushes: Sequence[Awaited]) -> FlushCounts:
    failed = sum(each.dead + each.dropped.total() + each.lost for each in flushes)
    delivered = sum(each.delivered for each in flushes)
    return FlushCounts(delivered, failed, sum(each.pending for each in flushes), "")


def _counts(fleet: Fleet, flushes: Sequence[Awaited], guard: Guard) -> FlushCounts:
    counts, why = _sum(flushes), []
    with guard(flushes[0].shard.queue):
        why = [why_pending(fleet, [each.shard for each in flushes])] if counts.pending else []
    return counts._replace(reason="; ".join([*why, *_why_failed(flushes)]))


def _why_failed(flushes: Sequence[Awaited]) -> Iterator[str]:
    """What became of the events that failed, one text for each fate."""
    dead, lost = sum(each.dead for each in flushes), sum(each.lost for each in flushes)
    if dead:
        yield f"{count(dead, 'event')} dead-lettered, see: vwo-celery dead list"
    dropped = sum((each.dropped for each in flushes), Counter[str]())
    for reason, events in dropped.items():
        did = _DROPS.get(reason, "dropped for another reason")
        yield f"{count(events, 'event')} {did} ({reason})"
    if lost:
        yield f"{count(lost, 'event')} gone from Redis, which lost them, or their keys were deleted"


def _leave(fleet: Fleet, wakeups: Iterable[Wakeup]) -> None:
    """Leave wake-ups; the workers' own sweep makes up for one that Redis refuses."""
    for wakeup in wakeups:
        fleet.try_leaving_wakeups(wakeup.queue, wakeup.shard, [wakeup.token])


def _await(
    fleet: Fleet,
    flushes: Sequence[Awaited],
    timeout_seconds: float,
    watch: Callable[[FlushCounts], None],
    guard: Guard,
) -> None:
    """Poll until all batches are settled or the time is over."""
    started, nudged, pause = monotonic(), 0.0, _FIRST_POLL_SECONDS
    while True:
        waited = monotonic() - started
        nudging = waited - nudged >= _NUDGE_SECONDS
        for each in flushes:
            with guard(each.shard.queue):
                each.look(search=nudging)
        awaited = [each.shard for each in flushes if each.pending]
        if not awaited or waited >= timeout_seconds:
            return
        watch(_sum(flushes))
        if nudging:
            nudged, now_ms = waited, fleet.now_ms()
            for shard in awaited:  # wake-ups may have been lost
                with guard(shard.queue):
                    settlements.ask_for_notes(shard, now_ms)
                    _leave(fleet, sweep_shard(shard))
        time.sleep(min(pause, timeout_seconds - waited))
        pause = min(2 * pause, _LONGEST_POLL_SECONDS)
