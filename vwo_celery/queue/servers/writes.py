"""A test write: does Redis take one now, and if not, why?

Beside an event's way; asked by the doctor, since a server may answer every look and refuse each event:
out of memory, a full disk, a replica. The scratch key is removed, or ends by itself: nothing to lose.
"""

from __future__ import annotations

from typing import Final

from vwo_celery.connections import unavailable
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet

#: Life of the scratch key, ms.
_TTL_MS: Final = 1000


def refused_write(fleet: Fleet) -> QueueUnavailable | None:
    """Why Redis does not take a write; None if it does."""
    try:
        with unavailable("a test write"):
            key = f"{fleet.keys.prefix}{{try}}:write"
            fleet.client.set(key, "", px=_TTL_MS)
            fleet.client.unlink(key)
    except QueueUnavailable as exc:
        return exc
    return None
