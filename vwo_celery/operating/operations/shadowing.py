"""A reset of the shadow's counters, so that they begin anew after something was changed.

One command of Redis: if the process dies here, they are forgotten or not. Processes that count go on
from zero with their next call.
"""

from __future__ import annotations

from vwo_celery.operating.past.audit import Actor, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.shadows import forget_counts


def reset_shadow(fleet: Fleet, actor: Actor) -> bool:
    """Forget what shadowed SDKs have sent and our hook has seen; False if nothing was counted.

    Args:
        fleet: The queues.
        actor: Who asks for it.

    Raises:
        QueueUnavailable: Redis did not answer; the counters may be forgotten.
    """
    with recorded(fleet, actor, "shadow-report --reset", unit="queues") as entry:
        forgotten = forget_counts(fleet)
        if not forgotten:
            entry.note = "nothing was counted"
    return forgotten
