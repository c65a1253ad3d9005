"""The operator's view of each queue: where its events are, since when and why, and its ledger.

Beside an event's way; delivery never imports it. Changes nothing: nothing to
lose. It stays cheap with thousands of registered queues: those that hold nothing are read by the
hundred in one round trip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from vwo_celery.errors import QueueUnavailable, QueueUnknown
from vwo_celery.operating.stops import Failing, Stop, failing_of, stop_of
from vwo_celery.queue.batches import Limits
from vwo_celery.queue.declines import Decline, declines_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.keys import split_shard_name
from vwo_celery.queue.looks.snapshots import Snapshot, take_snapshots
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.shard import Shard
from vwo_celery.text.wording import nearest


class Ledger(msgspec.Struct, frozen=True):
    """Numbers of a queue's events; balanced if accepted is the sum of the others."""

    queue: str
    accepted: int
    delivered: int
    dead: int
    dropped: int
    pending: int
    in_flight: int
    released: int
    balanced: bool


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
        refused: Refused because the queue was full; never accepted.
        fullness: Share of its capacity that is taken in the fullest shard, 1 for all of it; 0 if the
            capacity is unknown.
        oldest_age_seconds: Time since the oldest of open, ready, in flight and released was
            enqueued; None if there is none.
        late_seconds: Time since the oldest of open and ready should have left; 0 if none is late.
        next_try_seconds: Time until the next attempt of a released batch; None if there is none.
        error: Why VWO did not accept the oldest released batch, "" if none is released.
        attempt: Attempts of that batch so far.
        paused: Why nothing is claimed, "" if the queue is not paused.
        held_seconds: Time until the next probe of a destination whose circuit is open, 0 if it is
            due; None if the circuit is closed.
        stopped: Why nothing is claimed, since when, by whom and until when; None if it is.
        failing: The batch that failed most; None if none failed.
        delivered_age_seconds: Time since VWO last accepted a batch; None for never.
        receiver_errors: Receivers of signals and callbacks that raised.
        redis_lost_age_seconds: Time since a producer last noticed that Redis had lost events, which
            are counted in dropped; None for never.
        forgotten_age_seconds: Time since a producer noticed that Redis had forgotten a shard of the
            queue with its counters; None for never.
        unreadable: What this release cannot read of it; see `Snapshot`.
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
    receiver_errors: int
    redis_lost_age_seconds: float | None
    forgotten_age_seconds: float | None
    unreadable: tuple[str, ...]
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


def choose(
    registered: Mapping[str, Registration],
    names: Sequence[str],
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Registration]:
    """The queues of these names; all queues if no name is given.

    Raises:
        QueueUnknown: There is no such queue, and the message names the nearest; or its registration
            is one of the *unreadable*, and the message says why.
    """
    for name in names:
        if name in unreadable:
            raise QueueUnknown(f"queue {name!r}: {_cannot_be_read(unreadable[name])}")
        if name not in registered:
            begun = sorted(queue for queue in registered if queue.startswith(name))
            hint = f" (did you mean {begun[0]!r}?)" if begun else nearest(name, registered)
            raise QueueUnknown(
                f"no queue {name!r} is registered{hint}; vwo-celery queues lists those that "
                f"are ({len(registered)})"
            )
    return {name: registered[name] for name in names} if names else dict(registered)


def shards_of(fleet: Fleet, registered: Mapping[str, Registration]) -> dict[str, list[Shard]]:
    """The shards of each queue, including watched ones that its registration no longer counts."""
    numbers = {queue: set(range(found.shards)) for queue, found in registered.items()}
    for shard in fleet.watched():
        if shard.queue in numbers:
            numbers[shard.queue].add(shard.number)
    return {
        queue: _living(fleet, [fleet.shard(queue, number) for number in sorted(those)])
        for queue, those in numbers.items()
    }


