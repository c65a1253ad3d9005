"""When a command that failed is sent again by the client itself: never, or for some seconds.

Place: an edge, beneath the connections. A producer's client never repeats anything: only the producer
knows what a repeat may store twice, and when its time is over. A worker's client repeats whatever
failed for lack of a connection, long enough for a restart or a failover, since settling is idempotent
and a claim whose answer was lost runs out by itself. If the process dies meanwhile, the command has
run or it has not.

redis-py's own repeats are switched off: they stay with a connection, which goes on dialling the old
master's address after a failover (redis-py issue 3874), and the loop of a command contains that of
connecting, so that ten times ten attempts are made. Here each attempt takes a connection from the
pool, which asks Sentinel.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION

Answer = TypeVar("Answer")
_SHORTEST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_FOR_EVER = -1


def never() -> Retry:
    """For redis-py: nothing is repeated, and a connection that failed is closed."""
    return Retry(NoBackoff(), 0, WORTH_A_NEW_CONNECTION)


class Patience:
    """Repeats what fails for some seconds; an attempt that is under way by then is the last.

    Args:
        seconds: How long; 0 for a single attempt.
        errors: What is worth repeating.
    """

    def __init__(
        self, seconds: float, errors: tuple[type[Exception], ...] = WORTH_A_NEW_CONNECTION
    ) -> None:
        self._seconds = seconds
        self._errors = errors

    def __bool__(self) -> bool:
        return self._seconds > 0

    def run(self, attempt: Callable[[], Answer]) -> Answer:
        """What *attempt* answers, once it does; its last error when the time is over."""
        end = time.monotonic() + self._seconds

        def fail(error: Exception) -> None:
            if time.monotonic() >= end:
                raise error

        pauses = ExponentialBackoff(cap=_LONGEST_PAUSE_SECONDS, base=_SHORTEST_PAUSE_SECONDS)
        return Retry(pauses, _FOR_EVER, self._errors).call_with_retry(attempt, fail)
