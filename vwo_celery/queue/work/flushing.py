"""Flush: seal the open events now, whatever their age, and watch until they are delivered.

Stage 2 of an event's way, at somebody's request. A flush is a sweep that does not wait for age, and
then polls Redis until none of the sealed batches is left. If the process dies here, the batches are
delivered anyway.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.batches import as_ms, descends
from vwo_celery.queue.capacity import DEAD_LETTERS_FULL, OLDEST
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.moving import EXPORTED, MOVED
from vwo_celery.queue.registration import Registration, Wakeup
from vwo_celery.queue.shard import PURGED, Shard
from vwo_celery.queue.work import settlements
from vwo_celery.queue.work.settlements import DELIVERED, Note
from vwo_celery.queue.work.sweeping import sweep_shard
from vwo_celery.text.amounts import count

_FIRST_POLL_SECONDS = 0.01
_LONGEST_POLL_SECONDS = 0.2
_NUDGE_SECONDS = 1.0
#: Time for which notes on settled batches are asked for; renewed at each nudge.
_NOTES_SECONDS = 30.0
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
    now_ms = fleet.now_ms()
    _ask_for_notes(shards, now_ms)  # before the look at what there is, so that none is missed
    wakeups = [wakeup for shard in shards for wakeup in sweep_shard(shard, force=True)]
    flushes = [_Flush(shard, now_ms) for shard in shards]
    _leave(fleet, wakeups)  # only now, so that the counts include what these deliver
    _await(fleet, flushes, timeout_seconds, watch)
    queues: dict[str, list[_Flush]] = {}
    for each in flushes:
        queues.setdefault(each.shard.queue, []).append(each)
    return {queue: _counts(fleet, parts) for queue, parts in queues.items()}


def _ask_for_notes(shards: Iterable[Shard], now_ms: int) -> None:
    for shard in shards:
        settlements.ask_for_notes(shard, now_ms + as_ms(_NOTES_SECONDS))


class _Flush:
    """One shard's part of a flush: the batches that are still awaited, and what became of the others.

    Attributes:
        shard: The shard.
        awaited: Number of events of each batch that is not settled, as far as is known.
        dead: Events that were dead-lettered.
        dropped: Events that were dropped, by reason.
    """

    def __init__(self, shard: Shard, now_ms: int) -> None:
        snapshot = take_snapshot(shard)
        sealed = (batch for batch in snapshot.batches if batch.state != "dead")
        self.shard = shard
        self.awaited = {batch.id: batch.events for batch in sealed}
        self.dead = 0
        self.dropped: Counter[str] = Counter()
        self._begun_with = dict(self.awaited)
        self._noted = 0
        self._untold = 0
        self._dead_batches: set[str] = set()
        self._delivered_before = snapshot.delivered
        self._delivered_noted = 0
        self._notes: dict[str, Note] = {}
        self._seen: set[Note] = set()
        self._read_ms = now_ms

    @property
    def pending(self) -> int:
        """Events still awaited."""
        return sum(self.awaited.values())

    @property
    def delivered(self) -> int:
        """Events that VWO accepted: by the notes, and by the counter where no note was left."""
        return self._noted + self._untold

    @property
    def lost(self) -> int:
        """Events that are gone and were neither delivered, dead-lettered nor dropped."""
        return max(0, self._unaccounted - self._untold)

    @property
    def _unaccounted(self) -> int:
        known = self._noted + self.dead + self.dropped.total() + self.pending
        return max(0, sum(self._begun_with.values()) - known)

    def look(self) -> None:
        """Take out the batches that have been settled, and count how."""
        if not self.awaited:
            return
        dead, gone = settlements.look(self.shard, list(self.awaited))
        for batch_id in gone:
            del self.awaited[batch_id]
        if gone:  # a batch that was split is gone, too; its parts are still awaited
            self.awaited |= settlements.parts_of(self.shard, gone)
        self._dead_batches.update(dead)
        self.dead += sum(self.awaited.pop(batch_id) for batch_id in dead)
        self._read_notes()
        self._count_notes()
        if self._unaccounted:
            self._look_for_untold()

    def _read_notes(self) -> None:
        for at_ms, note in settlements.read_notes(self.shard, self._read_ms):
            if note not in self._seen:
                self._seen.add(note)
                self._read_ms = max(self._read_ms, at_ms)
                self._delivered_noted += note.events if note.outcome == DELIVERED else 0
                if descends(note.batch, self._begun_with):
                    self._notes[note.batch] = note

    def _count_notes(self) -> None:
        """Count the notes of batches that are gone; one that went since the last look waits."""
        for batch_id in [name for name in self._notes if not descends(name, self.awaited)]:
            note = self._notes.pop(batch_id)
            if batch_id in self._dead_batches:
                continue
            if note.outcome == DELIVERED:
                self._noted += note.events
            else:
                self.dropped[note.outcome] += note.events

    def _look_for_untold(self) -> None:
        """Count deliveries without a note: workers of releases before 0.2 leave none.

        There are at most as many as the ledger's counter has grown beyond the notes.
        """
        grown = settlements.delivered_events(self.shard) - self._delivered_before
        self._untold = min(self._unaccounted, max(0, grown - self._delivered_noted))


def _sum(flushes: Sequence[_Flush]) -> FlushCounts:
    failed = sum(each.dead + each.dropped.total() + each.lost for each in flushes)
    delivered = sum(each.delivered for each in flushes)
    return FlushCounts(delivered, failed, sum(each.pending for each in flushes), "")


def _counts(fleet: Fleet, flushes: Sequence[_Flush]) -> FlushCounts:
    counts = _sum(flushes)
    why = [_why_pending(fleet, [each.shard for each in flushes])] if counts.pending else []
    return counts._replace(reason="; ".join([*why, *_why_failed(flushes)]))


def _why_failed(flushes: Sequence[_Flush]) -> Iterator[str]:
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
    flushes: Sequence[_Flush],
    timeout_seconds: float,
    watch: Callable[[FlushCounts], None],
) -> None:
    """Poll until all batches are settled or the time is over."""
    started, nudged, pause = monotonic(), 0.0, _FIRST_POLL_SECONDS
    while True:
        for each in flushes:
            each.look()
        waited = monotonic() - started
        awaited = [each.shard for each in flushes if each.awaited]
        if not awaited or waited >= timeout_seconds:
            return
        watch(_sum(flushes))
        if waited - nudged >= _NUDGE_SECONDS:
            nudged = waited
            _ask_for_notes(awaited, fleet.now_ms())
            for shard in awaited:  # wake-ups may have been lost
                _leave(fleet, sweep_shard(shard))
        time.sleep(min(pause, timeout_seconds - waited))
        pause = min(2 * pause, _LONGEST_POLL_SECONDS)


def nobody_listens(fleet: Fleet) -> bool:
    """Whether no worker listens; False while the part of a Cluster is away that knows them."""
    try:
        return not fleet.listeners()
    except QueueUnavailable:
        if not fleet.in_cluster:
            raise
        return False


def _why_pending(fleet: Fleet, shards: Iterable[Shard]) -> str:
    if nobody_listens(fleet):
        return "no worker listens; start one: celery -A vwo_celery.celery.app worker"
    snapshots = [take_snapshot(shard) for shard in shards]
    for snapshot in snapshots:
        if snapshot.paused:
            return f"the queue is paused: {snapshot.paused}"
        if snapshot.held_until_ms and snapshot.held_by == "refusal":
            return f"the queue is stopped until VWO accepts again: {snapshot.held_why}"
        if snapshot.held_until_ms and snapshot.held_by == "workers":
            return f"no worker that listens may send it: {snapshot.held_why}"
        for batch in snapshot.batches:
            if batch.state == "released":
                return f"VWO did not accept it yet: {batch.error}"
    return "time was over before everything was sent"
