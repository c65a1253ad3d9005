"""uvicorn's HTTP protocol with the bounds that it lacks: bytes, times and connections.

One object for each connection. A request that exceeds a bound is answered at once, in VWO's words; what
its client still sends is read for a moment and thrown away, so that the client gets the answer instead
of a reset. Nothing of it was accepted, so nothing is lost.

uvicorn calls a protocol's methods from its parser, and keeps one `cycle` for the request whose answer
is due. A test on real sockets fails if one of its releases does this otherwise.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vwo_celery.relay.rules.answers import (
    BAD_REQUEST,
    HEADER_TOO_LARGE,
    NO_UPGRADE,
    TOO_BUSY,
    TOO_LARGE,
    TOO_SLOW,
    Answer,
)
from vwo_celery.relay.rules.limits import Bounds
from vwo_celery.relay.telling.counts import counted

#: Stages of a connection: it waits for a header or reads one, reads a body, or is idle or answering.
_HEADER: Final = 0
_BODY: Final = 1
_DONE: Final = 2
_STAGES: Final = 3
#: Bytes of a header line besides its name and value.
_LINE_BYTES: Final = 4
#: How many times its bytes a chunked body may take on the wire.
_MOST_OVERHEAD: Final = 2
#: Headers that proxies add; `VWO-X-Forwarded-For` is the SDKs' own.
_OF_PROXIES: Final = frozenset(
    (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip")
)


class _Held:
    """Bytes of bodies that the connections of this process hold.

    (An attribute of the class would be simpler; but each change of one empties Python's caches of the
    class, which cost 15 µs a request.)
    """

    def __init__(self) -> None:
        self.bytes = 0


_held: Final = _Held()


class BoundedProtocol(HttpToolsProtocol):
    """The protocol of one connection.

    Attributes:
        bounds: Bounds of all its connections; a subclass may have others.
    """

    bounds: ClassVar[Bounds] = Bounds()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = _HEADER
        self._message = 0  # number of the request that is read
        self._timed = -1  # message and stage that the timer is for
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0  # of the header under way, as far as it is known
        self._body_bytes = 0
        self._wire_bytes = 0
        self._held_bytes = 0  # of the body under way
        self._began = 0.0
        self._is_over = False  # what comes is thrown away
        self._is_busy = False
        self._is_lingering = False

    # -- the connection

    def connection_made(self, transport: Any) -> None:
        """Take a connection; beyond the bound its first request is answered 503."""
        super().connection_made(transport)
        self._is_busy = len(self.connections) > self.bounds.connections and not self._make_room()
        self._watch()

    def _make_room(self) -> bool:
        """Close a connection from which nothing is due; False if there is none."""
        for other in self.connections:
            if isinstance(other, BoundedProtocol) and other.is_spare and other is not self:
                other.transport.close()
                return True
        return False

    @property
    def is_spare(self) -> bool:
        """Whether it only lingers, or waits for its client's next request."""
        return (self._is_lingering and not self.transport.is_closing()) or self.is_idle

    @property
    def is_idle(self) -> bool:
        """Whether every request of the connection is answered and none has begun."""
        is_answered = self.cycle is not None and self.cycle.response_complete
        return is_answered and self._stage == _DONE and not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client has left; what was read whole is stored all the same."""
        self._stop_watching()
        self._let_go()
        cycle = self.cycle
        if cycle is not None and not (cycle.response_complete or self._is_over):
            _count_left(cycle)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, within the bounds."""
        if self._is_over:
            return
        message = self._message
        super().data_received(data)
        if self._is_over or self.parser is None:
            return
        if self._stage == _HEADER and self._message == message:
            self._head_bytes += len(data)
            if self._head_bytes > self.bounds.header_bytes:
                self._refuse(HEADER_TOO_LARGE)
                return
        elif self._stage == _BODY:
            self._wire_bytes += len(data)
            if self._wire_bytes > _MOST_OVERHEAD * self.bounds.body_bytes:
                self._refuse(TOO_LARGE)
                return
        elif self._message == message and self.is_idle:  # an empty line between two requests
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if self._timed != self._message * _STAGES + self._stage:
            self._watch()

    # -- one request, as the parser finds its parts

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._message += 1
        self._stage = _HEADER
        self._head_bytes = self._body_bytes = self._wire_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse a request by its header, or have it served."""
        self._stage = _BODY
        if self._is_over:
            return
        refused = self._why_refused()
        if refused is not None:
            self._refuse(refused)
            return
        super().on_headers_complete()
        self.headers = []  # those that may follow a chunked body are of no use

    def _why_refused(self) -> Answer | None:
        bounds, size, declared, has_body = self.bounds, len(self.url), 0, False
        for name, value in self.headers:
            size += len(name) + len(value) + _LINE_BYTES
            if name == b"content-length" and value.isdigit():
                declared = int(value)
            elif name == b"transfer-encoding":
                has_body = True
        if (has_body or declared) and self.parser.should_upgrade():
            return NO_UPGRADE  # httptools would leave the body unread
        if size > bounds.header_bytes:
            return HEADER_TOO_LARGE
        if declared > bounds.body_bytes:
            return TOO_LARGE
        is_full = _held.bytes + declared > bounds.held_bytes
        return TOO_BUSY if self._is_busy or is_full else None

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._is_over:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self.bounds.body_bytes:
            self._refuse(TOO_LARGE)
            return
        self._held_bytes += len(body)
        _held.bytes += len(body)
        if _held.bytes > self.bounds.held_bytes:
            self._refuse(TOO_BUSY)
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request; its answer may still be due."""
        self._stage = _DONE
        if not self._is_over:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        self._let_go()
        super().on_response_complete()

    def _let_go(self) -> None:
        _held.bytes -= self._held_bytes
        self._held_bytes = 0

    # -- time

    def _watch(self) -> None:
        """Give the stage that is under way its time."""
        self._stop_watching()
        self._timed = self._message * _STAGES + self._stage
        if self._stage == _DONE:
            return
        self._began = self.loop.time()
        self._set_timer()

    def _set_timer(self) -> None:
        allowed = self.bounds.header_seconds
        if self._stage == _BODY:
            allowed = self.bounds.body_allowance(self._body_bytes)
        self._timer = self.loop.call_at(self._began + allowed, self._look)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Refuse a request that has used up its time, as far as it is its client that is slow."""
        self._timer = None
        if self._is_over or self.transport.is_closing():
            return
        if self.flow.read_paused:  # it is we who do not read
            self._watch()
        elif self._stage == _BODY and self.loop.time() < self._began + self.bounds.body_allowance(
            self._body_bytes
        ):
            self._set_timer()
        else:
            self._refuse(TOO_SLOW)

    # -- the end

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; a request that was read whole before it gets its own answer.

        PHP's FME SDK sends a stray "Connection: close" after its body.
        """
        self._refuse(BAD_REQUEST)

    def _refuse(self, answer: Answer) -> None:
        """Answer a request that exceeds a bound, and end the connection."""
        self._is_over = True
        self._stop_watching()
        cycle = self.cycle
        is_due = cycle is not None and not cycle.response_complete
        if is_due and not cycle.more_body:  # an earlier request, read whole: it is answered first
            cycle.keep_alive = False
            return
        counted.refused[answer.reason] += 1
        if is_due:
            cycle.disconnected = True
            cycle.message_event.set()
        if not self.pipeline and not (is_due and cycle.response_started):
            self.transport.write(answer.as_bytes())
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self._linger()

    def _linger(self) -> None:
        """Read on for a moment, so that the client gets its answer and no reset."""
        self._is_lingering = True
        self._let_go()
        self.flow.resume_reading()
        self._unset_keepalive_if_required()
        self._timer = self.loop.call_later(self.bounds.linger_seconds, self.transport.close)


def _count_left(cycle: Any) -> None:
    """Count a request whose client has left before the answer; those behind a proxy apart."""
    if cycle.more_body:
        counted.cut += 1
        return
    counted.left += 1
    scope = cycle.scope
    # nginx speaks HTTP/1.0 to what is behind it unless it is told otherwise, and no SDK does.
    if scope["http_version"] == "1.0" or any(name in _OF_PROXIES for name, _ in scope["headers"]):
        counted.left_behind_proxy += 1


def bounded(bounds: Bounds) -> type[BoundedProtocol]:
    """A protocol with other bounds."""
    return type("BoundedProtocol", (BoundedProtocol,), {"bounds": bounds})
