"""Exchanges: commands sent as bytes that were packed before, and their answers, over one connection.

The direct way to Redis, for what is sent so often that redis-py's own work for each command counts:
it packs all words anew, looks whether the connection still lives, and runs the command inside its
retries. `Client` and `ClusterClient` offer the way as `exchange`. Whoever goes it has another one
for what fails here, and sends a command again only where that does no harm.

A connection belongs to one call at a time. One that a call was interrupted on is closed, so that no
later call reads the answer. If the process dies here, each command has run as a whole or not at all.
"""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import (
    AskError,
    ClusterDownError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from vwo_celery.connections.pools import SharedPool
from vwo_celery.connections.resp import read_replies

#: Answers after which a command has not run and is sent by `execute_command`, which looks for the
#: node: MOVED (a kind of AskError), ASK, TRYAGAIN, CLUSTERDOWN, and a slot without a node.
NOT_RUN_HERE: Final = (AskError, TryAgainError, ClusterDownError, RedisClusterException)


def exchange(pool: SharedPool, packed: bytes, replies: int = 1) -> list[Any]:
    """Send packed commands over one connection, and read their answers.

    Args:
        pool: The pool of the server.
        packed: One command or several, see `resp.pack`.
        replies: Their number.

    Returns:
        The answers in their order; one that is an error is a ResponseError, which is not raised.

    Raises:
        redis.exceptions.RedisError: The connection failed, or the server closes it. The commands
            may have run. Also with a connection that had been closed before: it is not looked at.
    """
    connection = pool.take()
    try:
        if connection.is_plain:
            answers = _exchange(connection, packed, replies)
        else:
            connection.send_packed_command((packed,))
            answers = [_read(connection) for _ in range(replies)]
        pool.give_back(connection)
    except BaseException:  # an answer may still come, and would be read by the next call
        connection.disconnect()
        pool.release(connection)
        raise
    return answers


def _exchange(connection: Any, packed: bytes, replies: int) -> list[Any]:
    """Send and read by the socket itself: what redis-py does besides is of no use here."""
    sock = connection._sock
    if sock is None:
        raise RedisConnectionError("another thread has closed the client")
    try:
        sock.sendall(packed)
        return read_replies(sock.recv, replies, connection._parser.parse_error)
    except TimeoutError as exc:
        raise RedisTimeoutError("no answer of Redis in time") from exc
    except OSError as exc:
        raise RedisConnectionError(f"the connection to Redis broke: {exc}") from exc


def _read(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as exc:
        return exc.with_traceback(None)  # its frames would keep the connection
