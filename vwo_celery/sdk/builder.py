"""A builder that starts an FME client on the shared queue, its init events included.

Before stage 1 of an event's way. The SDK sends up to two events while it initialises, before its
client can be attached. It asks a builder given to init to make the client, and `BuilderMixin` makes
it on the shared queue. A client that cannot be attached keeps the SDK's own queue, so the
application runs; not with `init` of this package, which raises, and leaves no trace of a client in
the SDK. Nothing to lose; `hook` says what dies with the process.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from vwo_celery.destinations import Destination
from vwo_celery.errors import SdkError
from vwo_celery.logs import sdk_log as log
from vwo_celery.producing.queue import Queue, connect
from vwo_celery.sdk.fme import (
    BUILDER_OPTIONS,
    attach,
    check_classes,
    forget_client,
    refuse_second_key,
)
from vwo_celery.sdk.hook import VENDOR_DEFAULTS, OpenQueue
from vwo_celery.sdk.releases import check_parts, core_of
from vwo_celery.sdk.timers import let_process_end
from vwo_celery.settings import Settings
from vwo_celery.settings.arguments import SettingsArguments, with_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

Brand = Literal["vwo", "wingify"]


class BuilderMixin:
    """Makes one of the SDK's builders start its client on the shared queue, init events included.

    Use `class MyBuilder(BuilderMixin, VWOBuilder)` with a builder of your own, `builder(options)`
    without.

    Args:
        options: The options of init; their `batch_event_data` is the shared queue's.
        brand: "vwo" if `vwo.init` makes the client, "wingify" if `wingify.init` does.
        base_url: As for `vwo_celery.attach`.
        strict: As for `vwo_celery.attach`.
        open_queue: Opens the queue; None for `vwo_celery.connect`.
        must_attach: Whether a client that tracks, and with *strict* any other, is an error if it
            cannot be attached.

    Attributes:
        queue: The shared queue after init, None if the client could not be attached.
        failure: The error if it could not; the client then has the SDK's own queue, or with
            *must_attach* is none.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        brand: Brand = "vwo",
        base_url: str = "",
        strict: bool = False,
        open_queue: OpenQueue | None = None,
        must_attach: bool = False,
    ) -> None:
        # The SDK's builder reads its own options, not those of init: without this flag, events of
        # vwo.init would go to Wingify's hosts under Wingify's name.
        super().__init__({**options, "is_via_vwo": brand == "vwo"})  # type: ignore[call-arg]
        self.queue: Queue | None = None
        self.failure: Exception | None = None
        self._client: Any = None
        self._must_attach, self._strict = must_attach, strict
        self._is_polling_due = False
        self._attach = partial(
            attach,
            batch_event_data=batch_event_data_of(options),
            base_url=base_url,
            strict=strict,
            open_queue=open_queue or partial(connect, strict=strict),
        )

    def build(self, settings: Any) -> Any:
        """Return the client, on the shared queue before the SDK's first event.

        Raises:
            Exception: With *must_attach*, the client cannot be attached; the SDK has none then.
        """
        client = self._client = super().build(settings)  # type: ignore[misc]
        try:
            self.queue = self._attach(client, builder_options=self.options)  # type: ignore[attr-defined]
        except Exception as exc:
            self.failure = exc
            if self._must_attach and (self._strict or client.original_settings):
                forget_client(client)
                raise
            # Raising would leave the application without a client.
            log.error("the client is not on the shared queue: %s", exc)
        if self._is_polling_due:
            self._start_polling()
        return client

    def has_made(self, client: Any) -> bool:
        """Whether *client* is the one that this builder made."""
        return client is self._client

    def init_batching(self) -> Any:
        """Start the SDK's own queue and timer only for a client that tracks and is not attached."""
        if self.queue is None and self._client.original_settings:
            return super().init_batching()  # type: ignore[misc]
        self.is_batching_used = self.queue is not None
        return self

    def check_and_poll(self) -> None:
        """Let `build` start the polling: a client that is refused then leaves no thread."""
        self._is_polling_due = True

    def _start_polling(self) -> None:
        """Poll for settings as the SDK does, from daemon threads, so that the process can end."""
        poll = super().check_and_poll  # type: ignore[misc]
        thread = threading.Thread(target=poll, name="vwo_celery-start-polling", daemon=True)
        thread.start()
        thread.join()


def batch_event_data_of(options: Mapping[str, Any]) -> Any:
    """Return the batch options among init's options, completed as the SDK completes them.

    Empty options, or a `flush_callback` alone, mean the vendor's defaults.
    """
    given = options.get("batch_event_data")
    if given is None:
        return dict(VENDOR_DEFAULTS)
    if isinstance(given, Mapping) and set(given) <= {"flush_callback"}:
        return {**VENDOR_DEFAULTS, **given}
    return given


def builder(options: Mapping[str, Any], **arguments: Any) -> Any:
    """Make a builder for the SDK's `vwoBuilder` or `wingifyBuilder` option.

    Args:
        options: The options that init is given, too.
        **arguments: Further arguments of `BuilderMixin`.

    Raises:
        SdkError: No FME SDK is installed.
    """
    made = type("SharedQueueBuilder", (BuilderMixin, _vendor_class(_VENDOR_BUILDERS)), {})
    return made(options, **arguments)


