"""Times in which Redis cannot be used, as a worker's log tells them.

A worker that cannot use Redis tries again every second. Its log has a line when that begins, with what
is wrong and what to do; one a minute, with since when; and one when it is over. Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable

from vwo_celery.clocks import monotonic
from vwo_celery.connections.troubles import remedy_of
from vwo_celery.logs import SeldomLog, log
from vwo_celery.text.amounts import span
from vwo_celery.text.moments import since


class Absence:
    """One worker's view of Redis; for one thread.

    Args:
        clock: Seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._began: float | None = None
        self._seldom = SeldomLog(clock=clock)

    def note(self, exc: Exception) -> None:
        """Note that Redis could not be used, and say so, seldom."""
        if self._began is None:
            self._began, self._seldom = self._clock(), SeldomLog(clock=self._clock)
        self._seldom.warn(
            "away",
            "Redis cannot be used %s: %s; %s. Events are kept in it and in the applications' spools; "
            "this worker goes on by itself",
            since(self._clock() - self._began), exc, remedy_of(exc),
        )  # fmt: skip

    def end(self) -> None:
        """Note that Redis can be used; say so if it could not."""
        if self._began is not None:
            log.info("Redis can be used again, after %s", span(self._clock() - self._began))
            self._began = None
