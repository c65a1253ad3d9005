"""Servers that misbehave in one way each, on raw sockets, for the tests of the sender.

A `Server` runs a *script* for each connection, in a thread; a script is a function of the
`Connection`. Everything ends when the `with` does.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

LONGEST_WAIT_SECONDS = 30.0


@dataclass
class Request:
    """A request as it came: its first line, its headers with lower-case names, its body."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Connection:
    """The server's side of one connection."""

    sock: socket.socket
    stopped: threading.Event
    requests: list[Request] = field(default_factory=list)
    sent_bytes: int = 0
    _unread: bytes = b""

    def read_head(self) -> Request | None:
        """The next request up to its body, which stays unread; None if there is no more."""
        while b"\r\n\r\n" not in self._unread:
            received = self.sock.recv(65_536)
            if not received:
                return None
            self._unread += received
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        self.requests.append(Request(line, headers, b""))
        return self.requests[-1]

    def read_request(self) -> Request | None:
        """The next request with its body; None if there is no more."""
        request = self.read_head()
        if request is None:
            return None
        length = int(request.headers.get("content-length", "0"))
        while len(self._unread) < length:
            received = self.sock.recv(1_000_000)
            if not received:
                return None
            self._unread += received
        request.body, self._unread = self._unread[:length], self._unread[length:]
        return request

    def send(self, data: bytes) -> None:
        """Send all of *data*."""
        self.sock.sendall(data)
        self.sent_bytes += len(data)

    def trickle(self, data: bytes, *, pause_seconds: float = 0.1) -> None:
        """Send *data* byte by byte."""
        for byte in data:
            self.send(bytes([byte]))
            if self.stopped.wait(pause_seconds):
                return


Script = Callable[[Connection], None]


class Server:
    """A TCP server on loopback, by default on a free port, with TLS if a context is given.

    Attributes:
        connections: One for each that was accepted, in order.
    """

    def __init__(
        self,
        script: Script,
        *,
        tls: ssl.SSLContext | None = None,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.connections: list[Connection] = []
        self._script = script
        self._tls = tls
        self._stopped = threading.Event()
        self._listener = socket.create_server(address)
        # With a small buffer a client soon notices that nobody reads its body.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        """Port on which it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """All requests of all connections."""
        return [request for connection in self.connections for request in connection.requests]

    def __enter__(self) -> Server:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for sock in (self._listener, *(connection.sock for connection in self.connections)):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONGEST_WAIT_SECONDS)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stopped.is_set():
                sock, _ = self._listener.accept()
                connection = Connection(sock, self._stopped)
                self.connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: Connection) -> None:
        with connection.sock, contextlib.suppress(OSError):
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection.sock = self._tls.wrap_socket(connection.sock, server_side=True)
            self._script(connection)
            connection.sock.close()


def answer_bytes(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    """A whole HTTP answer; a name in *headers* has "_" for "-"."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} As Told", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(status: int = 200, body: bytes = b"{}", **headers: str) -> Script:
    """Read each request and give it this answer."""
    return saying(answer_bytes(status, body, **headers))


def saying(answer: bytes) -> Script:
    """Read each request and answer with exactly these bytes."""

    def serve(connection: Connection) -> None:
        while connection.read_request():
            connection.send(answer)

    return serve


def trickling(answer: bytes, *, at_once: bytes = b"") -> Script:
    """Read a request; answer *at_once* at once and *answer* byte by byte."""

    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(at_once)
        connection.trickle(answer)

    return serve


def reading_nothing(connection: Connection) -> None:
    """Accept, and never read."""
    connection.stopped.wait(LONGEST_WAIT_SECONDS)


def reading_slowly(connection: Connection) -> None:
    """Read two megabytes a second, with no long pause."""
    while connection.sock.recv(110_000) and not connection.stopped.wait(0.05):
        pass


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port on 127.0.0.1 that neither accepts nor refuses."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for sock in (first, second):  # they fill the queue, so that the next is not answered
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def hanging_up(connection: Connection) -> None:
    """Read a request and close without an answer."""
    connection.read_request()


def answering_endlessly(connection: Connection) -> None:
    """Read a request and answer with a body that does not end."""
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while not connection.stopped.is_set():
        connection.send(b"x" * 65_536)


def tunnelling(connection: Connection) -> None:
    """An HTTP proxy that knows CONNECT only."""
    request = connection.read_head()
    if request is None:
        return
    host, _, port = request.line.split()[1].rpartition(":")
    _tunnel(connection, (host, int(port)))


def leading_to(port: int) -> Script:
    """An HTTP proxy that leads every host to a port of 127.0.0.1, as a wrong DNS would."""

    def serve(connection: Connection) -> None:
        if connection.read_head() is not None:
            _tunnel(connection, ("127.0.0.1", port))

    return serve


def _tunnel(connection: Connection, address: tuple[str, int]) -> None:
    with socket.create_connection(address) as upstream:
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pump, args=(upstream, connection.sock), daemon=True)
        back.start()
        _pump(connection.sock, upstream)
        with contextlib.suppress(OSError):
            upstream.shutdown(socket.SHUT_RDWR)
        back.join(LONGEST_WAIT_SECONDS)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := source.recv(65_536):
            target.sendall(received)
        target.shutdown(socket.SHUT_WR)
