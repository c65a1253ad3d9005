"""Stage 2 of an event's way: what makes a batch leave, by size, by age, or because somebody asks.

A wake-up is only a hint and may be lost at any point: the sweep finds whatever is due, and any number
of sweepers may run it at once. The flush is a sweep that does not wait for age, and then watches
what becomes of the batches. Nothing is lost if a process dies here; a wake-up's slot expires.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ResponseError

from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue.batches import as_ms
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.registration import Wakeup
from vwo_celery.queue.shard import Pushed, Shard
from vwo_celery.queue.surveys import holding
from vwo_celery.settings import Settings

#: Registered queues that one sweep checks for events which nobody announced.
AUDITED_QUEUES = 100
#: A shard that held nothing for so long is not looked at any more.
IDLE_SECONDS = 600.0
#: Beyond the longest delay that we give, a batch is hidden only because Redis' clock stepped back.
_HORIZON_MARGIN_SECONDS = 60.0
_NO_HORIZON_MS = 10**12


def tokens(stem: str, count: int) -> Iterator[str]:
    """Tokens of the wake-up slots that a script handed out under *stem*."""
    return (f"{stem}:{i}" for i in range(1, count + 1))


def sweep(fleet: Fleet, settings: Settings, *, by: str) -> list[Wakeup]:
    """Seal what is old enough and find what is ready, in every queue that holds something.

    Args:
        fleet: The queues.
        settings: A worker's.
        by: Who runs it, "beat" or "listener", left as a sign of life.

    Returns:
        Wake-ups to be turned into `deliver` tasks, one each.

    Raises:
        QueueUnavailable: Redis did not answer; the next sweep goes on.
    """
    with going_on("the sign of life"):
        fleet.note_sweep(by)
    with going_on("the audit"):
        audit(fleet)
    wakeups = []
    for shard in fleet.watched():
        with going_on(shard.keys.name):
            found, idle = sweep_shard(shard, settings)
            wakeups += found
            if idle:
                fleet.unwatch(shard)
    return wakeups


@contextmanager
def going_on(without: str) -> Iterator[None]:
    """Log what Redis refuses, so that one thing that is wrong does not hold up all the others.

    Raises:
        QueueUnavailable: Redis did not answer at all.
    """
    try:
        yield
    except QueueUnavailable as exc:
        if not isinstance(exc.__cause__, ResponseError):
            raise
        log.warning("going on without %s: %s", without, exc)


def sweep_shard(
    shard: Shard, settings: Settings | None = None, *, force: bool = False
) -> tuple[list[Wakeup], bool]:
    """Wake-ups for what is ready in one shard, and whether it has long held nothing.

    Args:
        shard: Which.
        settings: A worker's: what is hidden for longer than its longest delay became so by a clock
            that stepped back, and is shown. None leaves that to those who know the workers' settings.
        force: Seal what is open, whatever its age.
    """
    horizon_ms = _horizon_ms(settings) if settings is not None else _NO_HORIZON_MS
    wakeups: list[Wakeup] = []
    while True:
        swept = shard.sweep(force=force, horizon_ms=horizon_ms, idle_ms=as_ms(IDLE_SECONDS))
        wakeups += (
            Wakeup(shard.queue, shard.number, token) for token in tokens(swept.token, swept.wakeups)
        )
        if not swept.more:
            return wakeups, bool(swept.idle)


def audit(fleet: Fleet) -> None:
    """Put shards under watch that hold something though nobody said so, a slice of them at a time.

    That is how events of programs that only LPUSH are noticed, and what heals a lost watch.
    """
    registered = fleet.some_registrations(AUDITED_QUEUES)
    shards = [
        fleet.shard(queue, number)
        for queue, registration in registered.items()
        for number in range(registration.shards)
    ]
    for shard in holding(fleet, shards):
        fleet.watch(shard.keys.name)


def _horizon_ms(settings: Settings) -> int:
    longest = max(settings.lease_seconds, settings.backoff_max_seconds)
    return as_ms(longest + _HORIZON_MARGIN_SECONDS)


def tell_workers(fleet: Fleet, shard: Shard, stem: str, pushed: Pushed) -> None:
    """Leave the wake-ups that an answer to a push asks for, and have the shard watched.

    Args:
        fleet: The queues.
        shard: What was pushed to.
        stem: Of the push's wake-up tokens.
        pushed: The answer.

    Raises:
        QueueUnavailable: Redis did not answer; the next sweep finds the batch.
    """
    if pushed.watch:
        fleet.watch(shard.keys.name)
    if pushed.wakeups:
        fleet.leave_wakeups(shard.queue, shard.number, tokens(stem, pushed.wakeups))