#: What `BuilderMixin` overrides: the SDK calls each, or the client would be made without it.
_BUILDER_PARTS = ("build", "init_batching", "check_and_poll")
#: Module and class of the SDK's builder, in new releases and in those whose core is still `vwo`.
_VENDOR_BUILDERS = (("wingify", "WingifyBuilder"), ("vwo.vwo_builder", "VWOBuilder"))
#: The same of its client.
_VENDOR_CLIENTS = (("wingify.wingify_client", "WingifyClient"), ("vwo.vwo_client", "VWOClient"))


def _vendor_class(places: Iterable[tuple[str, str]]) -> type[Any]:
    for module, name in places:
        try:
            found: type[Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
        return found
    raise SdkError("no FME SDK is installed; pip install vwo-fme-python-sdk")


@with_options
def init(
    options: Mapping[str, Any],
    *,
    brand: Brand = "vwo",
    base_url: str = "",
    strict: bool = False,
    settings: Settings | None = None,
    redis: Any = None,
    **settings_arguments: Unpack[SettingsArguments],
) -> Any:
    """Do `vwo.init(options)`, with the shared queue in place before the SDK's first event.

    It checks before the SDK starts what it can. An error leaves no thread that keeps the process
    from ending, and `vwo.init` can be called instead.

    Args:
        options: The options of `vwo.init`. Their `batch_event_data` is the shared queue's; without
            it, the vendor's defaults apply.
        brand: "wingify" for `wingify.init`.
        base_url: Scheme and host of the events, instead of the SDK's.
        strict: Raise for a wrong option instead of using its default.
        settings: Ready-made settings, as for `vwo_celery.connect`.
        redis: A Redis client to use, as for `vwo_celery.connect`.
        **settings_arguments: Single settings, listed below.

    Returns:
        The SDK's client; its queue is `vwo_celery.queue_of(client)`. If the SDK could not fetch its
        settings, the client tracks nothing, as with `vwo.init`; unless *strict*, it is returned
        unattached.

    Raises:
        SdkError: The options are no mapping, or have a gateway_service or a builder of their own,
            or the SDK returned no client.
        DestinationError: The account id, the key or the host cannot be used.
        SettingsError: A setting is wrong, or with *strict* a batch option.
    """
    options = _checked_options(options)
    sdk = _entry(brand)
    _check_release()
    open_queue = partial(
        connect, strict=strict, settings=settings, redis=redis, **settings_arguments
    )
    _rehearse(options, base_url=base_url, strict=strict, open_queue=open_queue)
    made = builder(
        options, brand=brand, base_url=base_url, strict=strict, open_queue=open_queue,
        must_attach=True,
    )  # fmt: skip
    client = sdk.init({**options, "vwoBuilder": made})
    if client is None:
        raise made.failure or SdkError(f"{brand}.init returned no client; it printed why")
    if not made.has_made(client):
        let_process_end()
        raise SdkError(
            f"{brand}.init made its client without the builder that it was given, so the client is "
            "not on the shared queue; use the SDK's own init, then vwo_celery.attach(client)"
        )
    return client


def _check_release() -> None:
    """Raise an SdkError if the SDK lacks something that can be looked for before it starts."""
    builder_class = _vendor_class(_VENDOR_BUILDERS)
    core = core_of(builder_class)
    check_parts([("builder", builder_class, _BUILDER_PARTS)])
    check_classes(core, _vendor_class(_VENDOR_CLIENTS))


def _rehearse(
    options: Mapping[str, Any], *, base_url: str, strict: bool, open_queue: OpenQueue
) -> None:
    """Open a queue as it will be, but for its region and the SDK's host; connects to nothing."""
    destination = Destination(
        account_id=options["account_id"],
        sdk_key=options["sdk_key"],
        generation="fme",
        base_url=base_url,
    )
    if strict:
        refuse_second_key(_vendor_class(_VENDOR_CLIENTS), destination)
    open_queue(destination, batch_event_data=batch_event_data_of(options))


def _checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(options, Mapping):
        given = "None" if options is None else type(options).__name__
        raise SdkError(f"init takes the options of vwo.init, a dict; {given} was given")
    for name in ("sdk_key", "account_id"):
        if not options.get(name):
            raise SdkError(f"init needs the option {name}")
    if options.get("gateway_service"):
        raise SdkError(
            "a client with a gateway_service has its events batched there; init it without "
            "gateway_service, or with the SDK's own init"
        )
    if any(options.get(name) for name in BUILDER_OPTIONS):
        raise SdkError(
            "the options have a builder of their own; derive it from "
            "vwo_celery.sdk.BuilderMixin as well, and give it to the SDK's own init"
        )
    return {**options, "batch_event_data": options.get("batch_event_data") or dict(VENDOR_DEFAULTS)}


def _entry(brand: Brand) -> Any:
    if brand not in ("vwo", "wingify"):
        raise SdkError(f'brand must be "vwo" or "wingify"; {brand!r} was given')
    try:
        sdk = importlib.import_module(brand)
        return sdk if hasattr(sdk, "init") else _missing(brand)
    except ImportError:
        return _missing(brand)


def _missing(brand: Brand) -> Any:
    raise SdkError(f"{brand}.init is not there; pip install {brand}-fme-python-sdk")
