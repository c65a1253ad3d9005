"""A clock that a test sets, in the place of Redis' own: for the scripts no time passes unnoticed.

A model of what the scripts do must know the very millisecond that they read. Between a look at
Redis' own clock and the script that reads it next, a busy machine may let any time pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vwo_celery.queue import scripts

#: Key of the time, beside those under test; scripts may read it though it is not given to them.
KEY = "clock-of-the-test"
_READ_REAL = "redis.call('TIME')"
_READ_OURS = f"redis.call('HMGET', '{KEY}', 'seconds', 'microseconds')"
#: Unix ms of the first moment; any that leaves room for steps back.
_START_MS = 1_700_000_000_000


class Clock:
    """The time of all scripts in one database; it stands still until a test moves it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.ms = _START_MS

    def move(self, by_ms: int) -> int:
        """Let time pass, or step back; return the new time."""
        self.ms += by_ms
        words = {"seconds": self.ms // 1000, "microseconds": self.ms % 1000 * 1000}
        self.client.hset(KEY, mapping=words)
        return self.ms

    def tick(self) -> int:
        """Let one millisecond pass, and return the new time."""
        return self.move(1)

    def empty(self) -> None:
        """Delete every key; the time goes on."""
        self.client.flushdb()
        self.move(0)

    def names(self) -> list[bytes]:
        """Name of every key but the clock's own."""
        return [name for name in self.client.keys("*") if name != KEY.encode()]


@contextmanager
def own_clock(client: Any) -> Iterator[Clock]:
    """Let every script read the returned clock instead of Redis' own."""
    read = scripts._read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "_read", lambda path: read(path).replace(_READ_REAL, _READ_OURS))
        scripts.script.cache_clear()
        try:
            assert not any("TIME" in scripts.script(name).commands for name in scripts.names())
            yield Clock(client)
        finally:
            scripts.script.cache_clear()
