"""Exchanges for asyncio: bytes that were packed before, and their answers, over one connection.

Beneath the clients; nothing to lose. See `exchanges`, which does the same for threads. A connection
belongs to one task at a time; one that a task was cancelled on is closed, so that no later task reads
the answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio as aio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

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
        connection = pool.take() or await pool.get_connection(*WORDS)
        try:
            await _send(connection, packed)
            return [await _read(connection) for _ in range(replies)]
        except BaseException:  # an answer may still come, and would be read by the next task
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)


async def _send(connection: Any, packed: bytes) -> None:
    """Hand the bytes to the kernel; where it does not take them all, wait for it."""
    writer, seconds = connection._writer, connection.socket_timeout
    writer.write(packed)
    if not writer.transport.get_write_buffer_size():
        return  # redis-py's way makes a task of its own for every command
    try:
        await asyncio.wait_for(writer.drain(), seconds)
    except asyncio.TimeoutError:
        raise RedisTimeoutError("Redis did not take a command in time") from None
    except OSError as exc:
        raise RedisConnectionError("the connection was lost while a command was sent") from exc


async def _read(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as exc:
        return exc.with_traceback(None)  # its frames would keep the connection