def _living(fleet: Fleet, shards: list[Shard]) -> list[Shard]:
    """The shards that are not on a part of a Cluster found to be away, see `leave_parts_away`."""
    names = set(fleet.on_living_parts([shard.keys.name for shard in shards]))
    return [shard for shard in shards if shard.keys.name in names]


def view_queues(fleet: Fleet, registered: Mapping[str, Registration]) -> list[QueueView]:
    """A view of each registered queue; idle ones last, the latest first."""
    queues = shards_of(fleet, registered)
    views = views_of(take_snapshots([shard for shards in queues.values() for shard in shards]))
    views = _with_declines(fleet, views)
    return sorted(views, key=lambda v: (v.idle, -v.late_seconds, -v.undelivered, v.queue))


def _with_declines(fleet: Fleet, views: list[QueueView]) -> list[QueueView]:
    try:
        listeners = fleet.listeners()
        found = declines_of(fleet, listeners)
    except QueueUnavailable:
        if not fleet.in_cluster:
            raise
        return views  # the part with the notes is away
    return [
        replace(view, declines=those, declined_by_all=len(those) == len(listeners))
        if (those := found.get(view.queue))
        else view
        for view in views
    ]


def view_strays(
    fleet: Fleet,
    registered: Iterable[str],
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> list[QueueView]:
    """Views of watched queues that hold something and that nobody can deliver.

    Args:
        fleet: The queues.
        registered: Names of the queues whose registration can be read.
        unreadable: Why each other registration cannot be read, by the queue's name.
    """
    known = set(registered)
    shards = _living(fleet, [shard for shard in fleet.watched() if shard.queue not in known])
    views = [view for view in views_of(take_snapshots(shards)) if not view.idle]
    return [replace(view, stray=_why_stray(unreadable.get(view.queue))) for view in views]


def _why_stray(unreadable: str | None) -> str:
    if unreadable is None:
        return "it is not registered; its application's next first event registers it"
    return _cannot_be_read(unreadable)


def _cannot_be_read(reason: str) -> str:
    return (
        f"its registration cannot be read by this release: {reason}; vwo-celery doctor says what "
        "to do"
    )


def views_of(snapshots: Iterable[Snapshot]) -> list[QueueView]:
    """One view for each queue that *snapshots* belong to, in their order."""
    queues: dict[str, list[Snapshot]] = {}
    for snapshot in snapshots:
        queues.setdefault(split_shard_name(snapshot.shard)[0], []).append(snapshot)
    return [_view(queue, shards) for queue, shards in queues.items()]


def _view(queue: str, shards: list[Snapshot]) -> QueueView:
    now, ledger, retry = shards[0].now_ms, _ledger(queue, shards), _retry(shards)
    return QueueView(
        queue=queue,
        shards=tuple(split_shard_name(shard.shard)[1] for shard in shards),
        limits=shards[0].limits,
        open=_sum(shards, lambda shard: shard.open_events),
        ready=_sum(shards, lambda shard: shard.events("ready")),
        in_flight=ledger.in_flight,
        released=ledger.released,
        bytes=_sum(shards, lambda shard: shard.counted_bytes),
        dead=ledger.dead,
        dead_batches=_sum(shards, lambda shard: len(shard.batches_in("dead"))),
        dropped=_dropped(shards),
        refused=_sum(shards, lambda shard: shard.refused),
        fullness=max(map(_fullness, shards)),
        oldest_age_seconds=_oldest_age_seconds(shards),
        late_seconds=max(map(_late_seconds, shards)),
        next_try_seconds=retry.in_seconds,
        error=retry.error,
        attempt=retry.attempt,
        paused=next((shard.paused for shard in shards if shard.paused), ""),
        held_seconds=_held_seconds(now, shards),
        stopped=stop_of(shards),
        failing=failing_of(shards),
        delivered_age_seconds=_age_seconds(now, [shard.delivered_ms for shard in shards]),
        receiver_errors=_sum(shards, lambda shard: shard.receiver_errors),
        redis_lost_age_seconds=_age_seconds(now, [shard.redis_lost_ms for shard in shards]),
        forgotten_age_seconds=_age_seconds(now, [shard.forgotten_ms for shard in shards]),
        unreadable=tuple(what for shard in shards for what in shard.unreadable),
        ledger=ledger,
    )


def _sum(shards: Iterable[Snapshot], number: Callable[[Snapshot], int]) -> int:
    return sum(map(number, shards))


def _fullness(shard: Snapshot) -> float:
    """Share of a shard's capacity that is taken; others may have more room, or be used no more."""
    if shard.limits is None:
        return 0.0
    events = shard.counted_events / shard.limits.capacity_events
    return max(events, shard.counted_bytes / shard.limits.capacity_bytes)


class _Retry(NamedTuple):
    """The released batches of a queue: time of the next attempt, and why the oldest waits."""

    in_seconds: float | None = None
    error: str = ""
    attempt: int = 0


def _retry(shards: Sequence[Snapshot]) -> _Retry:
    released = [batch for shard in shards for batch in shard.batches_in("released")]
    if not released:
        return _Retry()
    due_ms = min(batch.at_ms for batch in released)
    oldest = min(released, key=lambda batch: (batch.first_ms, batch.at_ms))
    return _Retry(max(0, due_ms - shards[0].now_ms) / 1000, oldest.error, oldest.attempt)


def _dropped(shards: Iterable[Snapshot]) -> dict[str, int]:
    """Dropped events of all shards, by reason."""
    dropped: Counter[str] = Counter()
    for shard in shards:
        dropped.update(shard.dropped)
    return dict(dropped)


def _age_seconds(now_ms: int, times_ms: Iterable[int]) -> float | None:
    """Time since the latest of these; None where all are 0, which stands for never."""
    latest = max(times_ms)
    return max(0, now_ms - latest) / 1000 if latest else None


def _held_seconds(now_ms: int, shards: Iterable[Snapshot]) -> float | None:
    held = [shard.held_until_ms for shard in shards if shard.held_until_ms]
    return max(0, min(held) - now_ms) / 1000 if held else None


def _ledger(queue: str, shards: list[Snapshot]) -> Ledger:
    return Ledger(
        queue=queue,
        accepted=_sum(shards, lambda shard: shard.accepted),
        delivered=_sum(shards, lambda shard: shard.delivered),
        dead=_sum(shards, lambda shard: shard.events("dead")),
        dropped=_sum(shards, lambda shard: sum(shard.dropped.values())),
        pending=_sum(shards, lambda shard: shard.pending),
        in_flight=_sum(shards, lambda shard: shard.events("in_flight")),
        released=_sum(shards, lambda shard: shard.events("released")),
        balanced=all(shard.balanced for shard in shards),
    )


def _oldest_age_seconds(shards: list[Snapshot]) -> float | None:
    ages = []
    for shard in shards:
        firsts = [batch.first_ms for batch in shard.batches if batch.state != "dead"]
        if shard.open_events:
            firsts.append(shard.open_first_ms or shard.now_ms)
        ages += [max(0, shard.now_ms - first) / 1000 for first in firsts]
    return max(ages, default=None)


def _late_seconds(shard: Snapshot) -> float:
    """Time since the oldest pending event should have left; 0 if none is late.

    It should leave at the end of its interval. A batch that was released or redriven is due later,
    and a pause or an open circuit has to end first.
    """
    wait = shard.limits.wait_ms if shard.limits else 0
    due = [max(batch.first_ms + wait, batch.at_ms) for batch in shard.batches_in("ready")]
    if shard.open_events:
        due.append((shard.open_first_ms or shard.now_ms) + wait)
    oldest = max(min(due, default=shard.now_ms), shard.held_until_ms, shard.free_since_ms)
    return max(0, shard.now_ms - oldest) / 1000
