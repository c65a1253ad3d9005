"""Tools to test an application, or the whole way of an event, on one machine; pytest is not needed.

Used by our tests, by the demo, and by tests of applications; pytest's fixtures of the same things are in
`pytest_vwo_celery`. They need no network beyond loopback. Files, in reading order: `waiting` (for a
condition), `redis_binary` (finds a Redis), `redis_server` (runs it), `standin/` (plays VWO); `diversion`
(events go to a test), `captured` (events, as a test reads them), `capture` (keeps them), `inline`
(delivers them). Nothing starts at import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vwo_celery.testing.capture import Capture, Drop, capture_events
from vwo_celery.testing.captured import CapturedEvent, CapturedEvents
from vwo_celery.testing.redis_binary import RedisServerMissing
from vwo_celery.testing.redis_server import RedisServer, RedisServerFailed
from vwo_celery.testing.standin import Fault, Request, Standin
from vwo_celery.testing.waiting import free_port, wait_for

if TYPE_CHECKING:
    from vwo_celery.testing.inline import Deliveries, InlineDelivery, inline_delivery

__all__ = [
    "Capture",
    "CapturedEvent",
    "CapturedEvents",
    "Deliveries",
    "Drop",
    "Fault",
    "InlineDelivery",
    "RedisServer",
    "RedisServerFailed",
    "RedisServerMissing",
    "Request",
    "Standin",
    "capture_events",
    "free_port",
    "inline_delivery",
    "wait_for",
]
#: What loads Celery and an HTTP library, at its first use.
_INLINE = ("Deliveries", "InlineDelivery", "inline_delivery")


def __getattr__(name: str) -> Any:
    """Load what a test delivers with, once it asks for it."""
    if name not in _INLINE:
        raise AttributeError(f"module {__name__} has no attribute {name!r}")
    from vwo_celery.testing import inline

    return getattr(inline, name)
