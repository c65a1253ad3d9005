"""Events delivered a second, from the counters of successive looks. Pure: nothing to lose."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

from vwo_celery.operating.looks.views import QueueView

#: Time over which a rate is taken, and most looks that are kept to be drawn.
_RATE_MS: Final = 10_000
_MOST_LOOKS: Final = 240


class Speeds(msgspec.Struct, frozen=True):
    """How fast events are delivered.

    Attributes:
        over_seconds: Time over which the rates are taken; 0 after a single look.
        queues: Events of each queue delivered a second; None where it is not known: after a single
            look, and where the counter fell, since Redis lost it or the queue was forgotten.
        looks: The rate and the waiting events of all queues at each look so far, the oldest first.
    """

    over_seconds: float = 0.0
    queues: Mapping[str, float | None] = {}
    looks: tuple[tuple[float | None, int], ...] = ()

    @property
    def of_all(self) -> float | None:
        """Events of all queues delivered a second; None if it is known of none."""
        return self.looks[-1][0] if self.looks else None


class Rates:
    """The counters of the looks of the last seconds."""

    def __init__(self) -> None:
        self._counters: deque[tuple[int, Mapping[str, int]]] = deque()
        self._looks: deque[tuple[float | None, int]] = deque(maxlen=_MOST_LOOKS)

    def note(self, now_ms: int, views: Mapping[str, QueueView]) -> Speeds:
        """Note one look, taken at Redis' time *now_ms*, and return the speeds."""
        if self._counters and now_ms < self._counters[-1][0]:
            self._counters.clear()  # Redis' clock stepped back
        delivered = {name: view.ledger.delivered for name, view in views.items()}
        self._counters.append((now_ms, delivered))
        while len(self._counters) > 2 and now_ms - self._counters[1][0] >= _RATE_MS:
            self._counters.popleft()
        queues = {name: self._rate(name) for name in delivered}
        known = [rate for rate in queues.values() if rate is not None]
        waiting = sum(view.undelivered for view in views.values())
        self._looks.append((sum(known) if known else None, waiting))
        return Speeds((now_ms - self._counters[0][0]) / 1000, queues, tuple(self._looks))

    def _rate(self, queue: str) -> float | None:
        (first_ms, before), (last_ms, after) = self._counters[0], self._counters[-1]
        if last_ms <= first_ms or queue not in before:
            return None
        grown = after[queue] - before[queue]
        return None if grown < 0 else 1000 * grown / (last_ms - first_ms)
