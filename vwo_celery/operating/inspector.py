"""What an operator sees: where events are, since when and why, the ledger, and whether all is well.

Place: work, beside an event's way; delivery never imports it. Looking changes nothing. It stays cheap
with thousands of registered queues, since those that hold nothing are read hundreds at a time in one
round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from vwo_celery.errors import QueueUnknown
from vwo_celery.queue.batches import Limits
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.keys import split_shard_name
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.snapshots import Snapshot, take_snapshots
from vwo_celery.text.wording import nearest


class Ledger(msgspec.Struct, frozen=True):
    """Where a queue's events are: accepted is the sum of all that follow, or it is not balanced."""

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
    """One queue now; events are counted, unless said otherwise.

    Attributes:
        queue: Its name.
        shards: Numbers of the shards that were looked at.
        limits: Of its first shard; None where the queue is not registered, so that nothing leaves.
        open: Waiting for a batch to be full, or old enough.
        ready: In batches that wait for a worker.
        in_flight: In batches that a worker holds.
        released: In batches that VWO did not accept yet, and that wait for their next try.
        bytes: Size of the four above, as far as it is known.
        dead: In batches that are tried no more.
        dead_batches: Number of those batches.
        dropped: Dropped after they were accepted, by reason.
        refused: Refused since the queue was full; never accepted.
        oldest_age_seconds: Time since the oldest of open, ready, in flight and released was
            enqueued; None if there is none.
        late_seconds: Time since the oldest of open and ready ought to have left; 0 if none is late.
        next_try_seconds: Until the first released batch is tried again; None if there is none.
        error: Why VWO did not accept the oldest released batch, "" if none is released.
        attempt: How often that batch was tried.
        paused: Why nothing is claimed, "" if the queue is not paused.
        held_seconds: Until the next probe of a destination whose circuit is open, 0 if it is due; None if
            the circuit is closed.
        delivered_age_seconds: Time since VWO last accepted a batch; None for never.
        receiver_errors: Receivers of signals and callbacks that raised.
        redis_lost_age_seconds: Time since a producer last noticed that Redis had lost events, which
            are counted in dropped; None for never.
        forgotten_age_seconds: Time since a producer noticed that Redis had forgotten all that a shard
            of the queue held, its counters included; None for never.
        ledger: Its ledger.
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
    oldest_age_seconds: float | None
    late_seconds: float
    next_try_seconds: float | None
    error: str
    attempt: int
    paused: str
    held_seconds: float | None
    delivered_age_seconds: float | None
    receiver_errors: int
    redis_lost_age_seconds: float | None
    forgotten_age_seconds: float | None
    ledger: Ledger

    @property
    def undelivered(self) -> int:
        """Events that are neither delivered, dropped nor dead."""
        return self.open + self.ready + self.in_flight + self.released

    @property
    def fullness(self) -> float:
        """Share of its capacity that is taken, 1 for all of it; 0 where the capacity is unknown."""
        if self.limits is None:
            return 0.0
        events = self.undelivered / self.limits.capacity_events
        return max(events, self.bytes / self.limits.capacity_bytes) / len(self.shards)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to say about it."""
        return not (self.undelivered or self.dead or self.paused) and self.ledger.balanced

    @property
    def interval_seconds(self) -> float | None:
        """The registered request_time_interval; 0 where every event leaves at once."""
        return None if self.limits is None else _interval_ms(self.limits) / 1000


def choose(registered: Mapping[str, Registration], names: Sequence[str]) -> dict[str, Registration]:
    """The queues of those names; all of them where no name is given.

    Raises:
        QueueUnknown: There is no such queue; names the nearest.
    """
    for name in names:
        if name not in registered:
            begun = sorted(queue for queue in registered if queue.startswith(name))
            hint = f"; did you mean {begun[0]!r}?" if begun else nearest(name, registered)
            raise QueueUnknown(
                f"no queue {name!r} is registered{hint or ';'} {len(registered)} are, see: "
                "vwo-celery queues"
            )
    return {name: registered[name] for name in names} if names else dict(registered)


def shards_of(fleet: Fleet, registered: Mapping[str, Registration]) -> dict[str, list[Shard]]:
    """The shards of each queue, also those under watch that a registration no longer counts."""
    numbers = {queue: set(range(found.shards)) for queue, found in registered.items()}
    for shard in fleet.watched():
        if shard.queue in numbers:
            numbers[shard.queue].add(shard.number)
    return {
        queue: [fleet.shard(queue, number) for number in sorted(those)]
        for queue, those in numbers.items()
    }


