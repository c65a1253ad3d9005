"""The legacy SDK, vwo-python-sdk, on the shared queue.

Before stage 1 of an event's way. The SDK hands each event to `client.event_dispatcher`; each client
has its own, so several accounts in one process keep apart. `attach` replaces two methods and the
list of that dispatcher; the events' shape, development mode and return values stay the SDK's. The
SDK keeps the usage statistics and the host in globals of the last launch, so they are read once, at
attach. If the process dies during `attach`, events that were held in the SDK's queue and not yet
enqueued are lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.errors import SdkError
from vwo_celery.producing.queue import Queue
from vwo_celery.receipts import FlushResult
from vwo_celery.sdk.hook import VENDOR_DEFAULTS, Handover, Hook, OpenQueue, hook_of, remember
from vwo_celery.sdk.releases import check_parts, find
from vwo_celery.sdk.timers import stop_timer

FlushMode = Literal["sync", "async"]
_CORE = "vwo"
_CLIENT_PARTS = (
    "settings_file", "event_dispatcher", "is_opted_out", "is_event_batching_enabled", "flush_events",
)  # fmt: skip
_DISPATCHER_PARTS = (
    "async_dispatch", "build_event_payload", "flush_queue", "event_batching", "events_per_request",
    "request_time_interval", "flush_callback", "sdk", "sdk_v", "queue", "lock", "timer",
)  # fmt: skip
#: Usage statistics in the query: "events are batched", and "statistics are reported".
_BATCHING_STAT, _REPORTED_STAT = "eb", "_l"


class SharedDispatch:
    """Two methods that replace those of a dispatcher of the SDK's."""

    def __init__(self, hook: Hook, dispatcher: Any) -> None:
        self._hook = hook
        self._dispatcher = dispatcher

    def async_dispatch(self, url: str, impression: dict[str, Any]) -> bool:
        """Enqueue one event in the SDK's wire shape; True unless it was dropped. Never raises."""
        try:
            event = self._dispatcher.build_event_payload(url, impression)
        except Exception as exc:
            self._hook.note(exc, "the SDK could not build an event")
            return False
        return self._hook.put(event)

    def flush_queue(self, manual: bool = False, mode: FlushMode = "async") -> None:
        """Flush the queue without waiting; the SDK calls this when it opts out."""
        self._hook.flush(timeout_seconds=0)


class SharedFlush:
    """Replaces the client's `flush_events`: returns a true result, and *mode* is optional."""

    def __init__(self, hook: Hook, client: Any) -> None:
        self._hook = hook
        self._client = client

    def __call__(self, mode: FlushMode = "sync") -> FlushResult:
        """Flush the queue.

        Args:
            mode: "sync" waits for the result, "async" returns the state of this moment.

        Returns:
            Truthy only when everything was delivered; falsy for a client that has opted out.
        """
        if self._client.is_opted_out:
            return FlushResult(reason="this client has opted out")
        return self._hook.flush(0 if mode == "async" else None)


def attach(client: Any, *, batch_event_data: Any, base_url: str, open_queue: OpenQueue) -> Queue:
    """Put *client*'s events onto the shared queue; see `vwo_celery.attach` for the arguments."""
    check_release(client)
    dispatcher = client.event_dispatcher
    destination = destination_of(client, base_url=base_url)
    if batch_event_data is msgspec.UNSET:
        batch_event_data = own_batch_event_data(client)
    hook = Hook(open_queue(destination, batch_event_data=batch_event_data))
    _take_over(client, dispatcher, hook)
    remember(client, hook)
    return hook.queue


def check_release(client: Any) -> None:
    """Return if this client's release has all that `attach` reads and replaces.

    Raises:
        SdkError: It lacks something, or the client tracks nothing any more; nothing was changed.
    """
    check_parts([("client", client, _CLIENT_PARTS)])
    if client.event_dispatcher is None or client.is_opted_out:
        raise SdkError("this client has opted out (set_opt_out) and tracks nothing; launch another")
    endpoints = find(_CORE, "constants.constants", "ENDPOINTS")
    check_parts(
        [
            ("event_dispatcher", client.event_dispatcher, _DISPATCHER_PARTS),
            ("constants", find(_CORE, "constants.constants"), ("HTTPS_PROTOCOL",)),
            ("constants.ENDPOINTS", endpoints, ("BASE_URL",)),
            ("UsageStats", _usage_stats_class(), ("get_usage_stats",)),
        ],
    )


