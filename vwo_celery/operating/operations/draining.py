"""Drain of this host's spool, at an operator's request.

If the process dies here, the rest stays in the spool.
"""

from __future__ import annotations

from collections.abc import Callable

from vwo_celery.operating.past.audit import Actor, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.receipts import DrainResult
from vwo_celery.spool.fallback import Fallback


def drain_spool(
    fleet: Fleet,
    actor: Actor,
    fallback: Fallback,
    timeout_seconds: float,
    watch: Callable[[int], None] = lambda _: None,
) -> DrainResult:
    """Move what this host's spool holds to Redis.

    Args:
        fleet: The queues, for the audit.
        actor: Who asks for it.
        fallback: The spool's way back.
        timeout_seconds: Longest wait; also for a Redis that is away.
        watch: Called after each step with the number of events drained so far.

    Raises:
        SpoolUnavailable: The spool cannot be read.
    """
    matched = fallback.count()
    with recorded(fleet, actor, "spool drain", matched=matched, waits_for_redis=True) as entry:

        def step(moved: int) -> None:
            entry.done = moved
            watch(moved)

        result = fallback.drain(timeout_seconds, step)
        entry.done = result.drained
        if not result:
            entry.fail(result.reason)
    return result
