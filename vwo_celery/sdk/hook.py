"""The seam between an SDK's client and the shared queue.

Place: adapters. The first stage of an event's life: the SDK has built it, `Hook.put` enqueues it.
Whatever is raised here would reach the visitor as a disabled flag or a missing variation, so nothing
is: a failure is logged once and counted. If the process dies before `put` has returned, this one
event is lost; after it, the event is where its receipt says.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vwo_celery.destinations import Destination
from vwo_celery.errors import SdkError
from vwo_celery.logs import sdk_log as log
from vwo_celery.producing.queue import Queue
from vwo_celery.receipts import FlushResult

#: What the vendor's SDKs batch by where nothing is said (vendor's event-batching pages).
VENDOR_DEFAULTS: Mapping[str, int] = {"events_per_request": 100, "request_time_interval": 600}
#: How long a timer of the SDK's that is just firing may take to hand its batch to its sender.
TIMER_JOIN_SECONDS = 1.0


class OpenQueue(Protocol):
    """`vwo_celery.connect` with everything but the destination and the batch options filled in."""

    def __call__(self, destination: Destination, *, batch_event_data: Any) -> Queue:
        """Return the queue of *destination*."""


class Hook:
    """Puts one client's events on the shared queue and never raises.

    Attributes:
        queue: Where the events go.
        failures: How many calls failed in this process in a way that the queue itself did not
            expect and count.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.failures = 0

    def put(self, event: Mapping[str, Any]) -> bool:
        """Enqueue one event; True unless it was dropped."""
        try:
            return bool(self.queue.enqueue(event))
        except Exception as exc:
            self.note(exc, "an event was not enqueued")
            return False

    def put_many(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Enqueue the events that the SDK's own queue held."""
        if not events:
            return
        try:
            self.queue.enqueue_many(events)
        except Exception as exc:
            self.note(exc, f"{len(events)} events of the SDK's own queue were not enqueued")

    def flush(self, timeout_seconds: float | None = None) -> FlushResult:
        """Have all that is pending sent, and tell the truth, a failure of ours included.

        Args:
            timeout_seconds: How long to wait for the answer; None as long as the queue does.
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


_hooks: weakref.WeakKeyDictionary[Any, Hook] = weakref.WeakKeyDictionary()


def remember(client: Any, hook: Hook) -> None:
    """Note which hook a client has, as long as the client lives."""
    _hooks[client] = hook


def hook_of(client: Any) -> Hook | None:
    """The hook of an attached client, None for any other."""
    try:
        return _hooks.get(client)
    except TypeError:  # not a thing that can be referred to weakly, so it was never attached
        return None


def queue_of(client: Any) -> Queue:
    """The shared queue of an attached client.

    Raises:
        SdkError: The client is not attached.
    """
    hook = hook_of(client)
    if hook is None:
        raise SdkError(
            f"this {type(client).__name__} has no shared queue; call vwo_celery.attach(client)"
        )
    return hook.queue


def stop_timer(timer: Any) -> None:
    """Cancel a timer of the SDK's, and let one that is just firing finish what it began."""
    if timer is None:
        return
    timer.cancel()
    if timer.is_alive():
        timer.join(TIMER_JOIN_SECONDS)
