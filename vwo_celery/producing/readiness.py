"""Whether events that come now are stored: for probes, beside stage 1 of an event's way.

Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable

from vwo_celery.errors import SpoolUnavailable, VwoCeleryError
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings
from vwo_celery.spool.fallback import Fallback, fallback_of


def takes_events(settings: Settings, write: Callable[[Fleet], None]) -> bool:
    """Whether Redis, or else this host's disk, takes events now; waits some seconds at most.

    Args:
        settings: Those of the queues.
        write: Writes something of the caller's to Redis, or raises a VwoCeleryError. A Redis that is
            full, or a replica, answers whoever only reads.
    """
    host = fallback_of(settings)
    return _redis_takes(host, write) or _disk_takes(host)


def _redis_takes(host: Fallback, write: Callable[[Fleet], None]) -> bool:
    if host.breaker.is_open:  # it answers, perhaps, and takes nothing
        return False
    try:
        write(host.open_fleet())
    except VwoCeleryError:
        return False
    return True


def _disk_takes(host: Fallback) -> bool:
    if host.spool is None or host.disk_is_doubtful:
        return False
    try:
        return host.spool.used_bytes() < host.spool.max_bytes
    except SpoolUnavailable:
        return False
