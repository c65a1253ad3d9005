"""Changes of dead letters: made of batches that fail, put back to be sent, or dropped.

One script moves one batch: if the process dies in between, the other batches are as they were, and
the same command goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from vwo_celery.logs import announce_drop
from vwo_celery.operating.batches.found import DeadBatch, WaitingBatch
from vwo_celery.operating.operations.bulk import Bulk, Done, Order
from vwo_celery.operating.operations.failures import NOT_WOKEN, Failures
from vwo_celery.operating.operations.waking import wake
from vwo_celery.operating.past.audit import Actor, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling.waiting import vanish
from vwo_celery.queue.shard import PURGED, Shard
from vwo_celery.text.amounts import count

#: Batches of one shard after which the workers are woken, so that they need not wait for the last one.
_WAKE_EVERY = 100


def add_dead(
    fleet: Fleet,
    actor: Actor,
    waiting: Sequence[WaitingBatch],
    reason: str = "",
    *,
    filter: str = "",
) -> list[WaitingBatch]:
    """Make dead letters of batches that no worker holds; those that were.

    Args:
        fleet: The queues.
        actor: Who asks for it; kept with each batch.
        waiting: The batches.
        reason: Their reason; kept beside the name.
        filter: What they were picked by, as it was typed; by default, their names.

    Raises:
        QueueUnavailable: Redis did not answer; some batches may be dead.
    """
    why = f"set aside by {actor}{': ' if reason else ''}{reason}"
    matched = sum(each.events for each in waiting)
    queues = sorted({each.queue for each in waiting})
    typed = filter or " ".join(f"batch:{each.batch}" for each in waiting)
    added = []
    with recorded(
        fleet, actor, "dead add", queues=queues, filter=typed, reason=reason, matched=matched
    ) as entry:
        for each in waiting:
            events = fleet.shard(each.queue, each.shard).set_aside(each.batch, reason=why)
            entry.done += events
            if events:
                added.append(each)
    return added


def redrive(fleet: Fleet, actor: Actor, found: Iterable[DeadBatch], order: Order) -> Done:
    """Make dead letters ready again and wake the workers for them.

    Args:
        fleet: The queues.
        actor: Who asks for it.
        found: The batches, which may be found while others of them are changed already.
        order: What was counted, and how fast and how far to go.

    Raises:
        QueueUnavailable: Redis did not answer, and some batches may be ready, the others are still
            dead; or the keys of one queue do not let themselves be changed, and the others are.
    """
    with recorded(
        fleet, actor, "dead redrive", queues=order.counted.queues, filter=order.filter,
        matched=order.counted.amount.events,
    ) as entry:  # fmt: skip
        bulk, waking, failures = Bulk(order, entry), _Waking(fleet), Failures()
        try:
            for batch in bulk.steps(found):
                with failures.of(batch.queue):
                    shard = waking.watched(batch)
                    events = shard.redrive(batch.batch)
                    if events < 0:
                        bulk.note_vanished(vanish(shard, batch.batch))
                    bulk.note(batch, max(0, events))
        finally:
            waking.wake_all()
        done = f"redrove {count(bulk.done.changed.events, 'event')}"
        failures.tell(done)
        waking.asleep.tell(done)
    return bulk.done


class _Waking:
    """Wake-ups for the shards to which batches come back.

    Attributes:
        asleep: The queues whose workers could not be woken.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.asleep = Failures(NOT_WOKEN)
        self._shards: dict[tuple[str, int], Shard] = {}
        self._waiting: Counter[tuple[str, int]] = Counter()

    def watched(self, batch: DeadBatch) -> Shard:
        """The shard of a batch that is about to be ready; it is watched from now on."""
        place = batch.queue, batch.shard
        if place not in self._shards:
            shard = self._fleet.shard(*place)
            self._fleet.watch(shard.keys.name)  # one that holds only dead letters is not watched
            self._shards[place] = shard
        self._waiting[place] += 1
        if self._waiting[place] > _WAKE_EVERY:
            self._waiting[place] = 1
            self._wake(place)
        return self._shards[place]

    def wake_all(self) -> None:
        """Wake the workers for what is left."""
        for place in +self._waiting:
            self._wake(place)

    def _wake(self, place: tuple[str, int]) -> None:
        with self.asleep.of(place[0]):
            wake(self._fleet, self._shards[place])


def purge(fleet: Fleet, actor: Actor, found: Iterable[DeadBatch], order: Order) -> Done:
    """Drop dead letters for good, counted and announced as dropped with the reason "purged".

    Args:
        fleet: The queues.
        actor: Who asks for it.
        found: The batches, which may be found while others of them are gone already.
        order: What was counted, and how fast and how far to go.

    Raises:
        QueueUnavailable: Redis did not answer, and some batches may be gone, the others are as they
            were; or the keys of one queue do not let themselves be changed, and the others are.
    """
    dropped: Counter[str] = Counter()
    with recorded(
        fleet, actor, "dead purge", queues=order.counted.queues, filter=order.filter,
        matched=order.counted.amount.events,
    ) as entry:  # fmt: skip
        bulk, failures = Bulk(order, entry), Failures()
        try:
            for batch in bulk.steps(found):
                with failures.of(batch.queue):
                    events = fleet.shard(batch.queue, batch.shard).purge(batch.batch)
                    dropped[batch.queue] += events
                    bulk.note(batch, events)
        finally:
            for queue, events in (+dropped).items():
                announce_drop(queue, PURGED, events, f"{actor} purged dead letters")
        failures.tell(f"purged {count(bulk.done.changed.events, 'event')}")
    return bulk.done
