"""Lanes wanted: how many tasks would find work now, for whoever starts and stops workers.

Beside an event's way. An autoscaler asks again and again, so it is told from glances, and what nobody
has sealed yet counts as if a sweep had just run: a fleet of no workers and no beat is woken by events
that are old enough. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vwo_celery.operating.looks.workers import WorkerView, view_workers
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.glances import Glance, take_glances


class Lanes(msgspec.Struct, frozen=True):
    """How many lanes there are, and how many would find work.

    Attributes:
        lanes_wanted: Lanes that hold a batch, or would find one now.
        lanes_busy: Of these, the ones that hold one.
        lanes_total: Lanes of the workers that listen; those of workers before 0.2.0 are not known.
        lanes_most: Lanes that the queues holding something may ever use at once: their
            `max_parallel_sends` together. More do not help.
        workers: Number of the workers that listen.
    """

    lanes_wanted: int
    lanes_busy: int
    lanes_total: int
    lanes_most: int
    workers: int


def view_lanes(fleet: Fleet) -> Lanes:
    """Count lanes over all queues that hold something.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return lanes_of(take_glances(fleet.watched()), view_workers(fleet))


def lanes_of(glances: Iterable[Glance], workers: Iterable[WorkerView]) -> Lanes:
    """Count lanes by looks at the shards that hold something, and at the workers that listen."""
    shards, listening = list(glances), list(workers)
    return Lanes(
        lanes_wanted=sum(map(lanes_wanted, shards)),
        lanes_busy=sum(shard.leased_batches for shard in shards),
        lanes_total=sum(each.card.concurrency for each in listening if each.card is not None),
        lanes_most=sum(shard.limits.parallel for shard in shards if shard.limits is not None),
        workers=len(listening),
    )


def lanes_wanted(shard: Glance) -> int:
    """Lanes that a shard keeps busy, and those that a sweep would wake for it if none was woken yet.

    Events of other programs, which nobody has measured, may fill more batches than they are counted
    for here: the next look tells.
    """
    busy, limits = shard.leased_batches, shard.limits
    if limits is None or shard.paused or shard.now_ms < shard.held_until_ms:
        return busy
    due = shard.due_batches + _unsealed_batches(shard)
    if shard.held_until_ms:  # the circuit is open: one batch goes as a probe
        due = min(due, 1)
    return max(busy, min(limits.parallel, busy + due))


def _unsealed_batches(shard: Glance) -> int:
    """Batches that the open list would become if it were swept now."""
    limits = shard.limits
    if limits is None or not shard.open_events:
        return 0
    first_ms = shard.open_first_ms or shard.now_ms
    is_old = shard.now_ms - first_ms >= limits.interval_ms
    batches, rest = divmod(shard.open_events, limits.most_events)
    leaves = rest > 0 and (is_old or rest >= limits.events_per_request)
    return batches + int(leaves)
