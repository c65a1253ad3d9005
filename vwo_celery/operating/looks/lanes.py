"""Lanes wanted: how many tasks would find work now, for whoever starts and stops workers.

Beside an event's way. An autoscaler asks again and again, so it is told from glances, and what nobody
has sealed yet counts as if a sweep had just run: a fleet of no workers and no beat is woken by events
that are old enough. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from vwo_celery.operating.looks.inspector import registered_shards
from vwo_celery.operating.looks.knowing import unless_wrong, why_unreadable
from vwo_celery.operating.looks.workers import WorkerView, view_workers
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.glances import Glance, take_glances


class Lanes(msgspec.Struct, frozen=True):
    """How many lanes there are, and how many would find work.

    Attributes:
        lanes_wanted: Lanes that hold a batch, or would find one now.
        lanes_busy: Of these, the ones that hold one.
        lanes_total: Lanes of the workers that listen; those of workers before 0.2.0 are not known.
            None, as the last, where a key with it cannot be read.
        lanes_most: Lanes that the queues holding something may ever use at once: their
            `max_parallel_sends` together. More do not help.
        workers: Number of the workers that listen.
        unreadable: Keys that cannot be read, each with the reason.
    """

    lanes_wanted: int
    lanes_busy: int
    lanes_total: int | None
    lanes_most: int
    workers: int | None
    unreadable: Sequence[str] = ()


def view_lanes(fleet: Fleet) -> Lanes:
    """Count lanes over all queues that hold something.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    watched = unless_wrong(fleet.watched, None)
    workers = unless_wrong(lambda: view_workers(fleet), None)
    shards = registered_shards(fleet) if watched is None else watched
    lanes = lanes_of(take_glances(shards), workers)
    hidden = ["watched"] if watched is None else []
    if workers is None:
        hidden += ["listeners", "workers"]
        heard = unless_wrong(fleet.listeners, None)
        lanes = replace(lanes, workers=None if heard is None else len(heard))
    return replace(lanes, unreadable=why_unreadable(fleet, *hidden))


def lanes_of(glances: Iterable[Glance], workers: Iterable[WorkerView] | None) -> Lanes:
    """Count lanes by looks at the shards that hold something, and at the workers that listen.

    What the workers tell is None where it is not known which listen.
    """
    shards = list(glances)
    listening = None if workers is None else list(workers)
    return Lanes(
        lanes_wanted=sum(map(lanes_wanted, shards)),
        lanes_busy=sum(shard.leased_batches for shard in shards),
        lanes_total=None if listening is None else _lanes_of_workers(listening),
        lanes_most=sum(shard.limits.parallel for shard in shards if shard.limits is not None),
        workers=None if listening is None else len(listening),
    )


def _lanes_of_workers(workers: Iterable[WorkerView]) -> int:
    return sum(each.card.concurrency for each in workers if each.card is not None)


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
