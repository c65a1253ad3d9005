"""A TCP proxy between a client and Redis that can fail the way networks do.

Cutting off a chosen reply is what it is for: the server has done the work, and the client cannot
know. Blackholing holds bytes back in both directions and lets them through afterwards, as a network
partition that heals does; swallowing lets commands through and no reply; stranding leaves the open
connections half-open for good. One event loop in a thread of its own, so that a reset is one (RST).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import Literal, TypeVar

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CONTROL_TIMEOUT_SECONDS = 5

Mode = Literal["pass", "blackhole", "reset", "swallow"]
Result = TypeVar("Result")


class TcpProxy:
    """Listen on a port of its own and pass everything on to *target_port*, until told otherwise.

    Args:
        target_port: TCP port on 127.0.0.1; nobody need listen there yet.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.mode: Mode = "pass"
        self.delay_seconds = 0.0
        self.bytes_per_second: float | None = None
        self.marker = b""
        self.drops_left = 0
        self.late_commands = False
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
        """Pass everything on at once, delayed data first; end connections that lack a reply."""
        self._control(lambda: self._switch("pass"))

    def blackhole(self, *, late_commands: bool = False) -> None:
        """Pass nothing on and answer nothing; accept new connections and stay silent on them.

        Args:
            late_commands: Whether what a client had sent before it gave up still arrives when
                everything passes again, as what a kernel sends once more does.
        """
        self._control(lambda: self._switch("blackhole", late_commands=late_commands))

    def swallow_replies(self) -> None:
        """Pass commands on but no replies: the server does the work and the client never learns it."""
        self._control(lambda: self._switch("swallow"))

    def delay(self, seconds: float) -> None:
        """Pass everything on with this delay in each direction."""
        self._control(lambda: self._switch("pass", delay_seconds=seconds))

    def throttle(self, bytes_per_second: float) -> None:
        """Limit each connection to this rate, both directions together."""
        self._control(lambda: self._switch("pass", bytes_per_second=bytes_per_second))

    def strand(self) -> None:
        """Silence the connections that are open now for good; new ones work.

        That is half-open: a firewall or a peer has forgotten them, and nobody told the client.
        """
        self._control(lambda: [link.strand() for link in self.links])

    def reset(self) -> None:
        """Reset every connection, and every new one as soon as it is open."""
        self._control(lambda: self._switch("reset"))

    def cut_connections(self) -> None:
        """Reset every open connection once; new ones follow the current mode."""
        self._control(self._reset_links)

    def drop_reply_to(self, marker: bytes, times: int = 1) -> None:
        """Pass the next commands that contain *marker* to the server, then reset their connections.

        Other connections are not touched; `replies_dropped` says how often it has happened.

        Args:
            marker: Part of a command, such as its name.
            times: For how many commands; none if *marker* is empty.
        """

        def arm() -> None:
            self.marker, self.drops_left = marker, times

        self._control(arm)

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

    def _switch(
        self,
        mode: Mode,
        *,
        delay_seconds: float = 0.0,
        bytes_per_second: float | None = None,
        late_commands: bool = False,
    ) -> None:
        self.mode, self.late_commands = mode, late_commands
        self.delay_seconds, self.bytes_per_second = delay_seconds, bytes_per_second
        for link in list(self.links):
            if mode == "reset" or link.lacks_reply:
                link.reset()
            else:
                link.hurry()

    def _reset_links(self) -> None:
        for link in list(self.links):
            link.reset()


class _Link:
    """A client's connection, its twin to the server, and the data between them."""

    def __init__(self, proxy: TcpProxy) -> None:
        self.proxy = proxy
        self.client = _End(self.take_command, self._meet_client, self._lose_client)
        self.server = _End(self.take_reply, self.flush, self.reset)
        self.lacks_reply = False
        self._held: deque[tuple[float, _End, bytes]] = deque()
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._drops_reply = self._stranded = self._client_gone = False
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

    def _lose_client(self) -> None:
        if self.proxy.late_commands and self._held and not self._stranded:
            self._client_gone = True
        else:
            self.reset()

    def take_command(self, chunk: bytes) -> None:
        proxy = self.proxy
        if proxy.drops_left and proxy.marker and proxy.marker in chunk:
            proxy.drops_left -= 1
            self._drops_reply = True
        self._hold(self.server, chunk)

    def take_reply(self, chunk: bytes) -> None:
        if self._drops_reply:
            self.proxy.replies_dropped += 1
            self.reset()
        elif self.proxy.mode == "swallow":
            self.proxy.replies_dropped += 1
            self.lacks_reply = True
        elif not self._client_gone:
            self._hold(self.client, chunk)

    def _hold(self, end: _End, chunk: bytes) -> None:
        """Pass *chunk* on to *end* as soon as mode, delay and throughput allow."""
        if self._stranded:
            return
        rate, now = self.proxy.bytes_per_second, asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + (0 if rate is None else len(chunk) / rate)
        self._held.append((self._free_at + self.proxy.delay_seconds, end, chunk))
        self.flush()

    def flush(self) -> None:
        """Pass on what is due, if the mode allows and both ends are open."""
        if self.proxy.mode == "blackhole" or self.server.transport is None:
            return
        loop = asyncio.get_running_loop()
        while self._held and self._held[0][0] <= loop.time():
            _, end, chunk = self._held.popleft()
            end.write(chunk)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._held[0][0], self.flush) if self._held else None
        if self._client_gone and not self._held:
            self.proxy.links.discard(self)
            self.server.end()

    def hurry(self) -> None:
        """Make all delayed data due now."""
        self._held = deque((0.0, end, chunk) for _, end, chunk in self._held)
        self._free_at = 0.0
        self.flush()

    def strand(self) -> None:
        """Pass nothing on from now on; both ends stay open."""
        self._stranded = True
        self._held.clear()

    def reset(self) -> None:
        self.proxy.links.discard(self)
        if self._timer is not None:
            self._timer.cancel()
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

    def end(self) -> None:
        """Close once all written data has left."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        transport, self.transport = self.transport, None
        if transport is None:
            return
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it is gone already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
