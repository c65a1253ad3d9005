"""Processor time that work takes of Redis servers and of this process, whatever else runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis

_EMPTY_ROUNDS = 30
_MICROSECONDS = 1_000_000


class Cost(NamedTuple):
    """Processor time of one call, µs: of each Redis server in their order, and of this process."""

    redis: tuple[float, ...]
    caller: float


class Meter:
    """Measures work by `INFO cpu`, which counts all that a server does for it, threads included.

    Args:
        urls: Redis servers to watch, each by itself also where they form a Cluster.
    """

    def __init__(self, *urls: str) -> None:
        self.clients = [redis.Redis.from_url(url) for url in urls]
        empty = [self._measure(lambda: 1)[1] for _ in range(_EMPTY_ROUNDS)]
        self._empty = [statistics.median(each) for each in zip(*empty, strict=True)]

    def measure(self, work: Callable[[], int]) -> Cost:
        """The cost of one call, without that of measuring; *work* returns how many calls it made."""
        calls, found = self._measure(work)
        *servers, caller = (
            max(0.0, each - empty) / calls * _MICROSECONDS
            for each, empty in zip(found, self._empty, strict=True)
        )
        return Cost(tuple(servers), caller)

    def _measure(self, work: Callable[[], int]) -> tuple[int, list[float]]:
        before = [*map(used_seconds, self.clients), time.process_time()]
        calls = work()
        own = time.process_time()
        after = [*map(used_seconds, self.clients), own]
        return calls, [b - a for a, b in zip(before, after, strict=True)]


def used_seconds(client: Any) -> float:
    """Processor time that a server has used since its start."""
    told = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def medians(costs: Sequence[Cost]) -> Cost:
    """The median of several measurements of the same."""
    servers = zip(*(each.redis for each in costs), strict=True)
    return Cost(
        tuple(statistics.median(each) for each in servers),
        statistics.median(each.caller for each in costs),
    )
