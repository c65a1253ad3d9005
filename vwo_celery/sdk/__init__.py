"""VWO's official SDKs on the shared queue: `attach` a client, or `init` one.

Place: adapters. Tells which generation a client is of and hands it to that generation's module.
Neither this package nor anything below it imports an SDK before a client of it is there.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from vwo_celery.errors import SdkError
from vwo_celery.producing.queue import Queue, connect
from vwo_celery.sdk import fme, legacy
from vwo_celery.sdk.builder import BuilderMixin, builder, init
from vwo_celery.sdk.hook import queue_of
from vwo_celery.settings import Settings

__all__ = ["BuilderMixin", "attach", "builder", "init", "queue_of"]

_ACCEPTED = (
    "attach takes the client that vwo.init or wingify.init (vwo-fme-python-sdk, "
    "wingify-fme-python-sdk) or vwo.launch (vwo-python-sdk) returned"
)


def attach(
    client: Any,
    *,
    batch_event_data: Any = msgspec.UNSET,
    base_url: str = "",
    strict: bool = False,
    settings: Settings | None = None,
    redis: Any = None,
    **settings_arguments: Any,
) -> Queue:
    """Put a VWO client's events onto the shared queue, from now on and with what it holds.

    The client is used as before; its `flush_events()` returns a FlushResult.

    Args:
        client: What `vwo.init`, `wingify.init` or `vwo.launch` returned.
        batch_event_data: The vendor's batch options; left out, the client's own, and where it has
            none, the vendor's defaults. None is real-time.
        base_url: Scheme and host of the events, instead of the SDK's.
        strict: Raise for a wrong option, or for a second FME client with another key, instead of
            logging it.
        settings: As for `vwo_celery.connect`, like redis and settings_arguments.
        redis: A Redis client to use.
        **settings_arguments: Single settings, such as redis_url.

    Returns:
        The queue; also `vwo_celery.queue_of(client)`.

    Raises:
        SdkError: It is no such client, or one that cannot be attached; it is left as it was.
        DestinationError: Its account id, key or host cannot be used.
        SettingsError: A setting is wrong, or with strict a batch option.
    """
    open_queue = partial(
        connect, strict=strict, settings=settings, redis=redis, **settings_arguments
    )
    if _is_of_sdk(client) and hasattr(client, "batch_event_queue"):
        return fme.attach(
            client,
            batch_event_data=batch_event_data,
            base_url=base_url,
            strict=strict,
            open_queue=open_queue,
        )
    if _is_of_sdk(client) and hasattr(client, "event_dispatcher"):
        return legacy.attach(
            client, batch_event_data=batch_event_data, base_url=base_url, open_queue=open_queue
        )
    raise SdkError(_unrecognised(client))


def _is_of_sdk(client: Any) -> bool:
    modules = {base.__module__.partition(".")[0] for base in type(client).__mro__}
    return bool(modules & {"vwo", "wingify"})


def _unrecognised(client: Any) -> str:
    if client is None:
        return f"{_ACCEPTED}; None was given: the SDK returned no client, and logged why"
    kind = type(client)
    return f"{_ACCEPTED}; {kind.__module__}.{kind.__qualname__} was given"
