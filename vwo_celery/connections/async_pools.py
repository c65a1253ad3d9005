"""The pools of `pools` and `sentinels` for asyncio, each for one event loop.

Beneath the clients; nothing to lose. The Sentinels are asked in a thread, a few times a second, so
that no loop waits for them.
"""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio as aio
from redis.asyncio.sentinel import SentinelConnectionPool

from vwo_celery.clocks import monotonic
from vwo_celery.connections.causes import explained
from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION
from vwo_celery.connections.pools import MOST_CONNECTIONS, Refusal
from vwo_celery.connections.sentinels import Address, Sentinels
from vwo_celery.threads import in_thread


class AsyncSharedPool(aio.ConnectionPool):
    """A pool for one event loop, see `SharedPool`."""

    def __init__(self, *, wait_seconds: float, **options: Any) -> None:
        self._wait_seconds = wait_seconds
        self._waiting: dict[asyncio.Future[None], None] = {}  # oldest first
        self._refusal = Refusal()
        options.setdefault("max_connections", MOST_CONNECTIONS)
        super().__init__(**options)

    async def get_connection(self, *words: Any, **options: Any) -> Any:
        """Take a connection; wait for one of those in use where no other can be opened."""
        end = monotonic() + self._wait_seconds
        while True:
            refused = None if self._available_connections else self._refusal.lasting()
            if refused is None or not self._in_use_connections:
                try:
                    return await super().get_connection(*words, **options)  # type: ignore[no-untyped-call]
                except WORTH_A_NEW_CONNECTION as exc:
                    refused = explained(exc, self.connection_kwargs)
                    self._refusal.note(refused)
            if not self._available_connections and not await self._await_release(end):
                raise refused

    def take(self) -> Any:
        """Take the connection that came back last, if it is known to live; None otherwise.

        The loop reads whatever comes, so its reader tells whether the server has closed it, or has
        sent what nobody asked for; redis-py finds that out by a read.
        """
        if not self._available_connections:
            return None
        connection = self._available_connections[-1]
        reader = getattr(connection, "_reader", None)
        if reader is None or reader.at_eof() or reader._buffer or not self.keeps(connection):
            return None
        self._in_use_connections.add(self._available_connections.pop())
        return connection

    async def release(self, connection: Any) -> None:
        """Take a connection back, and let a caller that waits for one have it."""
        if not self.keeps(connection):
            await connection.disconnect()
        await super().release(connection)
        if not connection.is_connected and connection in self._available_connections:
            self._available_connections.remove(connection)  # it would hide those that work
        self._let_next()

    def keeps(self, connection: Any) -> bool:
        """Whether a connection that comes back leads to the right server."""
        return True

    async def _await_release(self, end: float) -> bool:
        """Wait until a connection has come back; False if none will, or in time."""
        left = end - monotonic()
        if left <= 0 or not self._in_use_connections:
            return False
        freed = asyncio.get_running_loop().create_future()
        self._waiting[freed] = None
        try:
            await asyncio.wait_for(freed, left)
        except asyncio.TimeoutError:
            return False
        except asyncio.CancelledError:
            if freed.done() and not freed.cancelled():
                self._let_next()
            raise
        finally:
            self._waiting.pop(freed, None)
        return True

    def _let_next(self) -> None:
        """Wake the caller that has waited longest."""
        while self._waiting:
            freed = next(iter(self._waiting))
            del self._waiting[freed]
            if not freed.done():
                freed.set_result(None)
                return


class AsyncSentinelPool(AsyncSharedPool, SentinelConnectionPool):
    """A pool whose connections lead to the present master."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        self._sentinels = sentinels
        super().__init__(sentinel_manager=self, **options)

    async def discover_master(self, service: str) -> Address:
        """Return the master, for a new connection."""
        return await in_thread(self._sentinels.discover_master, service)

    def take(self) -> Any:
        """Take none: Sentinel may have to be asked before."""
        return None

    async def get_connection(self, *words: Any, **options: Any) -> Any:
        """Take a connection to the master, and give up those to another.

        Raises:
            MasterUnknown: There is none at the moment.
        """
        look = self._sentinels.look
        address = await in_thread(look) if self._sentinels.is_due else look()
        if address is not None and address != self.master_address:
            self.master_address = address
            await self.disconnect(inuse_connections=False)
        return await super().get_connection(*words, **options)

    def keeps(self, connection: Any) -> bool:
        """Whether a connection that comes back leads to the present master."""
        return self.master_address in (None, (connection.host, connection.port))
