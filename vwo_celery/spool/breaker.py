"""The breaker: while Redis is in trouble, calls go straight to this host's disk.

Place: words, no I/O; the clock is passed in. Without it every call would wait for the full timeout as
long as Redis is away. One breaker serves all queues of one Redis in a process, so that fifty queues do
not pay fifty times. A drainer closes it; where none is at work, a request now and then finds out. A
process that dies starts again with a closed one.
"""

from __future__ import annotations

import random

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0
#: A drainer that has not been heard of for so long does not run, whatever it was started for.
DRAINER_SILENCE_SECONDS = 15.0


class Breaker:
    """Open while Redis is left alone. Threads that are inside when it opens may each pay once.

    Attributes:
        is_open: Whether a call goes to the spool without asking Redis.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._probe_at = 0.0
        self._failures = 0

    def open(self, now: float) -> None:
        """Leave Redis alone from now on, since it failed."""
        self._failures = self._failures + 1 if self.is_open else 1
        self._probe_at = max(self._probe_at, now + longest_pause_seconds(self._failures))
        self.is_open = True

    def close(self) -> None:
        """Redis works: every call asks it again."""
        self.is_open, self._failures, self._probe_at = False, 0, 0.0

    def leave_to_drainer(self, now: float) -> None:
        """A drainer asks Redis now, so that no request need."""
        self._probe_at = max(self._probe_at, now + DRAINER_SILENCE_SECONDS)

    def may_probe(self, now: float) -> bool:
        """Whether this one call shall ask Redis although the breaker is open."""
        if now < self._probe_at:
            return False
        self._probe_at = now + longest_pause_seconds(self._failures + 1)
        return True


def longest_pause_seconds(failures: int) -> float:
    """The pause after so many failures in a row, 1 and up, before chance shortens it."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 30))


def pause_seconds(failures: int) -> float:
    """As long as that, or down to half of it, so that many processes do not ask as one."""
    return longest_pause_seconds(failures) * random.uniform(0.5, 1.0)
