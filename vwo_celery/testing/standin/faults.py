"""Faults that a test plans for the requests to come.

No I/O in here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from vwo_celery.testing.standin.rules import Answer, Request

Connection = Literal["reset", "hang", "cut", "trickle"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Another answer to one request to a batch endpoint.

    Args:
        status: Status instead of the rules' own; None leaves it to the rules.
        headers: Added to the answer's headers; they win over those of the same name.
        body: Body instead of the JSON that goes with the status.
        delay_seconds: Pause before the answer.
        connection: "reset" answers with a TCP reset, "hang" never answers, "cut" ends in the
            middle of the body, "trickle" sends the answer a byte at a time.
        trickle_seconds: Pause between two bytes of a trickled answer.
        accepted: Whether the events count as taken; None: if the status is 2xx and the connection
            is not "reset" or "hang". True with "reset" is an answer that was lost on its way.
    """

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    delay_seconds: float = 0.0
    connection: Connection | None = None
    trickle_seconds: float = 0.2
    accepted: bool | None = None

    def apply(self, answer: Answer) -> Answer:
        """The answer in place of *answer*, with the events that count as taken."""
        taken = self.accepted
        if taken is None:
            taken = self._is_success(answer) and self.connection not in ("reset", "hang")
        changed = answer
        if self.status is not None and self.status != answer.status:
            changed = Answer.of(self.status, {"message": "as the test asked"})
        if self.body is not None:
            changed = msgspec.structs.replace(changed, body=self.body)
        headers = {name.lower(): (name, value) for name, value in (*changed.headers, *self.headers)}
        return msgspec.structs.replace(
            changed,
            headers=tuple(headers.values()),
            events=answer.events if taken else (),
            times=answer.times if taken else (),
        )

    def _is_success(self, answer: Answer) -> bool:
        return 200 <= (answer.status if self.status is None else self.status) < 300


#: A status, a connection's fate, a whole Fault, or None for no fault.
FaultLike = Fault | int | Connection | None
Faults = Iterable[FaultLike] | Callable[[Request], FaultLike]

_NONE = Fault()


class FaultPlan:
    """The planned faults; safe under threads."""

    def __init__(self, faults: Faults) -> None:
        self._choose = faults if callable(faults) else None
        self._queued = deque(() if callable(faults) else faults)
        self._lock = threading.Lock()

    def add(self, *faults: FaultLike) -> None:
        """Queue faults for the requests after those already planned."""
        with self._lock:
            self._queued.extend(faults)

    def clear(self) -> None:
        """Drop the queued faults."""
        with self._lock:
            self._queued.clear()

    def take(self, request: Request) -> Fault:
        """The fault for *request*: queued ones first, in order, then the function's."""
        with self._lock:
            queued = self._queued.popleft() if self._queued else _NONE
        if queued is _NONE and self._choose is not None:
            queued = self._choose(request)
        return _as_fault(queued)


def _as_fault(given: FaultLike) -> Fault:
    if given is None:
        return _NONE
    if isinstance(given, Fault):
        return given
    if isinstance(given, int):
        return Fault(status=given)
    return Fault(connection=given)
