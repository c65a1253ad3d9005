"""A bound on guessing: an address that fails too often is not listened to for a while.

In this process's memory; if it dies, failures are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock
from typing import Final

from vwo_celery.clocks import monotonic

#: So many failures within so long are borne.
MOST_FAILURES: Final = 10
WINDOW_SECONDS: Final = 60.0
#: Addresses that are remembered, those that failed last.
_MOST_ADDRESSES: Final = 4096


class Throttle:
    """The failures of each address.

    Args:
        clock: Tells the time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """How long an address is not listened to; 0 if it is."""
        with self._lock:
            failed = self._failed.get(address)
            if failed is None or len(failed) < MOST_FAILURES:
                return 0.0
            return max(0.0, failed[0] + WINDOW_SECONDS - self._clock())

    def note(self, address: str) -> None:
        """Note that somebody at an address has guessed wrong."""
        with self._lock:
            failed = self._failed.setdefault(address, deque(maxlen=MOST_FAILURES))
            failed.append(self._clock())
            self._failed.move_to_end(address)
            while len(self._failed) > _MOST_ADDRESSES:
                self._failed.popitem(last=False)
