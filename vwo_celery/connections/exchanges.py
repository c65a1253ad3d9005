"""Exchanges: commands sent as bytes that were packed before, and their answers, over one connection.

The direct way to Redis, for what is sent so often that redis-py's own work for each command counts:
it packs all words anew, looks whether the connection still lives, and runs the command inside its
retries. `Client` and `ClusterClient` offer the way as `exchange`. Whoever goes it has another one
for what fails here, and sends a command again only where that does no harm.

A connection belongs to one call at a time. One that a call was interrupted on is closed, so that no
later call reads the answer. If the process dies here, each command has run as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

from redis.exceptions import (
    AskError,
    ClusterDownError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)

from vwo_celery.connections.pools import SharedPool

#: Number of lengths whose heads are kept.
_MOST_HEADS: Final = 4096
#: Answers after which a command has not run and is sent by `execute_command`, which looks for the
#: node: MOVED (a kind of AskError), ASK, TRYAGAIN, CLUSTERDOWN, and a slot without a node.
NOT_RUN_HERE: Final = (AskError, TryAgainError, ClusterDownError, RedisClusterException)


def pack(words: Iterable[str | bytes | int]) -> bytes:
    """One command as Redis reads it (RESP, an array of bulk strings).

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    texts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    bulks = chain.from_iterable(zip(map(_HEADS.__getitem__, map(len, texts)), texts, strict=True))
    return b"".join((b"*%d" % len(texts), *bulks, b"\r\n"))


class _Heads(dict[int, bytes]):
    """What stands before a word of so many bytes, after the word before; the usual ones are kept."""

    def __missing__(self, length: int) -> bytes:
        head = b"\r\n$%d\r\n" % length
        if length < _MOST_HEADS:
            self[length] = head
        return head


_HEADS = _Heads()


def bulk(word: str | bytes | int) -> bytes:
    """One word of a command; a text is sent as UTF-8."""
    text = word if isinstance(word, bytes) else str(word).encode()
    return b"$%d\r\n%b\r\n" % (len(text), text)


def exchange(pool: SharedPool, packed: bytes, replies: int = 1) -> list[Any]:
    """Send packed commands over one connection, and read their answers.

    Args:
        pool: The pool of the server.
        packed: One command or several, see `pack`.
        replies: Their number.

    Returns:
        The answers in their order; one that is an error is a ResponseError, which is not raised.

    Raises:
        redis.exceptions.RedisError: The connection failed, or the server closes it. The commands
            may have run. Also with a connection that had been closed before: it is not looked at.
    """
    connection = pool.take()
    try:
        connection.send_packed_command((packed,))
        answers = [_read(connection) for _ in range(replies)]
    except BaseException:  # an answer may still come, and would be read by the next call
        connection.disconnect()
        pool.release(connection)
        raise
    pool.give_back(connection)
    return answers


def _read(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as exc:
        return exc.with_traceback(None)  # its frames would keep the connection
