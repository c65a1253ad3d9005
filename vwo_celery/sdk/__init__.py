"""VWO's official SDKs on the shared queue: `attach` a client, `init` one, or `shadow` one.

Before stage 1 of an event's way. Finds a client's generation and hands the client to that
generation's module. Nothing here imports an SDK before a client of it exists. Files, in reading
order: `hook` (from a client to the queue), `releases` (what can be attached), `timers`, `flags`,
`fme`, `legacy`, `builder`; `shadow` (count what a client sends, and change nothing), `shadow_fme`,
`shadow_legacy`. Nothing to lose; `hook`, `flags` and `shadow` say what dies with the process.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.errors import SdkError
from vwo_celery.producing.queue import Queue, connect
from vwo_celery.producing.shadowing import shadower_of
from vwo_celery.sdk import fme, legacy, shadow_fme, shadow_legacy
from vwo_celery.sdk.builder import BuilderMixin, builder, init
from vwo_celery.sdk.hook import queue_of
from vwo_celery.sdk.releases import core_of
from vwo_celery.sdk.shadow import is_shadowed, refuse_attached, refuse_shadowed
from vwo_celery.sdk.timers import let_process_end
from vwo_celery.settings import Settings
from vwo_celery.settings.arguments import (
    BatchOptions,
    SettingsArguments,
    with_options,
    with_settings,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["BuilderMixin", "attach", "builder", "init", "queue_of", "shadow"]

_ACCEPTED = (
    "{} takes the client that vwo.init or wingify.init (vwo-fme-python-sdk, "
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
    refuse_shadowed(client)
    if _is_fme(client):
        return fme.attach(client, strict=strict, **arguments)
    if _is_legacy(client):
        return legacy.attach(client, **arguments)
    raise SdkError(_unrecognised("attach", client))


@with_settings
def shadow(
    client: Any,
    *,
    base_url: str = "",
    settings: Settings | None = None,
    redis: Any = None,
    **settings_arguments: Unpack[SettingsArguments],
) -> None:
    """Count what a client's SDK sends and what `attach` would enqueue; the SDK goes on as it does.

    No event is enqueued, and none is sent twice. `vwo-celery shadow-report` compares the counts of all
    processes. A shadow lasts as long as the client; a second one of the same client changes nothing.

    Args:
        client: The client that `vwo.init`, `wingify.init` or `vwo.launch` returned.
        base_url: As for `vwo_celery.attach`; it only tells for which queue is counted.
        settings: Ready-made settings, as for `vwo_celery.connect`.
        redis: A Redis client to use, as for `vwo_celery.connect`.
        **settings_arguments: Single settings, listed below.

    Raises:
        SdkError: The client is none of VWO's, cannot be attached, is attached already, or has events
            that cannot be compared. Like after any error, it works as it did.
        DestinationError: The client's account id, key or host cannot be used.
        SettingsError: A setting is wrong, or *redis*.
    """
    if is_shadowed(client):
        return
    refuse_attached(client)
    kind, found = _destination_of(client, base_url)
    settings = settings if settings is not None else Settings.load(**settings_arguments)
    kind.shadow(client, queue=found.queue, shadower=shadower_of(settings, redis))


def _destination_of(client: Any, base_url: str) -> tuple[Any, Destination]:
    """The module that shadows *client*, and where `attach` would send its events."""
    if _is_fme(client):
        fme.check_release(client)
        return shadow_fme, fme.destination_of(client, base_url=base_url)
    if not _is_legacy(client):
        raise SdkError(_unrecognised("shadow", client))
    legacy.check_release(client)
    return shadow_legacy, legacy.destination_of(client, base_url=base_url)


def _is_fme(client: Any) -> bool:
    return _is_of_sdk(client, "get_flag", "batch_event_queue")


def _is_legacy(client: Any) -> bool:
    return _is_of_sdk(client, "activate", "event_dispatcher")


def _is_of_sdk(client: Any, *names: str) -> bool:
    return bool(core_of(type(client))) and any(hasattr(client, name) for name in names)


def _unrecognised(function: str, client: Any) -> str:
    accepted = _ACCEPTED.format(function)
    if client is None:
        return f"{accepted}; None was given: the SDK returned no client, and logged why"
    kind = type(client)
    return f"{accepted}; {kind.__module__}.{kind.__qualname__} was given"
