"""Redis clients whose pool of connections belongs to one process.

Place: an edge, beneath the connections. redis-py's pool notices a fork and connects anew, but first it
waits for its lock (as of 5.3), and where a thread of the parent's held that at the moment of the fork,
the child waits for ever. So a child opens a pool of its own; what it inherited is closed in it, and stays
open in its parent.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import redis


class ProcessClient(redis.Redis):
    """A client with a pool for each process; made by `of`."""

    _open_pool: Callable[[], Any] | None = None
    _pool: tuple[int, Any]

    @classmethod
    def of(cls, open_pool: Callable[[], Any]) -> Any:
        """A client of the pools that *open_pool* opens, one in each process."""
        client = cls(connection_pool=open_pool())
        client.auto_close_connection_pool = True
        client._open_pool = open_pool
        return client

    @property
    def connection_pool(self) -> Any:
        """This process' pool."""
        pid, pool = self._pool
        if pid != os.getpid() and self._open_pool is not None:
            self.connection_pool = pool = self._open_pool()
        return pool

    @connection_pool.setter
    def connection_pool(self, pool: Any) -> None:
        self._pool = (os.getpid(), pool)
