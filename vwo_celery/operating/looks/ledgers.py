"""The proof of a queue's ledger: every accepted event is counted where it is stored.

Beside an event's way. Unlike a view, which costs the same at any backlog, it reads the line of every
batch. A shard of few batches is read at one moment. One of many is read in slices, so that no command
holds up Redis, and the proof says that it is not of one moment: what came and left meanwhile may be
counted before or after. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vwo_celery.operating.looks.inspector import shards_of
from vwo_celery.operating.looks.views import Ledger
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.counters import Counters
from vwo_celery.queue.looks.glances import Glance, take_glances
from vwo_celery.queue.looks.pages import events_of_batches
from vwo_celery.queue.looks.snapshots import MOST_AT_ONCE, Snapshot, take_snapshots
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import split_shard_name
from vwo_celery.queue.words.registration import Registration

__all__ = ["MOST_AT_ONCE", "Proof", "prove", "prove_shards"]


class Proof(Ledger, frozen=True):
    """A queue's ledger by what is stored.

    Attributes:
        one_moment: Whether all numbers of each shard are of one moment.
        drops: Events dropped after they were accepted, by reason.
        unreadable: What this release cannot read of it.
    """

    one_moment: bool = True
    drops: dict[str, int] = msgspec.field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


class _Part(msgspec.Struct, frozen=True):
    """One shard's part of a proof."""

    counters: Counters
    pending: int
    in_flight: int
    released: int
    dead: int
    balanced: bool
    unreadable: tuple[str, ...]
    one_moment: bool = True


def prove(fleet: Fleet, registered: Mapping[str, Registration]) -> list[Proof]:
    """The proof of each queue, in the order of their names.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    queues = shards_of(fleet, registered)
    return prove_shards([shard for shards in queues.values() for shard in shards])


def prove_shards(shards: Sequence[Shard]) -> list[Proof]:
    """The proof of each queue that these shards belong to; see `prove`."""
    glances = take_glances(shards)
    large = {
        shard.keys.name: _in_slices(shard, glance)
        for shard, glance in zip(shards, glances, strict=True)
        if glance.batches > MOST_AT_ONCE
    }
    small = [shard for shard in shards if shard.keys.name not in large]
    parts = {each.shard: _at_once(each) for each in take_snapshots(small)} | large
    queues: dict[str, list[_Part]] = {}
    for name in sorted(parts):
        queues.setdefault(split_shard_name(name)[0], []).append(parts[name])
    return [_sum(queue, those) for queue, those in sorted(queues.items())]


def _at_once(snapshot: Snapshot) -> _Part:
    return _Part(
        counters=snapshot,
        pending=snapshot.pending,
        in_flight=snapshot.events("in_flight"),
        released=snapshot.events("released"),
        dead=snapshot.events("dead"),
        balanced=snapshot.balanced,
        unreadable=snapshot.unreadable,
    )


def _in_slices(shard: Shard, before: Glance) -> _Part:
    """Sum the lines of all batches, and compare them with the counters before and after."""
    stored = before.leaving + sum(events_of_batches(shard))
    (after,) = take_glances([shard])
    held = [each.undelivered + each.dead_events - each.open_events for each in (before, after)]
    # Nothing was sealed, claimed away or dropped unseen if it moved within what the counters moved.
    moved = _moved(before, after)
    return _Part(
        counters=after,
        pending=after.open_events + after.ready_events,
        in_flight=after.in_flight_events,
        released=after.released_events,
        dead=after.dead_events,
        balanced=after.balanced and min(held) - moved <= stored <= max(held) + moved,
        unreadable=after.unreadable,
        one_moment=False,
    )


def _moved(before: Glance, after: Glance) -> int:
    """Events that came, were sealed, or left between two looks."""
    gone = [each.delivered + sum(each.dropped.values()) + each.leaving for each in (before, after)]
    return abs(after.accepted - before.accepted) + abs(gone[1] - gone[0])


def _sum(queue: str, parts: Sequence[_Part]) -> Proof:
    drops: dict[str, int] = {}
    for part in parts:
        for reason, events in part.counters.dropped.items():
            drops[reason] = drops.get(reason, 0) + events
    return Proof(
        queue=queue,
        accepted=sum(part.counters.accepted for part in parts),
        delivered=sum(part.counters.delivered for part in parts),
        dead=sum(part.dead for part in parts),
        dropped=sum(drops.values()),
        pending=sum(part.pending for part in parts),
        in_flight=sum(part.in_flight for part in parts),
        released=sum(part.released for part in parts),
        balanced=all(part.balanced for part in parts),
        one_moment=all(part.one_moment for part in parts),
        drops=drops,
        unreadable=tuple(what for part in parts for what in part.unreadable),
    )
