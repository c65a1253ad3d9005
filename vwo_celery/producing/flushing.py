"""What `flush_events` does: this host's spool first, then all that Redis holds of the queue.

Place: work, beside an event's way, in the application's process. It only hastens what happens anyway;
nothing is lost if the process dies in here.
"""

from __future__ import annotations

import time

from vwo_celery.errors import VwoCeleryError
from vwo_celery.queue import flushing
from vwo_celery.queue.registration import Registration
from vwo_celery.receipts import FlushResult
from vwo_celery.spool.fallback import Fallback
from vwo_celery.text.amounts import count


def flush(fallback: Fallback, registration: Registration, *, timeout_seconds: float) -> FlushResult:
    """Have everything sent that is in the queue now, and wait for it; see `Queue.flush_events`."""
    started = time.monotonic()
    try:
        drained = fallback.drain(timeout_seconds, give_up=True)
        spooled = fallback.count(registration.destination.queue)
        why = f"{count(spooled, 'event')} still in this host's spool: {drained.reason}"
        if spooled and not drained.drained:
            return FlushResult(pending=spooled, reason=why)
        left_seconds = max(0.0, timeout_seconds - (time.monotonic() - started))
        fleet = fallback.open_fleet()
        counts = flushing.flush(fleet, registration, timeout_seconds=left_seconds)
    except VwoCeleryError as exc:
        return FlushResult(reason=str(exc))
    if spooled:
        counts = counts._replace(pending=counts.pending + spooled, reason=why)
    return FlushResult(**counts._asdict())