def destination_of(client: Any, *, base_url: str = "") -> Destination:
    """Return the destination to which this client's SDK would send its batches.

    Args:
        client: The SDK's client, best just after its launch, since the usage statistics and the
            host are globals of the SDK.
        base_url: Scheme and host instead of the SDK's; "" for the SDK's.

    Raises:
        SdkError: The settings file names no account or no key.
        DestinationError: The account id, the key or the host cannot be used.
    """
    settings, dispatcher = client.settings_file, client.event_dispatcher
    account_id, sdk_key = settings.get("accountId"), settings.get("sdkKey")
    if not account_id or not sdk_key:
        raise SdkError("the settings file of this client has no accountId or no sdkKey")
    region = settings.get("collectionPrefix")
    return Destination(
        account_id=account_id,
        sdk_key=sdk_key,
        generation="legacy",
        region=region if isinstance(region, str) else "",
        base_url=base_url or _origin(),
        sdk_name=dispatcher.sdk,
        sdk_version=dispatcher.sdk_v,
        usage_stats=_usage_stats(),
    )


def own_batch_event_data(client: Any) -> Any:
    """Return the batch options of the client's launch, or the vendor's defaults if it had none."""
    attached, dispatcher = hook_of(client), client.event_dispatcher
    if attached is not None:
        return attached.queue.batch
    if dispatcher.event_batching is False:
        return dict(VENDOR_DEFAULTS)
    own = {
        "events_per_request": dispatcher.events_per_request,
        "request_time_interval": dispatcher.request_time_interval,
    }
    if dispatcher.flush_callback is not None:
        own["flush_callback"] = dispatcher.flush_callback
    return own


def _origin() -> str:
    constants = find(_CORE, "constants.constants")
    return f"{constants.HTTPS_PROTOCOL}{constants.ENDPOINTS.BASE_URL}"


def _usage_stats() -> tuple[tuple[str, str], ...]:
    """Return the SDK's usage statistics in its order, with batching, which is on now."""
    stats: Mapping[str, Any] = _usage_stats_class().get_usage_stats()
    reported = {_BATCHING_STAT: 1, **stats}
    reported[_REPORTED_STAT] = reported.pop(_REPORTED_STAT, 1)
    return tuple((name, str(value)) for name, value in reported.items())


def _usage_stats_class() -> Any:
    return find(_CORE, "services.usage_stats_manager", "UsageStats")


def _take_over(client: Any, dispatcher: Any, hook: Hook) -> None:
    """Switch the dispatcher to the shared queue, stop its timer, and take over its events."""
    shared = SharedDispatch(hook, dispatcher)
    dispatcher.async_dispatch = shared.async_dispatch
    dispatcher.flush_queue = shared.flush_queue
    stop_timer(dispatcher.timer)
    with dispatcher.lock:
        held = _replace_queue(dispatcher, hook)
    stop_timer(dispatcher.timer)  # a thread that had the lock may have started another
    dispatcher.event_batching = client.is_event_batching_enabled = True
    client.flush_events = SharedFlush(hook, client)
    hook.put_many(held)


def _replace_queue(dispatcher: Any, hook: Hook) -> list[Any]:
    """Let the dispatcher's list pass late events on, and return the events that it held."""
    kind = type(dispatcher)
    if "queue" not in vars(kind):
        names = {"queue": _LastingQueue(), "__module__": kind.__module__}
        dispatcher.__class__ = type(kind.__name__, (kind,), names)
    own, dispatcher.queue = dispatcher.queue, Handover(hook)
    held = list(own or ())
    if own:
        own.clear()  # a flush of the SDK's that is under way has this list, and would send it again
    return held


class _LastingQueue:
    """Attribute `queue` of an attached dispatcher: only another `Handover` replaces the one there.

    The SDK's `flush_queue` takes no lock: one that is under way at the take-over puts a plain list
    in the handover's place, in which the next event would be lost.
    """

    def __get__(self, dispatcher: Any, kind: object = None) -> Any:
        return vars(dispatcher)["queue"]

    def __set__(self, dispatcher: Any, given: list[Any]) -> None:
        if isinstance(given, Handover):
            vars(dispatcher)["queue"] = given
