"""One shared queue in Redis for the events of VWO's SDKs, sent in batches by Celery workers.

Producers need `attach` or `connect`; workers need `setup`. Importing this package connects to
nothing, starts nothing, and imports neither Celery nor an HTTP library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vwo_celery.destinations import Destination
from vwo_celery.errors import VwoCeleryError
from vwo_celery.producing.queue import Queue, connect
from vwo_celery.receipts import DrainResult, FlushResult, Receipt
from vwo_celery.sdk import attach, init, queue_of, shadow
from vwo_celery.settings import Settings
from vwo_celery.settings.arguments import BatchEventData, SettingsArguments, with_settings

if TYPE_CHECKING:
    from celery import Celery
    from typing_extensions import Unpack

    from vwo_celery.operating.looks.health import Health

__version__ = "0.2.0"
_HEALTH_TIMEOUT_SECONDS = 5.0
__all__ = [
    "BatchEventData",
    "Destination",
    "DrainResult",
    "FlushResult",
    "Queue",
    "Receipt",
    "Settings",
    "SettingsArguments",
    "VwoCeleryError",
    "attach",
    "connect",
    "health",
    "init",
    "queue_of",
    "setup",
    "shadow",
]


@with_settings
def setup(
    app: Celery, settings: Settings | None = None, **arguments: Unpack[SettingsArguments]
) -> Settings:
    """Add vwo_celery to a Celery app: tasks, listener, beat entry, routing.

    Args:
        app: The app that workers and beat run.
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        arguments: Single settings, listed below.

    Returns:
        The settings that the app's workers use.

    Raises:
        SettingsError: A setting is wrong.
    """
    from vwo_celery.celery.setup import setup as set_up

    return set_up(app, settings, **arguments)


@with_settings
def health(settings: Settings | None = None, **arguments: Unpack[SettingsArguments]) -> Health:
    """Check whether events leave in time; falsy if they do not, with what is stuck.

    Args:
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        arguments: Single settings, listed below.

    Raises:
        QueueUnavailable: Redis did not answer.
        SettingsError: A setting is wrong.
    """
    from vwo_celery.connections import open_client
    from vwo_celery.operating.looks import health
    from vwo_celery.queue.fleet import Fleet

    settings = settings if settings is not None else Settings.load(**arguments)
    client = open_client(settings.redis_url, timeout_seconds=_HEALTH_TIMEOUT_SECONDS)
    return health.health(Fleet(client, settings.namespace), settings)
