"""Requests that are sent on in the background, once each, as far as that costs nobody anything.

Beside an event's way, for the SDKs' reports on themselves: no event waits for one, none is kept on a
disk, and none is tried again. They wait in memory, within two bounds, for one thread, which is a daemon:
it holds no process that ends. If the process dies, what waits is lost.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from vwo_celery.destinations import Destination
from vwo_celery.errors import HostRefused
from vwo_celery.logs import log_surprise, seldom
from vwo_celery.text.lines import one_line

if TYPE_CHECKING:
    from vwo_celery.sending.outcomes import Answer
    from vwo_celery.sending.sender import Senders

#: Most requests that wait, and most bytes of them.
MOST_WAITING: Final = 200
MOST_WAITING_BYTES: Final = 1_000_000
#: Longest time for one request, answer included.
REQUEST_SECONDS: Final = 5.0
#: Outcomes of a request, as `tell` gets them.
FORWARDED: Final = "forwarded"
FULL: Final = "full"
FAILED: Final = "failed"
ENDED: Final = "ended"

_Request = tuple[Destination, bytes]


class Forwarder:
    """Sends single requests on. Safe under threads; a forked child needs one of its own.

    Args:
        tell: Called once for each request with what became of it, one of the outcomes above; in any
            thread.
        allowed_hosts: Hosts besides VWO's own; see `hosts.host_allowed`.
    """

    def __init__(self, tell: Callable[[str], None], allowed_hosts: Collection[str] = ()) -> None:
        self._tell = tell
        self._allowed_hosts = tuple(allowed_hosts)
        self._waiting: deque[_Request] = deque()
        self._bytes = 0
        self._is_ended = False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def forward(self, destination: Destination, encoded: bytes) -> bool:
        """Have a request sent; waits for nothing.

        Args:
            destination: Where it goes, of the generation "single".
            encoded: The request, an envelope; see `vwo_celery.events.envelopes`.

        Returns:
            Whether it is taken; False if too much waits already, or after `end`.
        """
        with self._changed:
            refused = self._why_refused(encoded)
            if not refused:
                self._waiting.append((destination, encoded))
                self._bytes += len(encoded)
                self._start()
                self._changed.notify()
        if refused:
            self._tell(refused)
        return not refused

    def _why_refused(self, encoded: bytes) -> str:
        if self._is_ended:
            return ENDED
        has_room = self._bytes + len(encoded) <= MOST_WAITING_BYTES
        return "" if has_room and len(self._waiting) < MOST_WAITING else FULL

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="vwo-celery-forwarder", daemon=True
            )
            self._thread.start()

    def end(self, wait_seconds: float) -> None:
        """Begin no further request, and wait a moment for the one that is under way."""
        with self._changed:
            self._is_ended = True
            left, self._waiting, self._bytes = len(self._waiting), deque(), 0
            self._changed.notify()
        for _ in range(left):
            self._tell(ENDED)
        if self._thread is not None:
            self._thread.join(wait_seconds)

    def _run(self) -> None:
        # Here, since requests takes a tenth of a second to load, and most processes never need it.
        from vwo_celery.sending.sender import Senders

        senders = Senders(
            request_timeout_seconds=REQUEST_SECONDS, allowed_hosts=self._allowed_hosts
        )
        while (request := self._next()) is not None:
            self._tell(_outcome(senders, *request))
        senders.close()

    def _next(self) -> _Request | None:
        with self._changed:
            while not self._waiting and not self._is_ended:
                self._changed.wait()
            if self._is_ended:
                return None
            request = self._waiting.popleft()
            self._bytes -= len(request[1])
            return request


def _outcome(senders: Senders, destination: Destination, encoded: bytes) -> str:
    """Send a request; the word for what became of it."""
    try:
        answer = senders.get(destination).send_single([encoded])
    except HostRefused as exc:
        seldom.warn("forward", "a report of an SDK is not sent on: %s", exc)
        return FAILED
    except Exception as exc:
        log_surprise(exc, "a report of an SDK is lost")
        return FAILED
    if answer.status is not None and 200 <= answer.status < 300:
        return FORWARDED
    seldom.warn("forward", "a report of an SDK was not sent on: %s", _why(answer))
    return FAILED


def _why(answer: Answer) -> str:
    what = f"answer {answer.status}" if answer.failure is None else answer.failure.value
    return one_line(f"{what} {answer.detail}".strip())
