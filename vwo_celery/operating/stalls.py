"""Whether the workers that listen also run tasks, told by what they leave behind in Redis.

Place: work, beside an event's way. Celery's consumer has been seen to live on without consuming, after
its broker came back, and tasks of another kind can keep every lane busy. Whoever finds such a stall
sends what waits, or says so; looking changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.batches import as_ms
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import span

#: No task for so long, and for so many sweeps, is a stall if one is due.
_SHORTEST_SILENCE_SECONDS = 10.0
_SILENT_SWEEPS = 5
#: How long a batch that a listener had to send is remembered, where no task has run since.
_REMEMBERED_SECONDS = 60.0


class Stall(msgspec.Struct, frozen=True):
    """That workers listen and none runs a task.

    Attributes:
        shards: Those in which a batch has been waiting all that time.
        silent_seconds: Since the last task; None if there never was one.
        replaced: Whether a listener has been sending in the tasks' place.
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
    """How long no task may run though one is due."""
    return max(_SHORTEST_SILENCE_SECONDS, _SILENT_SWEEPS * settings.sweep_interval_seconds)


def find_stall(
    fleet: Fleet, settings: Settings, signs_ms: Mapping[str, int], now_ms: int
) -> Stall | None:
    """The stall there is now; None while tasks run, or while none is due.

    Args:
        fleet: The queues.
        settings: A worker's; only the sweep's interval matters.
        signs_ms: What `Fleet.signs_ms` answered.
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
    shards = _waiting(fleet, fleet.watched(), now_ms, silence_ms)
    if not shards and not replaced:
        return None
    return Stall(tuple(shards), (now_ms - last) / 1000 if last else None, replaced)


def _waiting(fleet: Fleet, shards: Sequence[Shard], now_ms: int, since_ms: int) -> list[Shard]:
    """Shards that may be sent from and in which a batch is due since then; none while any is sent."""
    if not shards:
        return []
    with unavailable("look for what waits"):
        pipe = fleet.client.pipeline(transaction=False)
        for shard in shards:
            keys = shard.keys
            pipe.zcount(keys.leases, f"({now_ms}", "+inf")
            pipe.zcount(keys.leases, "-inf", now_ms - since_ms)
            pipe.zcount(keys.ready, "-inf", now_ms - since_ms)
            pipe.hmget(keys.meta, "paused", "held_until", "free_since_ms")
        # What answers with an error is a broken queue's, which others tell of.
        answers = pipe.execute(raise_on_error=False)
    found = []
    for shard, answer in zip(shards, zip(*[iter(answers)] * 4, strict=True), strict=True):
        if any(isinstance(each, Exception) for each in answer):
            continue
        live, lost, ready, (paused, held_until, free_since) = answer
        if live:
            return []
        waits_since = max(int(held_until or 0), int(free_since or 0))
        free = paused is None and waits_since <= now_ms - since_ms
        if free and (lost or ready):
            found.append(shard)
    return found
