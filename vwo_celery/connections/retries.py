"""Retries of Redis commands: none for producers, a few seconds for workers.

Beneath the clients. A producer's client retries nothing: only the producer knows what a second
attempt might store twice, and how much time is left. A worker's client retries after a lost
connection, long enough for a restart or a failover: settling is idempotent, and the lease of a claim
whose answer was lost expires. If the process dies meanwhile, the command has run or it has not.

redis-py's own retries are switched off. They keep the connection, which dials the old master's
address again after a failover (redis-py issue 3874). And redis-py nests the connect retries inside the
command retries, so 10 × 10 attempts are made. Here each attempt takes a connection from the pool,
which asks Sentinel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from vwo_celery.clocks import monotonic
from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION

Answer = TypeVar("Answer")
#: Bounds of the pause between two attempts, which doubles.
_SHORTEST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_UNLIMITED = -1


def never() -> Retry:
    """Tell redis-py to retry nothing, and to close a connection that failed."""
    return Retry(NoBackoff(), 0, WORTH_A_NEW_CONNECTION)


class Retries:
    """Retry a failing call for some seconds; an attempt under way by then is the last.

    Args:
        seconds: Time from the first attempt on in which others may start; 0 for a single attempt.
        errors: Errors after which another attempt may succeed.
    """

    def __init__(
        self, seconds: float, errors: tuple[type[Exception], ...] = WORTH_A_NEW_CONNECTION
    ) -> None:
        self._seconds = seconds
        self._errors = errors

    def __bool__(self) -> bool:
        return self._seconds > 0

    def run(self, attempt: Callable[[], Answer]) -> Answer:
        """Return what *attempt* returns; raise its last error when the time is over."""
        end = monotonic() + self._seconds

        def fail(error: Exception) -> None:
            if monotonic() >= end:
                raise error

        pauses = ExponentialBackoff(cap=_LONGEST_PAUSE_SECONDS, base=_SHORTEST_PAUSE_SECONDS)
        return Retry(pauses, _UNLIMITED, self._errors).call_with_retry(attempt, fail)
