"""VWO's stand-in, which records every batch with which it accepted an event.

Acceptance counts, not the answer: an event whose answer was lost is accepted, and its repeat is a
duplicate. Lost answers are recorded, since only those excuse a duplicate.
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
    """One acceptance of an event: the request, and whether the answer was sent in full."""

    request: int
    answered: bool


class _Inner(msgspec.Struct, rename="camel"):
    vis_id: str


class _Named(msgspec.Struct):
    u: str = ""
    d: _Inner | None = None


_NAME = msgspec.json.Decoder(_Named)


def name_of(event: bytes) -> str:
    """The name of an event of either generation."""
    named = _NAME.decode(event)
    return named.u if named.d is None else named.d.vis_id


class Vendor(Standin):
    """A stand-in that misbehaves as told, and records what it accepted from each account.
    Args:
        latency_seconds: Shortest duration of a batch request.
    """

    def __init__(self, latency_seconds: float = 0.0) -> None:
        super().__init__(faults=self._choose, latency_seconds=latency_seconds, record=False)
        self.misbehave: Choice | None = None
        self.in_hand = 0
        self.asked: dict[str, int] = defaultdict(int)
        self._taken: dict[str, dict[str, list[Acceptance]]] = defaultdict(dict)
        self._lock = threading.Lock()

    def behave(self) -> None:
        """Answer normally again."""
        self.misbehave = None

    def answer(self, request: Request) -> tuple[Answer, Fault]:
        """Answer as the stand-in does, and record the accepted events."""
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
        """The accepted events of *account* by name, with every acceptance."""
        with self._lock:
            return {name: list(times) for name, times in self._taken[account].items()}

    def names(self, account: str) -> frozenset[str]:
        """The names of the accepted events of *account*."""
        with self._lock:
            return frozenset(self._taken[account])

    def took(self, account: str) -> int:
        """The number of different accepted events of *account*."""
        return len(self._taken[account])

    def forget(self, account: str) -> None:
        """Free the memory used for *account*."""
        with self._lock:
            self._taken.pop(account, None)

    def _choose(self, request: Request) -> FaultLike:
        return None if self.misbehave is None else self.misbehave(request)

    def _note(self, account: str, answer: Answer, acceptance: Acceptance) -> None:
        names = [name_of(event) for event in answer.events]
        with self._lock:
            taken = self._taken[account]
            for name in names:
                taken.setdefault(name, []).append(acceptance)
