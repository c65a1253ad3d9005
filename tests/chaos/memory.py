"""Memory over time: of a worker with its children, and of the dataset in Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import psutil
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from tools.processes import Process

_EVERY_SECONDS = 1.0
_MB = 1e6


class Sample(NamedTuple):
    """One sample: seconds since the start, and megabytes; None if Redis did not answer."""

    at: float
    worker_mb: float
    redis_mb: float | None


class Memory:
    """Takes samples in its own thread, while used as a context.
    Args:
        worker: The process whose resident memory is measured, with its children.
        redis_port: The Redis whose used_memory_dataset is measured; it counts no connection buffers.
    """

    def __init__(self, worker: Process, redis_port: int) -> None:
        self.samples: list[Sample] = []
        self._worker = worker
        self._redis: Any = redis_py.Redis(
            port=redis_port, socket_timeout=0.5, retry=Retry(NoBackoff(), 0)
        )
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._redis.close()

    def look(self) -> Sample:
        """The memory now."""
        at = time.monotonic() - self._started
        return Sample(at, resident_mb(self._worker.pid), self._redis_mb())

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            self.samples.append(self.look())

    def _redis_mb(self) -> float | None:
        try:
            return float(self._redis.info("memory")["used_memory_dataset"]) / _MB
        except redis_py.RedisError:
            return None  # Redis may be away on purpose


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its children; shared pages count for each."""
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in tree:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # ended just now
    return total / _MB


def growth(points: Sequence[tuple[float, float]]) -> float:
    """Rise of the straight line nearest to (time, value) over all of *points*."""
    count = len(points)
    if count < 2:
        return 0.0
    mean_at = sum(at for at, _ in points) / count
    mean = sum(value for _, value in points) / count
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    slope = sum((at - mean_at) * (value - mean) for at, value in points) / spread
    return slope * (points[-1][0] - points[0][0])
