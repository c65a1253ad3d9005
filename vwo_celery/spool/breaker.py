"""The breaker: while Redis is in trouble, calls go straight to this host's disk.

Beside stage 1; pure, with the clock passed in. Without it, every call would wait for the full
timeout as long as Redis is away. All queues of one Redis in a process share one breaker, so fifty
queues do not wait fifty times; in a Cluster there is one for each part, so that a part that is away
takes no event of another to the disk. A drainer closes it; if no drainer runs, an occasional
request tests Redis. A process that dies loses only the switch: the next one starts with a closed
breaker.
"""

from __future__ import annotations

import random

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0
#: Silence in seconds after which a drainer counts as not running.
DRAINER_SILENCE_SECONDS = 15.0


class Breaker:
    """A switch towards Redis. A thread already waiting when it opens may still wait one timeout.

    Attributes:
        is_open: Whether calls skip Redis and go to the spool.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._probe_at = 0.0
        self._failures = 0

    def open(self, now: float) -> None:
        """Skip Redis from now on, since it failed."""
        self._failures = self._failures + 1 if self.is_open else 1
        self._probe_at = max(self._probe_at, now + longest_pause_seconds(self._failures))
        self.is_open = True

    def close(self) -> None:
        """Let every call ask Redis again, since it works."""
        self.is_open, self._failures, self._probe_at = False, 0, 0.0

    def leave_to_drainer(self, now: float) -> None:
        """Hold back requests from testing Redis, since a drainer does it now."""
        self._probe_at = max(self._probe_at, now + DRAINER_SILENCE_SECONDS)

    def may_probe(self, now: float) -> bool:
        """Whether this one call may ask Redis although the breaker is open."""
        if now < self._probe_at:
            return False
        self._probe_at = now + longest_pause_seconds(self._failures + 1)
        return True


class Breakers:
    """The breakers of one Redis: one for a single server, one for each part of a Cluster.

    Attributes:
        common: That of a single server, and of shards whose part is not known.
    """

    def __init__(self) -> None:
        self.common = Breaker()
        self._parts: dict[str, Breaker] = {"": self.common}

    def at(self, part: str) -> Breaker:
        """The breaker of a part, "" for a single server."""
        return self._parts.get(part) or self._parts.setdefault(part, Breaker())

    def open_parts(self) -> list[str]:
        """The parts whose breakers are open."""
        return [part for part, breaker in list(self._parts.items()) if breaker.is_open]


def longest_pause_seconds(failures: int) -> float:
    """Return the longest pause after this many failures in a row, 1 and up."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 30))


def pause_seconds(failures: int) -> float:
    """Return a random pause, half to all of the longest: processes then do not ask all at once."""
    return longest_pause_seconds(failures) * random.uniform(0.5, 1.0)
