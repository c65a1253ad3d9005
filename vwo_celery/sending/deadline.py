"""Keep one deadline over one whole POST, beneath requests and urllib3.

Stage 4 of an event's way, under the sender. A `timeout` of requests counts from byte to byte, so a
server that sends one byte a second is never late. Here a connection turns its timeout into a point in
time, and lowers the socket's timeout to the time left before each step: each address, proxy CONNECT,
TLS, each write, each read. It needs no thread and no signal. It does not bound the system's name
resolution (see `timeout` and `attempts` in resolv.conf) and, under gevent alone, a TLS record or
handshake whose bytes trickle. If the process dies in here, nothing is lost.
"""

from __future__ import annotations

import errno
import io
import socket
import ssl
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any, Final

from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.poolmanager import ProxyManager
from urllib3.util import Timeout
from urllib3.util.connection import allowed_gai_family, create_connection

from vwo_celery.clocks import monotonic
from vwo_celery.sending.request_line import KeyedHTTPConnection

#: Shortest timeout given to a socket, in seconds; 0 would mean "do not block".
_LEAST_SECONDS: Final = 0.001


class Deadline(Timeout):
    """A urllib3 `Timeout` that starts when it is made and never starts again.

    Args:
        seconds: Time from now to the end of the whole request.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(total=seconds)
        self._began = monotonic()
        self._seconds = seconds

    def clone(self) -> Deadline:
        """Return itself: urllib3 clones it more than once a request, and a clone would start again."""
        return self

    def start_connect(self) -> float:
        """Return the time of the start."""
        return self._began

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the start."""
        return monotonic() - self._began

    @property
    def connect_timeout(self) -> float:
        """Seconds left."""
        return max(self._seconds - self.elapsed_seconds, _LEAST_SECONDS)

    @property
    def read_timeout(self) -> float:
        """Seconds left."""
        return self.connect_timeout


class DeadlineHTTPConnection(KeyedHTTPConnection):
    """A connection whose `timeout` starts when it is set, and covers every later step."""

    _ends_at: float | None = None
    _unset: Any = None
    _cut_short = False  # whether the server stopped reading within a request

    @property
    def timeout(self) -> Any:
        """Seconds left, at least a millisecond; urllib3's own value for "not set" if it is not set."""
        if self._ends_at is None:
            return self._unset
        return max(self._ends_at - monotonic(), _LEAST_SECONDS)

    @timeout.setter
    def timeout(self, seconds: Any) -> None:
        if isinstance(seconds, (int, float)):
            self._ends_at = monotonic() + seconds
        else:
            self._ends_at, self._unset = None, seconds

    def lower_socket_timeout(self) -> None:
        """Let the next step on the socket take no longer than the time left.

        Raises:
            TimeoutError: No time is left.
        """
        if self._ends_at is not None:
            self.sock.settimeout(_seconds_until(self._ends_at))

    def _new_conn(self) -> socket.socket:
        self._cut_short = False
        try:
            sock = self._connect_to_first(self._resolve())
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from exc
        except OSError as exc:
            raise NewConnectionError(self, f"no connection to {self.host}: {exc}") from exc
        sock.settimeout(self.timeout)
        return sock

    def _resolve(self) -> list[str]:
        name = self._dns_host.strip("[]")
        found = socket.getaddrinfo(name, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        return [str(address[0]) for *_, address in found]

    def _connect_to_first(self, addresses: list[str]) -> socket.socket:
        """Connect to the first address that answers; each gets an equal share of the time left."""
        failure: OSError = OSError("the name has no address")
        for failed, address in enumerate(addresses):
            try:
                return create_connection(
                    (address, self.port),
                    self._share(len(addresses) - failed),
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
            except OSError as exc:
                failure = exc
        raise failure

    def _share(self, parts: int) -> Any:
        return self.timeout if self._ends_at is None else _seconds_until(self._ends_at) / parts

    def _tunnel(self) -> None:
        super()._tunnel()
        self.lower_socket_timeout()  # the TLS handshake comes next

    def send(self, data: Any) -> None:
        """Send all bytes of *data* by the deadline, however slowly the server reads them."""
        if self.sock is None:
            self.connect()
        with memoryview(data) as rest:
            sent = 0
            while sent < len(rest):
                self.lower_socket_timeout()
                sent += self._send_some(rest[sent:])

    def _send_some(self, data: memoryview) -> int:
        try:
            return int(self.sock.send(data))
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as exc:
            # A server may answer (413) and hang up before it has read everything. Every release of
            # urllib3 looks for such an answer, but only after a broken pipe.
            self._cut_short = True
            raise BrokenPipeError(errno.EPIPE, str(exc)) from exc

    def getresponse(self) -> Any:
        """Return the response's head; a 2xx to a body that was not sent in full is an error."""
        response = super().getresponse()
        if self._cut_short and response.status < HTTPStatus.MULTIPLE_CHOICES:
            raise ConnectionAbortedError("accepted before all of it was sent")
        return response

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> HTTPResponse:  # type: ignore[override]
        """Make a response that is read by the deadline; http.client makes CONNECT's by it as well."""
        return HTTPResponse(_Readable(sock, self), *args, **kwargs)  # type: ignore[arg-type]


class DeadlineHTTPSConnection(DeadlineHTTPConnection, HTTPSConnection):
    """A `DeadlineHTTPConnection` over TLS."""


class _Readable:
    """The part of a socket that `http.client.HTTPResponse` uses: a file to read from."""

    def __init__(self, sock: Any, connection: DeadlineHTTPConnection) -> None:
        self._sock = sock
        self._connection = connection

    def makefile(self, mode: str) -> io.BufferedReader:
        raw = self._sock.makefile(mode, buffering=0)
        return io.BufferedReader(_DeadlineFile(raw, self._sock, self._connection._ends_at))


class _DeadlineFile(io.RawIOBase):
    """A socket's file that lowers the socket's timeout before each read.

    It wraps the socket's own file: while that is open, the socket stays open, even after
    `http.client` has closed it early ("Connection: close").
    """

    def __init__(self, raw: io.RawIOBase, sock: Any, ends_at: float | None) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._ends_at = ends_at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ends_at is not None:
            self._sock.settimeout(_seconds_until(self._ends_at))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _seconds_until(ends_at: float) -> float:
    left = ends_at - monotonic()
    if left <= 0:
        raise TimeoutError("the deadline of the request has passed")
    return left


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = DeadlineHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = DeadlineHTTPSConnection


_POOLS: Final = {"http": _HTTPPool, "https": _HTTPSPool}


class DeadlineAdapter(HTTPAdapter):
    """The requests adapter whose `timeout` may be a `Deadline`; it never retries a request."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        """Return the pools of connections through *proxy*.

        Raises:
            InvalidProxyURL: A SOCKS proxy, through which no deadline can be kept.
        """
        if proxy.lower().startswith("socks"):
            raise InvalidProxyURL("a SOCKS proxy is not supported; an HTTP proxy is")
        # urllib3 leaves Nagle's algorithm on towards a proxy. It would hold a small body back until
        # the headers are acknowledged, up to 40 ms later.
        options = HTTPConnection.default_socket_options
        manager: ProxyManager = super().proxy_manager_for(proxy, socket_options=options, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def is_instrumented() -> bool:
    """Whether OpenTelemetry's instrumentation of urllib3 records each request of an adapter by itself."""
    return hasattr(HTTPConnectionPool.urlopen, "__wrapped__")
