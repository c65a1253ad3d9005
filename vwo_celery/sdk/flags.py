"""`get_flag` of an attached FME client: the events of one call in one round trip.

Just before stage 1 of an event's way. A decision has an event for each rule that it used (rollout,
experiment, holdouts), and the SDK hands them over one by one. Here they are enqueued together,
before the call returns, so that a request waits for Redis once. If the process dies inside the
call, the call's events are lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from vwo_celery.sdk.hook import Hook

Event = Mapping[str, Any]


class _Held(threading.local):
    """Events of the call that this thread is in; None outside of a call."""

    events: list[Event] | None = None


class Together:
    """Enqueues the events of a call at its end. Threads share it; each has calls of its own."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._held = _Held()

    def put(self, event: Event) -> None:
        """Enqueue one event: at the end of the call that this thread is in, or else now."""
        held = self._held.events
        if held is None:
            self._hook.put(event)
        else:
            held.append(event)

    def during(self, call: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
        """Return what *call* returns; a call within a call leaves its events to the outer one."""
        if self._held.events is not None:
            return call(*arguments, **keywords)
        held = self._held.events = []
        try:
            return call(*arguments, **keywords)
        finally:
            self._held.events = None
            self._put_all(held)

    def _put_all(self, events: list[Event]) -> None:
        if len(events) == 1:
            self._hook.put(events[0])
        else:
            self._hook.put_many(events)


class SharedGetFlag:
    """Replaces the client's `get_flag`: decides as it does.

    Args:
        client: The SDK's client.
        together: Enqueues the events.
    """

    def __init__(self, client: Any, together: Together) -> None:
        own = vars(client).get("get_flag")
        #: A `get_flag` that the application gave to this client.
        self._own: Any = own._own if isinstance(own, SharedGetFlag) else own
        self._client = client
        self._together = together

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Decide, enqueue the decision's events, and return the flag."""
        # Looked up now: tests of applications replace the method of the SDK's class.
        call = self._own or type(self._client).get_flag.__get__(self._client)
        return self._together.during(call, arguments, keywords)
