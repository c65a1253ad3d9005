"""A relay in a thread, on a port of its own, and clients on raw sockets for it.

The server is uvicorn with the protocol and the configuration of `vwo-celery relay`; only its processes
and signals are missing.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import uvicorn

from tools.waiting import wait_until
from vwo_celery.connections import open_client
from vwo_celery.destinations import Destination
from vwo_celery.queue.fleet import Fleet
from vwo_celery.relay import Access, relay_app
from vwo_celery.relay.rules.limits import Bounds
from vwo_celery.relay.serving.bounds import bounded
from vwo_celery.relay.serving.server import configure
from vwo_celery.settings import Settings

ACCOUNT, KEY = "888888", "b" * 32
LEGACY = f"/server-side/batch-events?a={ACCOUNT}&env={KEY}"
FME = f"/server-side/batch-events-v2?a={ACCOUNT}&env={KEY}"
EVENT = f"/events/t?en=purchase&a={ACCOUNT}&env={KEY}&sn=vwo-fme-node-sdk"
LONGEST_WAIT_SECONDS = 30.0
#: A batch of one event.
ONE = b'{"ev":[{"u":"A"}]}'
#: What PHP's FME SDK sends after its body.
STRAY = b"Connection: close\r\n\r\n"


@dataclass
class Answer:
    """An answer as it came; `status` is 0 where the connection ended without one."""

    status: int
    headers: dict[str, str]
    body: bytes


class RelayClient:
    """A client of a relay.

    Attributes:
        port: The relay's port.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def connect(self) -> socket.socket:
        """A connection to it."""
        sock = socket.create_connection(("127.0.0.1", self.port), LONGEST_WAIT_SECONDS)
        sock.settimeout(LONGEST_WAIT_SECONDS)
        return sock

    def ask(self, request: bytes) -> Answer:
        """Send bytes, and read one answer."""
        with self.connect() as sock:
            sock.sendall(request)
            return read_answer(sock, has_body=not request.startswith(b"HEAD "))

    def post(self, target: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a body."""
        return self.ask(request(target, body, headers))

    def get(
        self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """GET a target, or use another method without a body."""
        return self.ask(request(target, None, headers, method))


class RelayServer(RelayClient):
    """A running relay.

    Attributes:
        server: uvicorn's server.
    """

    def __init__(self, port: int, server: uvicorn.Server) -> None:
        super().__init__(port)
        self.server = server


def request(
    target: str,
    body: bytes | None,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
) -> bytes:
    """The bytes of a request."""
    given = {"Host": "relay", **(headers or {})}
    if body is not None:
        given.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def read_answer(sock: socket.socket, *, has_body: bool = True) -> Answer:
    """Read one answer with a Content-Length, or none; interim answers are skipped."""
    text = b""
    while True:
        while b"\r\n\r\n" not in text:
            try:
                received = sock.recv(65_536)
            except ConnectionResetError:
                received = b""
            if not received:
                return Answer(0, {}, text)
            text += received
        head, _, text = text.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        status = int(line.split()[1])
        if status >= 200:
            break
    pairs = (field.partition(":") for field in fields)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    while has_body and len(text) < int(headers.get("content-length", 0)):
        received = sock.recv(65_536)
        if not received:
            break
        text += received
    return Answer(status, headers, text)


def read_answers(sock: socket.socket, count: int) -> list[Answer]:
    """Read answers that follow one another, each with a Content-Length; interim answers are skipped."""
    with sock.makefile("rb") as file:
        return [_next_answer(file) for _ in range(count)]


def _next_answer(file: BinaryIO) -> Answer:
    line = file.readline()
    headers: dict[str, str] = {}
    while field := file.readline().strip().decode("latin-1"):
        name, _, value = field.partition(":")
        headers[name.lower()] = value.strip()
    status = int(line.split()[1]) if line else 0
    if 100 <= status < 200:
        return _next_answer(file)
    return Answer(status, headers, file.read(int(headers.get("content-length", 0))))


def refused(answer: Answer) -> tuple[int, str]:
    """Status and message; the connection ends after a refusal by a bound."""
    assert answer.headers["connection"] == "close"
    return answer.status, json.loads(answer.body)["message"]


def a_single(number: int) -> bytes:
    """A single FME event."""
    return b'{"d":{"n":%d}}' % number


@contextmanager
def relaying(
    redis_url: str,
    *,
    bounds: Bounds | None = None,
    loop: str = "auto",
    accounts: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[RelayServer]:
    """Run a relay that takes everybody's events, or those of *accounts*."""
    loaded = Settings.load(redis_url=redis_url, **settings)
    app = relay_app(settings=loaded, accounts=accounts, everybody=accounts is None)
    with serving(app, loaded, bounds=bounds, loop=loop) as server:
        yield server


@contextmanager
def serving(
    app: Any, settings: Settings, *, bounds: Bounds | None = None, loop: str = "auto"
) -> Iterator[RelayServer]:
    """Serve an ASGI app as `vwo-celery relay` serves its own."""
    config = configure(settings, Access())
    config.app, config.factory, config.loop = app, False, loop
    if bounds is not None:
        config.http = bounded(bounds)
        config.timeout_keep_alive = int(bounds.idle_seconds)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started, what="the relay has started")
            yield RelayServer(port, server)
        finally:
            server.should_exit = True
            thread.join()


def stored(redis_url: str) -> dict[Destination, list[bytes]]:
    """The events in Redis, oldest first, by the destination of their queue."""
    client = open_client(redis_url, timeout_seconds=5.0)
    fleet = Fleet(client, "vwo")
    found: dict[Destination, list[bytes]] = {}
    for registration in fleet.registrations().readable.values():
        events: list[bytes] = []
        for shard in fleet.all_shards(registration):
            sealed = sorted(client.scan_iter(f"{shard.keys.prefix}batch:*"))
            for key in [*sealed, shard.keys.open]:
                events += reversed(client.lrange(key, 0, -1))
        found[registration.destination] = events
    client.close()
    return found


def all_stored(redis_url: str) -> Sequence[bytes]:
    """All events in Redis."""
    return [event for events in stored(redis_url).values() for event in events]
