"""One shared queue in Redis for the events of VWO's SDKs, sent in batches by Celery workers.

Producers need `attach` or `connect`; workers need `setup`. Importing this package connects to
nothing, starts nothing, and imports neither Celery nor an HTTP library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vwo_celery.destinations import Destination
from vwo_celery.errors import VwoCeleryError
from vwo_celery.producer import Queue, connect
from vwo_celery.receipts import FlushResult, Receipt
from vwo_celery.sdk import attach, init, queue_of
from vwo_celery.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

__version__ = "0.1.0"
__all__ = [
    "Destination",
    "FlushResult",
    "Queue",
    "Receipt",
    "Settings",
    "VwoCeleryError",
    "attach",
    "connect",
    "init",
    "queue_of",
    "setup",
]


def setup(app: Celery, settings: Settings | None = None, **arguments: Any) -> Settings:
    """Add vwo_celery to a Celery app: tasks, listener, beat entry, routing; see `tasks.setup`."""
    from vwo_celery.tasks import setup as set_up

    return set_up(app, settings, **arguments)
