"""VWO's official SDKs on the shared queue: `attach` a client, or `init` one.

Before stage 1 of an event's way. Finds a client's generation and hands the client to that
generation's module. Nothing here imports an SDK before a client of it exists. Files, in reading
order: `hook` (from a client to the queue), `timers`, `flags`, `fme`, `legacy`, `builder`. Nothing to
lose; `hook` and `flags` say what dies with the process.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from vwo_celery.errors import SdkError
from vwo_celery.producing.queue import Queue, connect
from vwo_celery.sdk import fme, legacy
from vwo_celery.sdk.builder import BuilderMixin, builder, init
from vwo_celery.sdk.hook import queue_of
from vwo_celery.sdk.timers import let_process_end
from vwo_celery.settings import Settings
from vwo_celery.settings.arguments import BatchOptions, SettingsArguments, with_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["BuilderMixin", "attach", "builder", "init", "queue_of"]

_ACCEPTED = (
    "attach takes the client that vwo.init or wingify.init (vwo-fme-python-sdk, "
    "wingify-fme-python-sdk) or vwo.launch (vwo-python-sdk) returned"
)


@with_options
def attach(
    client: Any,
    *,
    batch_event_data: BatchOptions | msgspec.UnsetType = msgspec.UNSET,
    base_url: str = "",
    strict: bool = False,
    settings: Settings | None = None,
    redis: Any = None,
    **settings_arguments: Unpack[SettingsArguments],
) -> Queue:
    """Put a VWO client's events onto the shared queue: those it holds, and all from now on.

    The application uses the client as before; its `flush_events()` returns a FlushResult.

    Args:
        client: The client that `vwo.init`, `wingify.init` or `vwo.launch` returned.
        batch_event_data: The vendor's batch options. Left out, the client's own are used, or the
            vendor's defaults if it has none. None means real time.
        base_url: Scheme and host of the events, instead of the SDK's.
        strict: Raise for a wrong option, or for a second FME client with another key, instead of
            logging it.
        settings: Ready-made settings, as for `vwo_celery.connect`.
        redis: A Redis client to use, as for `vwo_celery.connect`.
        **settings_arguments: Single settings, listed below.

    Returns:
        The queue; `vwo_celery.queue_of(client)` returns it as well.

    Raises:
        SdkError: The client is none of VWO's, or cannot be attached. Like after any error, it works
            as it did; only the FME SDK's timers no longer keep the process from ending.
        DestinationError: The client's account id, key or host cannot be used.
        SettingsError: A setting is wrong, or with *strict* a batch option.
    """
    open_queue = partial(
        connect, strict=strict, settings=settings, redis=redis, **settings_arguments
    )
    try:
        return _attach(client, strict, batch_event_data=batch_event_data, base_url=base_url,
                       open_queue=open_queue)  # fmt: skip
    except Exception:
        let_process_end()
        raise


def _attach(client: Any, strict: bool, **arguments: Any) -> Queue:
    if _is_of_sdk(client) and hasattr(client, "batch_event_queue"):
        return fme.attach(client, strict=strict, **arguments)
    if _is_of_sdk(client) and hasattr(client, "event_dispatcher"):
        return legacy.attach(client, **arguments)
    raise SdkError(_unrecognised(client))


def _is_of_sdk(client: Any) -> bool:
    modules = {base.__module__.partition(".")[0] for base in type(client).__mro__}
    return bool(modules & {"vwo", "wingify"})


def _unrecognised(client: Any) -> str:
    if client is None:
        return f"{_ACCEPTED}; None was given: the SDK returned no client, and logged why"
    kind = type(client)
    return f"{_ACCEPTED}; {kind.__module__}.{kind.__qualname__} was given"
