"""Whether events that come now are stored: for probes, beside stage 1 of an event's way.

It looks and changes nothing: nothing to lose.
"""

from __future__ import annotations

from vwo_celery.errors import SpoolUnavailable, VwoCeleryError
from vwo_celery.settings import Settings
from vwo_celery.spool.fallback import Fallback, fallback_of


def takes_events(settings: Settings) -> bool:
    """Whether Redis, or else this host's disk, takes events now; waits some seconds at most."""
    host = fallback_of(settings)
    return _redis_takes(host) or _disk_takes(host)


def _redis_takes(host: Fallback) -> bool:
    if host.breaker.is_open:  # it answers, perhaps, and takes nothing
        return False
    try:
        host.open_fleet().waiting_wakeups()
    except VwoCeleryError:
        return False
    return True


def _disk_takes(host: Fallback) -> bool:
    if host.spool is None:
        return False
    try:
        return host.spool.used_bytes() < host.spool.max_bytes
    except SpoolUnavailable:
        return False
