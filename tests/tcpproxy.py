"""A TCP proxy between a client and Redis that can fail the way networks do.

Cutting off a chosen reply is what it is for: the server has done the work, and the client cannot
know. Blackholing holds bytes back in both directions and lets them through afterwards, as a network
partition that heals does. One event loop in a thread of its own, so that a reset is one (RST).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Literal, TypeVar

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CONTROL_TIMEOUT_SECONDS = 5

Mode = Literal["pass", "blackhole", "reset"]
Result = TypeVar("Result")


class TcpProxy:
    """Listens on a port of its own and passes everything on to *target_port*, until told otherwise.

    Args:
        target_port: TCP port on 127.0.0.1; nobody need listen there yet.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.mode: Mode = "pass"
        self.marker = b""
        self.accepted = 0
        self.replies_dropped = 0
        self.links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listen = self._loop.create_server(lambda: _Link(self).client, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(listen, self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, db: int = 0) -> str:
        """URL of a Redis database behind the proxy."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    def pass_through(self) -> None:
        """Pass everything on, what was held back first."""
        self._control(lambda: self._switch("pass"))

    def blackhole(self) -> None:
        """Pass nothing on and answer nothing; new connections are taken and stay silent."""
        self._control(lambda: self._switch("blackhole"))

    def reset(self) -> None:
        """Reset every connection, and every new one as soon as it is there."""
        self._control(lambda: self._switch("reset"))

    def cut_connections(self) -> None:
        """Reset every connection once; new ones are treated as the mode says."""
        self._control(self._reset_links)

    def drop_reply_to(self, marker: bytes) -> None:
        """Let the next command that holds *marker* reach the server; its sender gets a reset.

        Other connections are not touched; `replies_dropped` says when it has happened.
        """
        self._control(lambda: setattr(self, "marker", marker))

    def close(self) -> None:
        """End every connection and stop listening."""
        if self._loop.is_closed():
            return
        self._control(self._server.close)
        self._control(self._reset_links)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CONTROL_TIMEOUT_SECONDS)
        self._loop.close()

    def _control(self, change: Callable[[], Result]) -> Result:
        """Run *change* in the proxy's own thread and wait until it is done."""

        async def run() -> Result:
            return change()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_CONTROL_TIMEOUT_SECONDS)

    def _switch(self, mode: Mode) -> None:
        self.mode = mode
        if mode == "reset":
            self._reset_links()
        for link in list(self.links):
            link.flush()

    def _reset_links(self) -> None:
        for link in list(self.links):
            link.reset()


class _Link:
    """One client's connection and its twin to the server, with what is on its way between them."""

    def __init__(self, proxy: TcpProxy) -> None:
        self.proxy = proxy
        self.client = _End(self.take_command, self._meet_client, self.reset)
        self.server = _End(self.take_reply, self.flush, self.reset)
        self._held: list[tuple[_End, bytes]] = []
        self._drops_reply = False
        self._dialling: asyncio.Task[None] | None = None

    def _meet_client(self) -> None:
        self.proxy.accepted += 1
        self.proxy.links.add(self)
        if self.proxy.mode == "reset":
            self.reset()
        else:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.server, "127.0.0.1", self.proxy.target_port)
        except OSError:
            self.reset()

    def take_command(self, chunk: bytes) -> None:
        marker = self.proxy.marker
        if marker and marker in chunk:
            self.proxy.marker = b""
            self._drops_reply = True
        self._held.append((self.server, chunk))
        self.flush()

    def take_reply(self, chunk: bytes) -> None:
        if self._drops_reply:
            self.proxy.replies_dropped += 1
            self.reset()
            return
        self._held.append((self.client, chunk))
        self.flush()

    def flush(self) -> None:
        """Pass on what is held back, if the mode allows and both ends are there."""
        if self.proxy.mode == "blackhole" or self.server.transport is None:
            return
        held, self._held = self._held, []
        for end, chunk in held:
            end.write(chunk)

    def reset(self) -> None:
        self.proxy.links.discard(self)
        if self._dialling is not None and self._dialling is not asyncio.current_task():
            self._dialling.cancel()
        self.client.reset()
        self.server.reset()


class _End(asyncio.Protocol):
    """One end of a link."""

    def __init__(
        self, take: Callable[[bytes], None], meet: Callable[[], None], lose: Callable[[], None]
    ) -> None:
        self.transport: asyncio.Transport | None = None
        self._take, self._meet, self._lose = take, meet, lose

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._meet()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()

    def write(self, chunk: bytes) -> None:
        if self.transport is not None:
            self.transport.write(chunk)

    def reset(self) -> None:
        transport, self.transport = self.transport, None
        if transport is None:
            return
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it is gone already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
