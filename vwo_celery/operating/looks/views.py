"""A view of a queue: what an operator sees of it, made from the glances at its shards.

Beside an event's way. Reads nothing, changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from vwo_celery.operating.looks.stops import Failing, Stop, failing_of, stop_of
from vwo_celery.queue.holding.declines import Decline
from vwo_celery.queue.looks.glances import Glance
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.keys import split_shard_name


class Ledger(msgspec.Struct, frozen=True):
    """Numbers of a queue's events; balanced if accepted is the sum of the others.

    In a view these are the scripts' own counts; `ledgers` proves them by what is stored.
    """

    queue: str
    accepted: int
    delivered: int
    dead: int
    dropped: int
    pending: int
    in_flight: int
    released: int
    balanced: bool


class Drop(msgspec.Struct, frozen=True):
    """Events dropped after they were accepted, for one reason.

    Attributes:
        reason: The reason, one word.
        events: Number of them.
        first_age_seconds: Time since the first of them; None if an older release dropped it.
        last_age_seconds: Time since the last of them; None if an older release dropped it.
    """

    reason: str
    events: int
    first_age_seconds: float | None
    last_age_seconds: float | None


class QueueView(msgspec.Struct, frozen=True):
    """One queue as it is now; numbers are events, unless said otherwise.

    Attributes:
        queue: Its name.
        shards: Numbers of the shards that were read.
        limits: Those of its first shard; None if the queue is not registered, so that nothing
            leaves.
        open: In the open list, until it is full or old enough.
        ready: In batches that wait for a worker.
        in_flight: In batches that a worker holds.
        released: In batches that VWO did not accept yet, waiting for their next attempt.
        bytes: Size of these four, as far as it is known.
        dead: In dead-lettered batches.
        dead_batches: Number of those batches.
        dropped: Dropped after they were accepted, by reason.
        drops: The same with times.
        refused: Refused because the queue was full; never accepted.
        fullness: Share of its capacity that is taken in the fullest shard, 1 for all of it; 0 if the
            capacity is unknown.
        oldest_age_seconds: Time since the oldest of open, ready, in flight and released was
            enqueued; None if there is none.
        late_seconds: Time since the oldest of open and ready should have left; 0 if none is late.
        next_try_seconds: Time until the next attempt of a released batch; None if there is none.
        error: Why VWO did not accept the released batch that failed most, "" if none is released.
        attempt: Attempts of that batch so far.
        paused: Why nothing is claimed, "" if the queue is not paused.
        held_seconds: Time until the next probe of a destination whose circuit is open, 0 if it is
            due; None if the circuit is closed.
        stopped: Why nothing is claimed, since when, by whom and until when; None if it is.
        failing: The batch that failed most; None if none failed.
        delivered_age_seconds: Time since VWO last accepted a batch; None for never.
        failing_seconds: Time since the first attempt that failed after VWO had last accepted a batch;
            None if none has failed since.
        failed_age_seconds: Time since the last attempt that failed; None for never.
        answer: Why that one failed, "" if none did.
        receiver_errors: Receivers of signals and callbacks that raised.
        redis_lost_age_seconds: Time since a producer last noticed that Redis had lost events, which
            are counted in dropped; None for never.
        forgotten_age_seconds: Time since a producer noticed that Redis had forgotten a shard of the
            queue with its counters; None for never.
        repaired: Stranded batches, which no worker would have found, that the sweep made ready again.
        repaired_age_seconds: Time since the last of them; None for never.
        unreadable: What this release cannot read of it; see `Glance`.
        incomplete: Whether workers of an older release left something out: events may be older than
            told, and more of the ready ones released; see `Glance`.
        ledger: Its ledger.
        declines: Listening workers whose own configuration keeps them from it.
        declined_by_all: Whether that is every listening worker, so that nothing leaves.
        stray: Why no worker knows its destination, "" if they do; see `view_strays`.
    """

    queue: str
    shards: tuple[int, ...]
    limits: Limits | None
    open: int
    ready: int
    in_flight: int
    released: int
    bytes: int
    dead: int
    dead_batches: int
    dropped: dict[str, int]
    drops: tuple[Drop, ...]
    refused: int
    fullness: float
    oldest_age_seconds: float | None
    late_seconds: float
    next_try_seconds: float | None
    error: str
    attempt: int
    paused: str
    held_seconds: float | None
    stopped: Stop | None
    failing: Failing | None
    delivered_age_seconds: float | None
    failing_seconds: float | None
    failed_age_seconds: float | None
    answer: str
    receiver_errors: int
    redis_lost_age_seconds: float | None
    forgotten_age_seconds: float | None
    repaired: int
    repaired_age_seconds: float | None
    unreadable: tuple[str, ...]
    incomplete: bool
    ledger: Ledger
    declines: tuple[Decline, ...] = ()
    declined_by_all: bool = False
    stray: str = ""

    @property
    def undelivered(self) -> int:
        """Events that are neither delivered, dropped nor dead."""
        return self.open + self.ready + self.in_flight + self.released

    @property
    def idle(self) -> bool:
        """Whether the queue holds nothing, is not paused and balances."""
        held = self.undelivered or self.dead or self.paused or self.unreadable
        return not held and self.ledger.balanced

    @property
    def interval_seconds(self) -> float | None:
        """The registered request_time_interval; 0 where every event leaves at once."""
        return None if self.limits is None else self.limits.wait_ms / 1000


def views_of(glances: Iterable[Glance]) -> list[QueueView]:
    """One view for each queue that *glances* belong to, in their order."""
    queues: dict[str, list[Glance]] = {}
    for glance in glances:
        queues.setdefault(split_shard_name(glance.shard)[0], []).append(glance)
    return [_view(queue, shards) for queue, shards in queues.items()]


def _view(queue: str, shards: list[Glance]) -> QueueView:
    now, ledger, failing = shards[0].now_ms, _ledger(queue, shards), failing_of(shards)
    waiting = failing_of(shards, waiting=True)
    return QueueView(
        queue=queue,
        shards=tuple(split_shard_name(shard.shard)[1] for shard in shards),
        limits=shards[0].limits,
        open=_sum(shards, lambda shard: shard.open_events),
        ready=_sum(shards, lambda shard: shard.ready_events),
        in_flight=ledger.in_flight,
        released=ledger.released,
        bytes=_sum(shards, lambda shard: shard.counted_bytes),
        dead=ledger.dead,
        dead_batches=_sum(shards, lambda shard: shard.dead_batches),
        dropped=_dropped(shards),
        drops=_drops(now, shards),
        refused=_sum(shards, lambda shard: shard.refused),
        fullness=max(map(_fullness, shards)),
        oldest_age_seconds=since_first(now, [shard.oldest_ms for shard in shards]),
        late_seconds=max(map(_late_seconds, shards)),
        next_try_seconds=_next_try_seconds(now, shards),
        error=waiting.error if waiting else "",
        attempt=waiting.attempts if waiting else 0,
        paused=next((shard.paused for shard in shards if shard.paused), ""),
        held_seconds=_held_seconds(now, shards),
        stopped=stop_of(shards),
        failing=failing,
        delivered_age_seconds=since_last(now, [shard.delivered_ms for shard in shards]),
        failing_seconds=_failing_seconds(now, shards),
        failed_age_seconds=since_last(now, [shard.failed_ms for shard in shards]),
        answer=max(shards, key=lambda shard: shard.failed_ms).failed_why,
        receiver_errors=_sum(shards, lambda shard: shard.receiver_errors),
        redis_lost_age_seconds=since_last(now, [shard.redis_lost_ms for shard in shards]),
        forgotten_age_seconds=since_last(now, [shard.forgotten_ms for shard in shards]),
        repaired=_sum(shards, lambda shard: shard.repaired),
        repaired_age_seconds=since_last(now, [shard.repaired_ms for shard in shards]),
        unreadable=tuple(what for shard in shards for what in shard.unreadable),
        incomplete=any(shard.incomplete for shard in shards),
        ledger=ledger,
    )


def _sum(shards: Iterable[Glance], number: Callable[[Glance], int]) -> int:
    return sum(map(number, shards))


def _fullness(shard: Glance) -> float:
    """Share of a shard's capacity that is taken; others may have more room, or be used no more."""
    if shard.limits is None:
        return 0.0
    events = shard.counted_events / shard.limits.capacity_events
    return max(events, shard.counted_bytes / shard.limits.capacity_bytes)