def view_queues(fleet: Fleet, registered: Mapping[str, Registration]) -> list[QueueView]:
    """Every queue of *registered*; those that hold something first, the latest of them on top."""
    queues = shards_of(fleet, registered)
    views = _view(take_snapshots([shard for shards in queues.values() for shard in shards]))
    return sorted(views, key=lambda v: (v.idle, -v.late_seconds, -v.undelivered, v.queue))


def view_strays(fleet: Fleet, registered: Iterable[str]) -> list[QueueView]:
    """Queues under watch that nobody registered; what they hold cannot be delivered."""
    known = set(registered)
    shards = [shard for shard in fleet.watched() if shard.queue not in known]
    return [view for view in _view(take_snapshots(shards)) if not view.idle]


def _interval_ms(limits: Limits) -> int:
    return 0 if limits.events_per_request == 1 else limits.interval_ms


def _view(snapshots: Iterable[Snapshot]) -> list[QueueView]:
    queues: dict[str, list[Snapshot]] = {}
    for snapshot in snapshots:
        queues.setdefault(split_shard_name(snapshot.shard)[0], []).append(snapshot)
    return [_view_one(queue, shards) for queue, shards in queues.items()]


def _view_one(queue: str, shards: list[Snapshot]) -> QueueView:
    batches = [batch for shard in shards for batch in shard.batches]
    tries = sorted((b for b in batches if b.state == "released"), key=lambda batch: batch.at_ms)
    oldest = min(tries, key=lambda batch: batch.first_ms, default=None)
    now = shards[0].now_ms
    dropped = {reason: 0 for shard in shards for reason in shard.dropped}
    for reason in dropped:
        dropped[reason] = sum(shard.dropped.get(reason, 0) for shard in shards)
    ledger = _ledger(queue, shards)
    return QueueView(
        queue=queue,
        shards=tuple(split_shard_name(shard.shard)[1] for shard in shards),
        limits=shards[0].limits,
        open=sum(shard.open_events for shard in shards),
        ready=sum(shard.events("ready") for shard in shards),
        in_flight=ledger.in_flight,
        released=ledger.released,
        bytes=sum(shard.counted_bytes for shard in shards),
        dead=ledger.dead,
        dead_batches=sum(batch.state == "dead" for batch in batches),
        dropped=dropped,
        refused=sum(shard.refused for shard in shards),
        oldest_age_seconds=_oldest_age_seconds(shards),
        late_seconds=max(map(_late_seconds, shards)),
        next_try_seconds=max(0, tries[0].at_ms - now) / 1000 if tries else None,
        error=oldest.error if oldest else "",
        attempt=oldest.attempt if oldest else 0,
        paused=next((shard.paused for shard in shards if shard.paused), ""),
        held_seconds=_held_seconds(now, shards),
        delivered_age_seconds=_age_seconds(now, (shard.delivered_ms for shard in shards)),
        receiver_errors=sum(shard.receiver_errors for shard in shards),
        redis_lost_age_seconds=_age_seconds(now, (shard.redis_lost_ms for shard in shards)),
        forgotten_age_seconds=_age_seconds(now, (shard.forgotten_ms for shard in shards)),
        ledger=ledger,
    )


def _age_seconds(now_ms: int, times_ms: Iterable[int]) -> float | None:
    """Time since the latest of these, of which 0 stands for never."""
    latest = max(times_ms)
    return max(0, now_ms - latest) / 1000 if latest else None


def _held_seconds(now_ms: int, shards: Iterable[Snapshot]) -> float | None:
    held = [shard.held_until_ms for shard in shards if shard.held_until_ms]
    return max(0, min(held) - now_ms) / 1000 if held else None


def _ledger(queue: str, shards: list[Snapshot]) -> Ledger:
    return Ledger(
        queue=queue,
        accepted=sum(shard.accepted for shard in shards),
        delivered=sum(shard.delivered for shard in shards),
        dead=sum(shard.events("dead") for shard in shards),
        dropped=sum(sum(shard.dropped.values()) for shard in shards),
        pending=sum(shard.pending for shard in shards),
        in_flight=sum(shard.events("in_flight") for shard in shards),
        released=sum(shard.events("released") for shard in shards),
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
    """How long ago the oldest pending event ought to have left: at its interval's end, and not
    before it could, which is later for a batch that was released or redriven, and after a pause or an
    open circuit."""
    wait = _interval_ms(shard.limits) if shard.limits else 0
    due = [max(b.first_ms + wait, b.at_ms) for b in shard.batches if b.state == "ready"]
    if shard.open_events:
        due.append((shard.open_first_ms or shard.now_ms) + wait)
    oldest = max(min(due, default=shard.now_ms), shard.held_until_ms, shard.free_since_ms)
    return max(0, shard.now_ms - oldest) / 1000
