"""VWO's stand-in, noting of each event every batch that it was accepted with.

What counts is acceptance, not the answer: an event whose answer was lost on its way is VWO's, and
when it comes again it is a duplicate. Which answers were lost is noted, since only those excuse one.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from vwo_celery.testing.standin import Fault, Request, Standin
from vwo_celery.testing.standin.faults import FaultLike
from vwo_celery.testing.standin.rules import Answer, is_batch

Choice = Callable[[Request], FaultLike]


class Acceptance(NamedTuple):
    """One event taken once: with which request, and whether the answer was sent in full."""

    request: int
    answered: bool


class _Named(msgspec.Struct):
    u: str


_NAME = msgspec.json.Decoder(_Named)


class Vendor(Standin):
    """A stand-in that misbehaves as long as it is told to, and remembers what it took of whom.

    Args:
        latency_seconds: How long every batch request takes at least.
    """

    def __init__(self, latency_seconds: float = 0.0) -> None:
        super().__init__(faults=self._choose, latency_seconds=latency_seconds, record=False)
        self.misbehave: Choice | None = None
        self.in_hand = 0
        self.asked: dict[str, int] = defaultdict(int)
        self._taken: dict[str, dict[str, list[Acceptance]]] = defaultdict(dict)
        self._lock = threading.Lock()

    def behave(self) -> None:
        """Answer well again."""
        self.misbehave = None

    def answer(self, request: Request) -> tuple[Answer, Fault]:
        """Answer as the stand-in does, and note the accepted events."""
        if not is_batch(request.path):
            return super().answer(request)
        account = request.query.get("a", "")
        with self._lock:
            self.in_hand += 1
            self.asked[account] += 1
            number = self.asked[account]
        try:
            answer, fault = super().answer(request)
        finally:
            with self._lock:
                self.in_hand -= 1
        self._note(account, answer, Acceptance(number, fault.connection is None))
        return answer, fault

    def taken(self, account: str) -> dict[str, list[Acceptance]]:
        """Name of each event of *account* that was accepted, with every acceptance of it."""
        with self._lock:
            return {name: list(times) for name, times in self._taken[account].items()}

    def names(self, account: str) -> frozenset[str]:
        """Names of the events of *account* that were accepted."""
        with self._lock:
            return frozenset(self._taken[account])

    def took(self, account: str) -> int:
        """Number of different events of *account* that were accepted."""
        return len(self._taken[account])

    def forget(self, account: str) -> None:
        """Give back the memory that *account* takes."""
        with self._lock:
            self._taken.pop(account, None)

    def _choose(self, request: Request) -> FaultLike:
        return None if self.misbehave is None else self.misbehave(request)

    def _note(self, account: str, answer: Answer, acceptance: Acceptance) -> None:
        names = [_NAME.decode(event).u for event in answer.events]
        with self._lock:
            taken = self._taken[account]
            for name in names:
                taken.setdefault(name, []).append(acceptance)
