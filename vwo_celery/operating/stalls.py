"""Stalls: workers that listen but run no tasks, judged by the signs of life in Redis.

Beside an event's way. Celery's consumer has been seen to live on without consuming after its
broker came back, and tasks of other kinds can keep every lane busy. A listener that finds a stall
sends one of the waiting batches itself; health reports it. Looking changes nothing: nothing to
lose.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vwo_celery.queue import sweeping
from vwo_celery.queue.batches import as_ms
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.surveys import due_shards, overdue
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import span

#: Shortest time, and fewest sweeps, without a task that make a stall while a batch is due.
_SHORTEST_SILENCE_SECONDS = 10.0
_SILENT_SWEEPS = 5
#: Time for which a batch that a listener sent counts as a sign of a stall, if no task has run
#: since.
_REMEMBERED_SECONDS = 60.0


class Stall(msgspec.Struct, frozen=True):
    """A time without tasks while workers listen and batches are due.

    Attributes:
        shards: Shards in which a batch has waited all that time.
        silent_seconds: Time since the last task; None if there never was one.
        replaced: Whether a listener sends in the tasks' place.
    """

    shards: tuple[Shard, ...]
    silent_seconds: float | None
    replaced: bool

    def __str__(self) -> str:
        since = "yet" if self.silent_seconds is None else f"for {span(self.silent_seconds)}"
        does = (
            "though batches wait"
            if not self.replaced
            else "and a listener sends in their place, one batch at a time"
        )
        return (
            f"no worker has run a task {since}, {does}: see whether the broker can be reached and "
            "whether other tasks keep every lane busy, and restart workers that do not come back"
        )


def silence_seconds(settings: Settings) -> float:
    """Time without a task, while one is due, from which there is a stall."""
    return max(_SHORTEST_SILENCE_SECONDS, _SILENT_SWEEPS * settings.sweep_interval_seconds)


def find_stall(
    fleet: Fleet, settings: Settings, signs_ms: Mapping[str, int], now_ms: int
) -> Stall | None:
    """The present stall; None while tasks run, or while none is due.

    Args:
        fleet: The queues.
        settings: A worker's; only the sweep's interval is used.
        signs_ms: The answer of `Fleet.signs_ms`.
        now_ms: Redis' time.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    last = max(signs_ms.get("task", 0), signs_ms.get("beat", 0))
    rescued = signs_ms.get("rescue", 0)
    silence_ms = as_ms(silence_seconds(settings))
    if now_ms - last < silence_ms:
        return None
    replaced = rescued > last and now_ms - rescued < as_ms(_REMEMBERED_SECONDS)
    shards = _waiting(fleet, now_ms, silence_ms)
    if not shards and not replaced:
        return None
    return Stall(tuple(shards), (now_ms - last) / 1000 if last else None, replaced)


def _waiting(fleet: Fleet, now_ms: int, silence_ms: int) -> list[Shard]:
    """Shards with a batch that could have left all that time; none while any batch is in flight."""
    due_ms = now_ms - silence_ms
    if not due_shards(fleet, fleet.watched_names(), as_ms(sweeping.IDLE_SECONDS)).claimable:
        return []  # the usual case, seen at little cost
    shards = fleet.watched()
    found = overdue(fleet, shards, now_ms=now_ms, due_ms=due_ms)
    if any(each.in_flight for each in found if each is not None):
        return []
    return [
        shard
        for shard, each in zip(shards, found, strict=True)
        if each is not None and each.overdue and not each.paused and each.free_since_ms <= due_ms
    ]
