"""The FME SDKs, vwo-fme-python-sdk and wingify-fme-python-sdk, on the shared queue.

Before stage 1 of an event's way. The SDK hands each event to `client.batch_event_queue`, which
becomes a `SharedBatchQueue`. `attach` puts it into a running client and takes over the events that
the client's own queue holds; `builder.py` puts it there before the SDK's first event.

The SDK keeps one client and one settings manager in a process. With two keys it mixes their events
before they get here, so that is reported and cannot be repaired. If the process dies during
`attach`, events that were held in the SDK's queue and not yet enqueued are lost, as they would be
without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.errors import SdkError
from vwo_celery.logs import sdk_log as log
from vwo_celery.producing.queue import Queue
from vwo_celery.receipts import FlushResult
from vwo_celery.sdk.flags import SharedGetFlag, Together
from vwo_celery.sdk.hook import VENDOR_DEFAULTS, Handover, Hook, OpenQueue, remember
from vwo_celery.sdk.releases import Part, check_parts, core_of, find
from vwo_celery.sdk.timers import let_process_end, stop_timer
from vwo_celery.text.masking import mask

#: Names of the SDK's options for a builder of the application's own.
BUILDER_OPTIONS = ("wingifyBuilder", "vwoBuilder")
#: Names under which the client's class keeps the first client, in new and older releases.
_FIRST_CLIENT_NAMES = ("_client_instance", "_vwo_client_instance")
_USAGE_STATS_EVENT = "vwo_sdkUsageStats"
#: What is read of an object that the SDK's classes make.
_CLIENT_PARTS = ("options", "original_settings")
_MANAGER_PARTS = (
    "account_id", "sdk_key", "is_gateway_service_provided", "protocol", "hostname", "port",
)  # fmt: skip
_OWN_QUEUE_PARTS = (
    "events_per_request", "request_time_interval", "flush_callback", "batch_queue", "lock", "timer",
)  # fmt: skip


class SharedBatchQueue:
    """Replaces the SDK's BatchEventQueue, under the SDK's names, by the shared queue.

    Args:
        hook: Enqueues the events.
        client: The SDK's client.
        builder_options: Options of the builder that made the client, None if it was attached later.
    """

    #: Always empty, since pending events are in Redis; the SDK logs its length.
    batch_queue: tuple[()] = ()

    def __init__(
        self, hook: Hook, client: Any, *, builder_options: Mapping[str, Any] | None = None
    ) -> None:
        self.hook = hook
        self._identity = _identity(client)
        self._manager_class = _manager_class(core_of(type(client)))
        self._builder_options = builder_options
        self._other_reported = False
        self.together = Together(hook)

    def enqueue(self, event_data: dict[str, Any]) -> None:
        """Take one event from the SDK; never raises, since that would cost the visitor the flag."""
        if self.hook.discards:
            return
        try:
            self._report_other_client()
            self._restore_init_config(event_data)
        except Exception as exc:
            self.hook.note(exc, "an event was enqueued without a look at the SDK's state")
        self.together.put(event_data)

    def flush_and_clear_timer(self) -> FlushResult:
        """Flush the shared queue, and return its result from the client's `flush_events()`."""
        return self.hook.flush()

    def _report_other_client(self) -> None:
        if self._other_reported:
            return
        manager = self._manager_class.get_instance()
        current = (str(manager.account_id), manager.sdk_key)
        if current != self._identity:
            self._other_reported = True
            log.warning("%s", _mixed([self._identity, current]))

    def _restore_init_config(self, event_data: dict[str, Any]) -> None:
        """Remove this package's builder from the event that reports the init options."""
        if self._builder_options is None:
            return
        event = event_data["d"]["event"]
        if event["name"] != _USAGE_STATS_EVENT:
            return
        config = event["props"].get("data", {}).get("initConfig")
        if config is None:  # older releases do not report it
            return
        for name in BUILDER_OPTIONS:
            config.pop(name, None)
        config.setdefault("poll_interval", self._builder_options.get("poll_interval"))


def attach(
    client: Any,
    *,
    batch_event_data: Any,
    base_url: str,
    strict: bool,
    open_queue: OpenQueue,
    builder_options: Mapping[str, Any] | None = None,
) -> Queue:
    """Put *client*'s events onto the shared queue; see `vwo_celery.attach` for the arguments."""
    check_release(client)
    destination = destination_of(client, base_url=base_url)
    _report_mixed(client, strict=strict)
    if batch_event_data is msgspec.UNSET:
        batch_event_data = own_batch_event_data(client)
    queue = open_queue(destination, batch_event_data=batch_event_data)
    hook = Hook(queue, discards=bool(client.options.get("isDevelopmentMode")))
    shared = SharedBatchQueue(hook, client, builder_options=builder_options)
    for taker in takers(client):
        _take_over(taker, shared)
    let_process_end()
    remember(client, hook)
    return queue


def check_release(client: Any) -> None:
    """Return if this client's release has all that `attach` reads and replaces.

    Raises:
        SdkError: It lacks something; nothing was changed.
    """
    core = core_of(type(client))
    check_classes(core, type(client))
    manager = _manager_class(core).get_instance()
    parts: list[Part] = [
        ("client", client, _CLIENT_PARTS),
        ("settings manager", manager, _MANAGER_PARTS),
    ]
    if not hasattr(manager, "sdk_name"):  # before 1.50 there is one name
        parts.append(("Constants", _constants(core), ("SDK_NAME",)))
    own = client.batch_event_queue
    if own is not None and not isinstance(own, SharedBatchQueue):
        parts.append(("batch_event_queue", own, _OWN_QUEUE_PARTS))
    check_parts(parts)


