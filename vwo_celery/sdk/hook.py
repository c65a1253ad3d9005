"""The hook between an SDK's client and the shared queue.

Just before stage 1 of an event's way: the SDK has built the event, `Hook.put` enqueues it. An
exception here would reach the visitor as a disabled flag or a missing variation, so none is raised:
a failure is logged once and counted. If the process dies before `put` has returned, this one event
is lost; after that, the event is where its receipt says.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from vwo_celery.destinations import Destination
from vwo_celery.errors import SdkError
from vwo_celery.logs import sdk_log as log
from vwo_celery.producing.queue import Queue
from vwo_celery.receipts import FlushResult

#: Batch options of the vendor's SDKs if none are given (vendor's event-batching pages).
VENDOR_DEFAULTS: Mapping[str, int] = {"events_per_request": 100, "request_time_interval": 600}


class OpenQueue(Protocol):
    """`vwo_celery.connect` with everything but the destination and the batch options filled in."""

    def __call__(self, destination: Destination, *, batch_event_data: Any) -> Queue:
        """Return the queue of *destination*."""


class Hook:
    """Puts one client's events on the shared queue and never raises.

    Attributes:
        queue: The shared queue.
        discards: Whether events are thrown away, as in development mode.
        failures: Number of unexpected errors in this process, which the queue did not count itself.
    """

    def __init__(self, queue: Queue, *, discards: bool = False) -> None:
        self.queue = queue
        self.discards = discards
        self.failures = 0

    def put(self, event: Mapping[str, Any]) -> bool:
        """Enqueue one event; True unless it was dropped."""
        if self.discards:
            return True
        try:
            return bool(self.queue.enqueue(event))
        except Exception as exc:
            self.note(exc, "an event was not enqueued")
            return False

    def put_many(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Enqueue events in one round trip."""
        if not events:
            return
        if self.discards:
            log.info(
                "development mode: %d events that the SDK had queued are discarded", len(events)
            )
            return
        try:
            self.queue.enqueue_many(events)
        except Exception as exc:
            self.note(exc, f"{len(events)} events were not enqueued")

    def flush(self, timeout_seconds: float | None = None) -> FlushResult:
        """Flush the queue; an unexpected error becomes the result's reason.

        Args:
            timeout_seconds: Longest wait for the result; None for the queue's default.
        """
        try:
            if timeout_seconds is None:
                return self.queue.flush_events()
            return self.queue.flush_events(timeout_seconds=timeout_seconds)
        except Exception as exc:
            self.note(exc, "flush_events did not get through; what is pending stays pending")
            return FlushResult(reason=f"{type(exc).__name__}: {exc}")

    def note(self, exc: Exception, what: str) -> None:
        """Count a failure, and log the first one."""
        self.failures += 1
        if self.failures == 1:
            log.error("%s: %s (logged once, then only counted)", what, exc, exc_info=exc)


class Handover(list[Any]):
    """The list inside a queue of the SDK's that the shared queue replaced: it passes late events on.

    It is always empty. Events reach it from a thread that was about to put one into the SDK's queue,
    and from a POST of the SDK's that fails after the take-over and puts its events back.
    """

    def __init__(self, hook: Hook) -> None:
        super().__init__()
        self._hook = hook

    def append(self, event: Any) -> None:
        """Enqueue one event."""
        self._hook.put(event)

    def extend(self, events: Iterable[Any]) -> None:
        """Enqueue events."""
        self._hook.put_many(list(events))


_hooks: weakref.WeakKeyDictionary[Any, Hook] = weakref.WeakKeyDictionary()


def remember(client: Any, hook: Hook) -> None:
    """Note a client's hook for as long as the client lives."""
    _hooks[client] = hook


def hook_of(client: Any) -> Hook | None:
    """Return the hook of an attached client, None for any other."""
    try:
        return _hooks.get(client)
    except TypeError:  # no weak reference to it can be made, so it was never attached
        return None


def queue_of(client: Any) -> Queue:
    """Return the shared queue of an attached client.

    Raises:
        SdkError: The client is not attached.
    """
    hook = hook_of(client)
    if hook is None:
        raise SdkError(
            f"this {type(client).__name__} has no shared queue; call vwo_celery.attach(client)"
        )
    return hook.queue
