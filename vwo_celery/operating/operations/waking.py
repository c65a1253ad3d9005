"""A wake-up for each batch that a change has made due.

If the process dies before it, the next sweep wakes the workers.
"""

from __future__ import annotations

from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.work import sweeping


def wake(fleet: Fleet, shard: Shard) -> None:
    """Wake the workers for what is due in a shard.

    Raises:
        QueueUnavailable: Redis did not answer; the next sweep wakes them.
    """
    wakeups = sweeping.sweep_shard(shard)
    fleet.try_leaving_wakeups(shard.queue, shard.number, [wakeup.token for wakeup in wakeups])