def _dropped(shards: Iterable[Glance]) -> dict[str, int]:
    """Dropped events of all shards, by reason."""
    dropped: Counter[str] = Counter()
    for shard in shards:
        dropped.update(shard.dropped)
    return dict(dropped)


def _drops(now_ms: int, shards: Sequence[Glance]) -> tuple[Drop, ...]:
    return tuple(
        Drop(
            reason,
            events,
            since_first(now_ms, [shard.drop_first_ms.get(reason, 0) for shard in shards]),
            since_last(now_ms, [shard.drop_last_ms.get(reason, 0) for shard in shards]),
        )
        for reason, events in sorted(_dropped(shards).items())
        if events
    )


def since_last(now_ms: int, times_ms: Iterable[int]) -> float | None:
    """Time since the latest of these; None where all are 0, which stands for never."""
    latest = max(times_ms)
    return max(0, now_ms - latest) / 1000 if latest else None


def since_first(now_ms: int, times_ms: Iterable[int]) -> float | None:
    """Time since the first of these that is known; None where all are 0."""
    known = [at for at in times_ms if at]
    return max(0, now_ms - min(known)) / 1000 if known else None


def _next_try_seconds(now_ms: int, shards: Iterable[Glance]) -> float | None:
    due = [shard.next_try_ms for shard in shards if shard.next_try_ms]
    return max(0, min(due) - now_ms) / 1000 if due else None


