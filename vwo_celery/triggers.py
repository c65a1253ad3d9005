"""Stage 2 of an event's way: what makes a batch leave, by size, by age, or because somebody asks.

A wake-up is only a hint and may be lost at any point: the sweep finds whatever is due, and any number
of sweepers may run it at once. The flush is a sweep that does not wait for age, and then watches
what becomes of the batches. Nothing is lost if a process dies here; a wake-up's slot expires.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from redis.exceptions import ResponseError

from vwo_celery.batches import as_ms
from vwo_celery.capacity import OLDEST
from vwo_celery.connections import unavailable
from vwo_celery.errors import QueueUnavailable
from vwo_celery.fleet import Fleet, Registration, Wakeup
from vwo_celery.settings import Settings
from vwo_celery.snapshots import take_snapshot
from vwo_celery.store import Shard

log = logging.getLogger("vwo_celery")

#: Registered queues that one sweep checks for events which nobody announced.
AUDITED_QUEUES = 100
#: A shard that held nothing for so long is not looked at any more.
IDLE_SECONDS = 600.0
#: Beyond the longest delay that we give, a batch is hidden only because Redis' clock stepped back.
_HORIZON_MARGIN_SECONDS = 60.0
_NO_HORIZON_MS = 10**12
_FIRST_POLL_SECONDS = 0.01
_LONGEST_POLL_SECONDS = 0.2
_NUDGE_SECONDS = 1.0


class FlushCounts(NamedTuple):
    """What a flush achieved: events, and why not all of them were delivered."""

    delivered: int
    failed: int
    pending: int
    reason: str


def tokens(stem: str, count: int) -> Iterator[str]:
    """Tokens of the wake-up slots that a script handed out under *stem*."""
    return (f"{stem}:{i}" for i in range(1, count + 1))


def sweep(fleet: Fleet, settings: Settings, *, by: str) -> list[Wakeup]:
    """Seal what is old enough and find what is ready, in every queue that holds something.

    Args:
        fleet: The queues.
        settings: A worker's.
        by: Who runs it, "beat" or "listener", left as a sign of life.

    Returns:
        Wake-ups to be turned into `deliver` tasks, one each.

    Raises:
        QueueUnavailable: Redis did not answer; the next sweep goes on.
    """
    with going_on("the sign of life"):
        fleet.note_sweep(by)
    with going_on("the audit"):
        audit(fleet)
    wakeups = []
    for shard in fleet.watched():
        with going_on(shard.keys.name):
            found, idle = sweep_shard(shard, settings)
            wakeups += found
            if idle:
                fleet.unwatch(shard)
    return wakeups


@contextmanager
def going_on(without: str) -> Iterator[None]:
    """Log what Redis refuses, so that one thing that is wrong does not hold up all the others.

    Raises:
        QueueUnavailable: Redis did not answer at all.
    """
    try:
        yield
    except QueueUnavailable as exc:
        if not isinstance(exc.__cause__, ResponseError):
            raise
        log.warning("going on without %s: %s", without, exc)


def sweep_shard(
    shard: Shard, settings: Settings | None = None, *, force: bool = False
) -> tuple[list[Wakeup], bool]:
    """Wake-ups for what is ready in one shard, and whether it has long held nothing.

    Args:
        shard: Which.
        settings: A worker's: what is hidden for longer than its longest delay became so by a clock
            that stepped back, and is shown. None leaves that to those who know the workers' settings.
        force: Seal what is open, whatever its age.
    """
    horizon_ms = _horizon_ms(settings) if settings is not None else _NO_HORIZON_MS
    wakeups: list[Wakeup] = []
    while True:
        swept = shard.sweep(force=force, horizon_ms=horizon_ms, idle_ms=as_ms(IDLE_SECONDS))
        wakeups += (
            Wakeup(shard.queue, shard.number, token) for token in tokens(swept.token, swept.wakeups)
        )
        if not swept.more:
            return wakeups, bool(swept.idle)


def audit(fleet: Fleet) -> None:
    """Put shards under watch that hold something though nobody said so, a slice of them at a time.

    That is how events of programs that only LPUSH are noticed, and what heals a lost watch.
    """
    registered = fleet.some_registrations(AUDITED_QUEUES)
    shards = [
        fleet.shard(queue, number)
        for queue, registration in registered.items()
        for number in range(registration.shards)
    ]
    with unavailable("audit"):
        pipe = fleet.client.pipeline(transaction=False)
        for shard in shards:
            pipe.llen(shard.keys.open)
            pipe.zcard(shard.keys.ready)
            pipe.zcard(shard.keys.leases)
        # What answers with an error holds something as well: its sweep will say what is wrong.
        counts = pipe.execute(raise_on_error=False) if shards else []
    for i, shard in enumerate(shards):
        if any(counts[3 * i : 3 * i + 3]):
            fleet.watch(shard.keys.name)


def flush(fleet: Fleet, registration: Registration, *, timeout_seconds: float) -> FlushCounts:
    """Seal what is open in one queue, wake the workers, and wait for what becomes of it.

    Raises:
        QueueUnavailable: Redis did not answer; whatever is pending stays.
    """
    queue = registration.destination.queue
    shards = [fleet.shard(queue, i) for i in range(registration.shards)]
    return flush_shards(fleet, shards, timeout_seconds=timeout_seconds)[queue]


def flush_shards(
    fleet: Fleet,
    shards: Sequence[Shard],
    *,
    timeout_seconds: float,
    watch: Callable[[FlushCounts], None] = lambda _: None,
) -> dict[str, FlushCounts]:
    """As `flush`, for any shards of any queues under one deadline.

    Args:
        fleet: The queues.
        shards: What to flush.
        timeout_seconds: Longest wait; 0 only wakes the workers.
        watch: Called again and again while waiting, with the counts of all queues together.

    Returns:
        What was achieved, by queue.

    Raises:
        QueueUnavailable: Redis did not answer; whatever is pending stays.
    """
    wakeups = [wakeup for shard in shards for wakeup in sweep_shard(shard, force=True)[0]]
    flushes = [_Flush(shard) for shard in shards]
    _leave(fleet, wakeups)  # only now, so that what they deliver is counted
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
        """Take out what has been settled."""
        if not self.awaited:
            return
        dead, gone = self.shard.settled(list(self.awaited))
        for batch_id in gone:
            del self.awaited[batch_id]
        if gone:  # a batch that was split is gone as well, and its parts are still awaited
            self.awaited |= self.shard.parts_of(gone)
        self.dead += sum(self.awaited.pop(batch_id) for batch_id in dead)

    def dropped(self) -> int:
        """How many of those that are gone were dropped for newer ones, at most."""
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
    """Leave wake-ups; where Redis has no room for one, the workers' own sweep makes up for it."""
    for wakeup in wakeups:
        with going_on(f"a wake-up for {wakeup.queue}"):
            fleet.leave_wakeups(wakeup.queue, wakeup.shard, [wakeup.token])


def _await(
    fleet: Fleet,
    flushes: Sequence[_Flush],
    timeout_seconds: float,
    watch: Callable[[FlushCounts], None],
) -> None:
    """Look at the flushes until all is settled or time is over."""
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
        return "no worker listens; start one: celery -A workers.app worker"
    snapshots = [take_snapshot(shard) for shard in shards]
    for snapshot in snapshots:
        if snapshot.paused:
            return f"the queue is paused: {snapshot.paused}"
        for batch in snapshot.batches:
            if batch.state == "released":
                return f"VWO did not accept it yet: {batch.error}"
    return "time was over before everything was sent"


def _horizon_ms(settings: Settings) -> int:
    longest = max(settings.lease_seconds, settings.backoff_max_seconds)
    return as_ms(longest + _HORIZON_MARGIN_SECONDS)
