"""Round trips of this process to Redis, counted where redis-py hands data to a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from redis.connection import AbstractConnection

_SEND = "send_packed_command"
_DRAINER = "vwo-celery-drainer"


@contextmanager
def round_trips() -> Iterator[Callable[[], int]]:
    """Give a function that returns the round trips so far of all clients for threads.

    What redis-py sends when it opens a connection counts as well: have one opened before. What a
    drainer sends does not: those of earlier tests go on as long as this process.
    """
    sent, send = [], getattr(AbstractConnection, _SEND)

    def count_and_send(*words: Any, **options: Any) -> Any:
        if threading.current_thread().name != _DRAINER:
            sent.append(None)
        return send(*words, **options)

    with mock.patch.object(AbstractConnection, _SEND, count_and_send):
        yield lambda: len(sent)
