"""Queues that hold nothing are forgotten: their keys, counters and registrations, with the SDK key.

If the process dies here, a queue may be forgotten in part: the same call forgets the rest, and a
producer that goes on registers what it misses.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vwo_celery.operating.past.audit import Actor, recorded
from vwo_celery.queue import registry
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import forgetting
from vwo_celery.queue.handling.forgetting import HOLDS, MOVES, Last
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import MOST_SHARDS, Registration
from vwo_celery.text.amounts import span

#: Time without use after which a queue may be forgotten without a word about it.
IDLE_SECONDS = 3600.0


class Forgotten(msgspec.Struct, frozen=True):
    """A queue that may be forgotten, was, or was not; with its last numbers.

    Attributes:
        queue: Its name.
        why: Why it stays, "" if it does not.
        accepted: Events that it accepted.
        delivered: Events of these that VWO accepted.
        dropped: Events of these that were dropped.
        refused: Events that it refused at capacity.
    """

    queue: str
    why: str
    accepted: int
    delivered: int
    dropped: int
    refused: int

    def __str__(self) -> str:
        return (
            f"{self.queue}: {self.accepted:,} accepted, {self.delivered:,} delivered, "
            f"{self.dropped:,} dropped, {self.refused:,} refused"
        )


def look_at_forgettable(
    fleet: Fleet, registered: Mapping[str, Registration], *, even_if_used: bool = False
) -> list[Forgotten]:
    """Look whether these queues may be forgotten; changes nothing.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    idle_seconds = None if even_if_used else IDLE_SECONDS
    return [
        _told(
            queue,
            [
                forgetting.forget_shard(shard, idle_seconds=idle_seconds, delete=False)
                for shard in _shards(fleet, queue)
            ],
        )
        for queue in registered
    ]


def forget(
    fleet: Fleet,
    actor: Actor,
    registered: Mapping[str, Registration],
    *,
    even_if_used: bool = False,
) -> list[Forgotten]:
    """Forget these queues, as far as they hold nothing; what became of each.

    Args:
        fleet: The queues.
        actor: Who asks for it.
        registered: The queues.
        even_if_used: Whether to forget also those that were used in the last hour.

    Raises:
        QueueUnavailable: Redis did not answer; some queues may be forgotten, one of them in part.
    """
    done = []
    with recorded(
        fleet, actor, "queues forget", queues=registered, matched=len(registered), unit="queues"
    ) as entry:
        for queue, registration in registered.items():
            done.append(_forget(fleet, queue, registration, even_if_used=even_if_used))
            if not done[-1].why:
                entry.done += 1
                entry.note = "; ".join(str(each) for each in done if not each.why)
    return done


def _forget(
    fleet: Fleet, queue: str, registration: Registration, *, even_if_used: bool
) -> Forgotten:
    (looked,) = look_at_forgettable(fleet, {queue: registration}, even_if_used=even_if_used)
    if looked.why:
        return looked
    shards = _shards(fleet, queue)
    mark = forgetting.doubt(fleet, queue, shards)  # whoever registers it from now on keeps it
    idle_seconds = None if even_if_used else IDLE_SECONDS
    lasts: list[Last] = []
    for shard in shards:
        lasts.append(forgetting.forget_shard(shard, idle_seconds=idle_seconds, delete=True))
        if lasts[-1].code != 1:  # an event has come since the look
            for gone in shards[: min(len(lasts) - 1, registration.shards)]:
                gone.set_limits(registration.limits, copy=registry.encode(registration))
            return _told(queue, lasts)
    told = _told(queue, lasts)
    if mark and not forgetting.unlist(fleet, queue, mark):
        why = "an application has registered it meanwhile; its counters began anew"
        return msgspec.structs.replace(told, why=why)
    return told


def _shards(fleet: Fleet, queue: str) -> list[Shard]:
    """Every shard that the queue may ever have had: releases before 0.2 noted no number."""
    return [fleet.shard(queue, number) for number in range(MOST_SHARDS)]


def _told(queue: str, lasts: list[Last]) -> Forgotten:
    why = next((_why(last) for last in lasts if last.code != 1), "")
    numbers = ("accepted", "delivered", "dropped", "refused")
    return Forgotten(queue, why, *(sum(getattr(e, name) for e in lasts) for name in numbers))


def _why(last: Last) -> str:
    if last.code == HOLDS:
        return "it holds events, dead letters included; send, move or purge them first"
    if last.code == MOVES:
        return "a move from it or to it is under way; repeat vwo-celery move first"
    if last.used_ms < 0:
        return "dead letters were imported to it lately; --even-if-used forgets that, too"
    ago = span(last.used_ms / 1000)
    return f"it was used {ago} ago, or batches came to it lately; --even-if-used forgets it anyway"
