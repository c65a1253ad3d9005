"""Round trips of this process to Redis, counted where data is handed to a connection."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import redis.asyncio.connection
import redis.connection

from vwo_celery.connections import exchanges

#: Where that is: in redis-py, and on our direct way past it.
_SENDS: tuple[tuple[Any, str], ...] = (
    (redis.connection.AbstractConnection, "send_packed_command"),
    (redis.asyncio.connection.AbstractConnection, "send_packed_command"),
    (exchanges, "_exchange"),
)
_DRAINER = "vwo-celery-drainer"


@contextmanager
def round_trips_by_server() -> Iterator[Counter[int]]:
    """Give the round trips so far of all clients, by the server's port; for threads and for asyncio.

    What redis-py sends when it opens a connection counts as well. What a drainer sends does not:
    those of earlier tests go on as long as this process.
    """
    sent: Counter[int] = Counter()
    with ExitStack() as stack:
        for owner, name in _SENDS:
            counting = _counting(sent, getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, counting))
        yield sent


def _counting(sent: Counter[int], send: Callable[..., Any]) -> Callable[..., Any]:
    def count_and_send(connection: Any, *words: Any, **options: Any) -> Any:
        if threading.current_thread().name != _DRAINER:
            sent[int(getattr(connection, "port", 0))] += 1
        return send(connection, *words, **options)

    return count_and_send


@contextmanager
def round_trips() -> Iterator[Callable[[], int]]:
    """Give a function that returns the round trips so far to all servers; see above.

    To leave out what redis-py sends when it opens a connection, have one opened before.
    """
    with round_trips_by_server() as sent:
        yield lambda: sum(sent.values())
