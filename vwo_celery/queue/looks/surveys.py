"""Surveys of many shards in one round trip: which hold events, and which hold overdue batches.

Beside `shard`. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.parts import by_part
from vwo_celery.queue.pipelining import Call, run_all
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import due_keys, split_shard_name

#: Shards that one call looks at, where all may be in one call.
_SHARDS_A_CALL = 200


class Overdue(NamedTuple):
    """The batches of a shard that are in flight or overdue, and whether they could leave.

    Attributes:
        in_flight: Batches under a lease.
        overdue: Batches, not in flight, that were due by the given time.
        paused: Whether the queue is paused.
        free_since_ms: Unix ms at which a pause or an open circuit last ended, or will end; 0 for
            never.
    """

    in_flight: int
    overdue: int
    paused: bool
    free_since_ms: int


class Due(NamedTuple):
    """The shards for which there is something to do.

    Attributes:
        sweeps: Shards that a sweep would change.
        overdue: Shards with a wake-up that may be lost.
        claimable: Shards with a batch that may be claimed.
    """

    sweeps: list[Shard]
    overdue: list[Shard]
    claimable: list[Shard]


def due_shards(fleet: Fleet, names: Sequence[str], idle_ms: int, lost_until_ms: int = 0) -> Due:
    """Look for shards for which there is something to do.

    One whose keys answer with an error is to be swept: its sweep reports it.

    Args:
        fleet: The queues.
        names: Short names of the shards to look at.
        idle_ms: Time without events after which a shard counts as idle.
        lost_until_ms: See `routes.lost_until`; 0 where that is not known.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    size = 1 if fleet.in_cluster else _SHARDS_A_CALL  # in a Cluster shards lie in different slots
    parts = [names[start : start + size] for start in range(0, len(names), size)]
    calls = [
        Call([key for name in part for key in due_keys(fleet.namespace, name)],
             (idle_ms, lost_until_ms))
        for part in parts
    ]  # fmt: skip
    found: tuple[list[str], list[str], list[str]] = ([], [], [])
    with unavailable("look for what is due"):
        for part, answer in zip(parts, run_all(fleet.client, script("due"), calls), strict=True):
            failed = isinstance(answer, Exception)
            numbers = (range(len(part)), (), range(len(part))) if failed else answer
            for shards, those in zip(found, numbers, strict=True):
                shards.extend(part[number] for number in those)
    return Due(*(_shards(fleet, each) for each in found))


def _shards(fleet: Fleet, names: Sequence[str]) -> list[Shard]:
    return [fleet.shard(*split_shard_name(name)) for name in names]


def holding(fleet: Fleet, shards: Sequence[Shard]) -> list[Shard]:
    """The shards that hold an event, or whose keys answer with an error, which their sweep reports.

    In a Cluster, those on a part that is away are left out.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return fleet.on_each_part(shards, partial(_holding, fleet))


def _key(shard: Shard) -> str:
    return shard.keys.meta


def _holding(fleet: Fleet, shards: Sequence[Shard]) -> list[Shard]:
    with unavailable("patrol"):
        pipe = fleet.client.pipeline(transaction=False)
        for shard in shards:
            pipe.llen(shard.keys.open)
            pipe.zcard(shard.keys.ready)
            pipe.zcard(shard.keys.leases)
        counts = pipe.execute(raise_on_error=False)
    return [
        shard
        for shard, held in zip(shards, zip(*[iter(counts)] * 3, strict=True), strict=True)
        if any(held)
    ]


def overdue(
    fleet: Fleet, shards: Sequence[Shard], *, now_ms: int, due_ms: int
) -> list[Overdue | None]:
    """Overdue batches of each shard; None for one whose keys answer with an error, or not at all.

    Args:
        fleet: The queues.
        shards: The shards to look at.
        now_ms: Redis' time.
        due_ms: Unix ms; a batch that was due by then is overdue.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    found: dict[str, Overdue | None] = {}
    for part in by_part(fleet.client, shards, _key):
        look = partial(_overdue, fleet, part, now_ms=now_ms, due_ms=due_ms)
        missing: list[Overdue | None] = [None] * len(part)
        answers = fleet.on_part_of(part[0], look, missing)
        found |= zip((shard.keys.name for shard in part), answers, strict=True)
    return [found[shard.keys.name] for shard in shards]


def _overdue(
    fleet: Fleet, shards: Sequence[Shard], *, now_ms: int, due_ms: int
) -> list[Overdue | None]:
    with unavailable("look for what waits"):
        pipe = fleet.client.pipeline(transaction=False)
        for shard in shards:
            keys = shard.keys
            pipe.zcount(keys.leases, f"({now_ms}", "+inf")
            pipe.zcount(keys.leases, "-inf", due_ms)
            pipe.zcount(keys.ready, "-inf", due_ms)
            pipe.hmget(keys.meta, "paused", "held_until", "free_since_ms")
        answers = pipe.execute(raise_on_error=False)
    found: list[Overdue | None] = []
    for answer in zip(*[iter(answers)] * 4, strict=True):
        if any(isinstance(each, Exception) for each in answer):
            found.append(None)
            continue
        in_flight, lost, ready, (paused, held_until, free_since) = answer
        free_since_ms = max(int(held_until or 0), int(free_since or 0))
        found.append(Overdue(in_flight, lost + ready, paused is not None, free_since_ms))
    return found