def _held_seconds(now_ms: int, shards: Iterable[Glance]) -> float | None:
    held = [shard.held_until_ms for shard in shards if shard.held_until_ms]
    return max(0, min(held) - now_ms) / 1000 if held else None


def _failing_seconds(now_ms: int, shards: Sequence[Glance]) -> float | None:
    """Time since the first failure after the last acceptance of all shards."""
    accepted_ms = max(shard.delivered_ms for shard in shards)
    failing = [shard.failing_ms for shard in shards if shard.failing_ms >= accepted_ms]
    return since_first(now_ms, failing)


def _ledger(queue: str, shards: list[Glance]) -> Ledger:
    return Ledger(
        queue=queue,
        accepted=_sum(shards, lambda shard: shard.accepted),
        delivered=_sum(shards, lambda shard: shard.delivered),
        dead=_sum(shards, lambda shard: shard.dead_events),
        dropped=_sum(shards, lambda shard: sum(shard.dropped.values())),
        pending=_sum(shards, lambda shard: shard.open_events + shard.ready_events),
        in_flight=_sum(shards, lambda shard: shard.in_flight_events),
        released=_sum(shards, lambda shard: shard.released_events),
        balanced=all(shard.balanced for shard in shards),
    )


def _late_seconds(shard: Glance) -> float:
    """Time since the event that is to leave next should have left; 0 if it is not late.

    It should leave at the end of its interval. A batch that was released or redriven is due later,
    and a pause or an open circuit has to end first.
    """
    if not shard.first_due_ms:
        return 0.0
    due_ms = max(shard.first_due_ms, shard.held_until_ms, shard.free_since_ms)
    return max(0, shard.now_ms - due_ms) / 1000
