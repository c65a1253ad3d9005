"""Exchanges for asyncio: bytes that were packed before, and their answers, over one connection.

Beneath the clients; nothing to lose. See `exchanges`, which does the same for threads. A connection
belongs to one task at a time; one that a task was cancelled on is closed, so that no later task reads
the answer.
"""

from __future__ import annotations

from typing import Any

import redis.asyncio as aio
from redis.exceptions import ResponseError

from vwo_celery.connections.pools import WORDS


class AsyncClient(aio.Redis):
    """A client of one server, or of Sentinel's master, for one event loop."""

    async def exchange(self, packed: bytes, replies: int = 1) -> list[Any]:
        """Send packed commands over one connection, once, and read their answers.

        Args:
            packed: One command or several, see `resp.pack`.
            replies: Their number.

        Returns:
            The answers in their order; one that is an error is a ResponseError, which is not raised.

        Raises:
            redis.exceptions.RedisError: The connection failed. The commands may have run.
        """
        pool: Any = self.connection_pool
        connection = await pool.get_connection(*WORDS)
        try:
            await connection.send_packed_command([packed], False)
            return [await _read(connection) for _ in range(replies)]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)


async def _read(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as exc:
        return exc.with_traceback(None)  # its frames would keep the connection