def check_classes(core: str, client_class: Any) -> None:
    """Return if a release's classes have what is needed of them, whether there is a client or not.

    Raises:
        SdkError: One lacks something.
    """
    queue_class = find(core, "services.batch_event_queue", "BatchEventQueue")
    check_parts([
            ("client", client_class,
             ("batch_event_queue", "get_instance", "get_flag", "flush_events")),
            ("BatchEventQueue", queue_class,
             ("enqueue", "flush_and_clear_timer", "create_new_batch_timer")),
            ("SettingsManager", _manager_class(core), ("get_instance",)),
            ("Constants", _constants(core), ("SDK_VERSION",)),
        ],
    )  # fmt: skip


def destination_of(client: Any, *, base_url: str = "") -> Destination:
    """Return the destination to which this client's SDK would send its batches.

    Args:
        client: The SDK's client, after init.
        base_url: Scheme and host instead of the SDK's; "" for the SDK's.

    Raises:
        SdkError: The client has no settings, or sends through VWO's gateway service.
        DestinationError: The account id, the key or the host cannot be used.
    """
    core = core_of(type(client))
    manager, constants = _manager_class(core).get_instance(), _constants(core)
    settings = client.original_settings
    if not settings:
        raise SdkError(
            "this client has no settings: its init could not fetch them, and such a client tracks "
            "nothing. Init it again once the settings host can be reached, then attach it"
        )
    if manager.is_gateway_service_provided:
        raise SdkError(
            "this client has a gateway_service, which batches events by itself and takes no "
            "batches. Init it without gateway_service, or do not attach it"
        )
    region = settings.get("collectionPrefix")
    return Destination(
        account_id=client.options["account_id"],
        sdk_key=client.options["sdk_key"],
        generation="fme",
        region=region.strip() if isinstance(region, str) else "",
        base_url=base_url or _origin(manager),
        sdk_name=getattr(manager, "sdk_name", None) or constants.SDK_NAME,
        sdk_version=constants.SDK_VERSION,
    )


def own_batch_event_data(client: Any) -> Any:
    """Return the client's batch options, or the vendor's defaults if it has none."""
    own = client.batch_event_queue
    if own is None:
        return dict(VENDOR_DEFAULTS)
    if isinstance(own, SharedBatchQueue):
        return own.hook.queue.batch
    given = {
        "events_per_request": int(own.events_per_request),
        "request_time_interval": own.request_time_interval,
    }
    if own.flush_callback is not None:
        given["flush_callback"] = own.flush_callback
    return given


def _origin(manager: Any) -> str:
    host = getattr(manager, "events_hostname", None) or manager.hostname
    bracketed = f"[{host}]" if ":" in host else host
    port = f":{manager.port}" if manager.port else ""
    return f"{manager.protocol}://{bracketed}{port}"


def _manager_class(core: str) -> Any:
    return find(core, "services.settings_manager", "SettingsManager")


def _constants(core: str) -> Any:
    return find(core, "constants.Constants", "Constants")


def _identity(client: Any) -> tuple[str, str]:
    return str(client.options["account_id"]), client.options["sdk_key"]


def takers(client: Any) -> list[Any]:
    """List the clients whose queue may get events of *client*: the SDK uses its first client's."""
    first = type(client).get_instance()
    if first is None or first is client or _identity(first) != _identity(client):
        return [client]
    return [first, client]


def refuse_second_key(client_class: Any, destination: Destination) -> None:
    """Raise an SdkError if the process has a client of another account or key."""
    first = client_class.get_instance()
    if first is None:
        return
    identities = [_identity(first), (str(destination.account_id), destination.sdk_key)]
    if len(set(identities)) > 1:
        raise SdkError(_mixed(identities))


def forget_client(client: Any) -> None:
    """Let the SDK's next client be its first, through which it enqueues the events of all."""
    for kind in type(client).__mro__:
        for name in _FIRST_CLIENT_NAMES:
            if vars(kind).get(name) is client:
                setattr(kind, name, None)


def _report_mixed(client: Any, *, strict: bool) -> None:
    manager = _manager_class(core_of(type(client))).get_instance()
    identities = [_identity(client), (str(manager.account_id), manager.sdk_key)]
    first = type(client).get_instance()
    if first is not None:
        identities.insert(0, _identity(first))
    if len(set(identities)) == 1:
        return
    if strict:
        raise SdkError(_mixed(identities))
    log.warning("%s", _mixed(identities))


def _mixed(identities: Iterable[tuple[str, str]]) -> str:
    named = ", ".join(
        f"account {account} key {mask(key)}" for account, key in dict.fromkeys(identities)
    )
    return (
        f"more than one VWO FME client in this process ({named}): the SDK keeps one, so events of "
        "one are queued and sent as another's. Use one process for each SDK key"
    )


def _take_over(client: Any, shared: SharedBatchQueue) -> None:
    own = client.batch_event_queue
    client.batch_event_queue = shared
    client.get_flag = SharedGetFlag(client, shared.together)
    if own is not None and not isinstance(own, SharedBatchQueue):
        shared.hook.put_many(_retire(own, shared.hook))


def _retire(own: Any, hook: Hook) -> list[Any]:
    """Stop the SDK's own queue for good, and return the events that it held."""
    own.create_new_batch_timer = lambda: None
    stop_timer(own.timer)
    with own.lock:
        held, own.batch_queue = own.batch_queue, Handover(hook)
    stop_timer(own.timer)  # a thread that had the lock may have started another
    return list(held)
