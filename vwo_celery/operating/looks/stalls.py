"""Stalls: workers that listen but run no tasks, as the signs of life in Redis show, or decline them.

Beside an event's way. Celery's consumer has been seen to live on without consuming after its
broker came back, and tasks of other kinds can keep every lane busy. A listener that finds a stall
sends one of the waiting batches itself; health reports it. The tasks of one queue may all reach
workers that decline it: a listener that may send it does. Looking changes nothing: nothing to lose.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.declines import declined_queues
from vwo_celery.queue.looks.surveys import Overdue, due_shards, overdue
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.keys import split_shard_name
from vwo_celery.queue.work import sweeping
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import span

#: Shortest time, and fewest sweeps, without a task that make a stall while a batch is due.
_SHORTEST_SILENCE_SECONDS = 10.0
_SILENT_SWEEPS = 5
#: Time for which a batch that a listener sent counts as a sign of a stall, if no task has run
#: since.
_REMEMBERED_SECONDS = 60.0
#: Most neglected shards that one look tells of, any of them: the next look tells of others.
_MOST_NEGLECTED = 100


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
    """The present stall; None while tasks run, while none is due, or while workers have just begun.

    Args:
        fleet: The queues.
        settings: A worker's; only the sweep's interval is used.
        signs_ms: The answer of `Fleet.signs_ms`.
        now_ms: Redis' time.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    last = max(signs_ms.get("task", 0), signs_ms.get("beat", 0))
    # A worker that finds a backlog at its start needs a moment to run its first task.
    began = max(last, signs_ms.get("listening", 0))
    rescued = signs_ms.get("rescue", 0)
    silence_ms = as_ms(silence_seconds(settings))
    if now_ms - began < silence_ms:
        return None
    replaced = rescued > began and now_ms - rescued < as_ms(_REMEMBERED_SECONDS)
    shards = _waiting(fleet, now_ms, silence_ms)
    if not shards and not replaced:
        return None
    return Stall(tuple(shards), (now_ms - last) / 1000 if last else None, replaced)


def find_neglected(fleet: Fleet, settings: Settings, now_ms: int) -> list[Shard]:
    """Shards of queues that some worker declines, and that no worker has sent for a stall's time.

    While tasks run, those of such a queue may all reach workers that decline it, which pass them on.

    Args:
        fleet: The queues.
        settings: A worker's; only the sweep's interval is used.
        now_ms: Redis' time.

    Returns:
        At most `_MOST_NEGLECTED` of them; none while the part of a Cluster with the list of declined
        queues is away.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    place, look = fleet.keys.declined_queues, partial(declined_queues, fleet, now_ms)
    none: list[str] = []
    declined = frozenset(fleet.hints.attempt(place, "the list of declined queues", look, none))
    if not declined:
        return []  # the usual case: one command
    names = [name for name in fleet.watched_names() if split_shard_name(name)[0] in declined]
    due_ms = now_ms - as_ms(silence_seconds(settings))
    living = fleet.on_living_parts(names)
    shards = due_shards(fleet, living, as_ms(sweeping.IDLE_SECONDS)).claimable
    found = overdue(fleet, shards, now_ms=now_ms, due_ms=due_ms)
    idle = [None if each is None or each.in_flight else each for each in found]
    late = _could_have_left(shards, idle, due_ms)
    return random.sample(late, min(len(late), _MOST_NEGLECTED))


def _waiting(fleet: Fleet, now_ms: int, silence_ms: int) -> list[Shard]:
    """Shards with a batch that could have left all that time; none while any batch is in flight."""
    due_ms = now_ms - silence_ms
    if not due_shards(fleet, fleet.watched_names(), as_ms(sweeping.IDLE_SECONDS)).claimable:
        return []  # the usual case, seen at little cost
    shards = fleet.watched()
    found = overdue(fleet, shards, now_ms=now_ms, due_ms=due_ms)
    if any(each.in_flight for each in found if each is not None):
        return []
    return _could_have_left(shards, found, due_ms)


def _could_have_left(
    shards: Sequence[Shard], found: Sequence[Overdue | None], due_ms: int
) -> list[Shard]:
    """Those of the shards with a batch that was due by then and was neither paused nor held since."""
    return [
        shard
        for shard, each in zip(shards, found, strict=True)
        if each is not None and each.overdue and not each.paused and each.free_since_ms <= due_ms
    ]
