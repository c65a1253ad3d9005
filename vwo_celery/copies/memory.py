"""The copies of settings that this process has in memory, and the refusals that it has just heard.

They spare Redis the bytes, and serve where Redis is away. Both are bounded, in number and in bytes, and
by account and key, so that queries without end drive out no copy that is in use. Gone with the process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

import msgspec

from vwo_celery.queue.records.copies import GIVES_WAY_MS, KEPT_MS, MOST_COPIES, CopyName
from vwo_celery.sending.wanted import Fetched

#: Most bytes of all copies.
_MOST_BYTES: Final = 64_000_000
#: How long a refusal is remembered, most of them, and the longest that is.
_REFUSED_SECONDS: Final = 10.0
_MOST_REFUSALS: Final = 1_000
_MOST_REFUSAL_BYTES: Final = 4_096


class Copy(msgspec.Struct, frozen=True):
    """One copy.

    Attributes:
        content_type: As VWO sent it.
        body: The settings, as VWO sent them.
        at_ms: Unix ms, by Redis' time, at which it was fetched; 0 if Redis did not take it.
        born: Seconds, by `clocks.monotonic`, at which it was fetched.
    """

    content_type: str
    body: bytes
    at_ms: int
    born: float

    def age_seconds(self, now: float) -> float:
        """Its age at a time by `clocks.monotonic`."""
        return max(0.0, now - self.born)


class Memory:
    """Copies and refusals by name. Safe under threads; times are those of `clocks.monotonic`."""

    def __init__(self) -> None:
        self._copies: OrderedDict[CopyName, Copy] = OrderedDict()  # the one used last stands last
        self._bytes = 0
        self._refusals: OrderedDict[CopyName, tuple[float, Fetched]] = OrderedDict()
        self._lock = threading.Lock()

    def copy(self, name: CopyName, now: float) -> Copy | None:
        """The copy of that name; None if there is none, or it is too old to be used."""
        with self._lock:
            copy = self._copies.get(name)
            if copy is None:
                return None
            if 1000 * copy.age_seconds(now) >= KEPT_MS:
                self._drop(name)
                return None
            self._copies.move_to_end(name)
            return copy

    def keep(self, name: CopyName, copy: Copy) -> None:
        """Keep a copy in place of an older one, if there is room."""
        with self._lock:
            self._drop(name)
            if not self._has_room_beside(name, copy):
                return
            self._copies[name] = copy
            self._bytes += len(copy.body)
            while self._bytes > _MOST_BYTES:
                self._drop(next(iter(self._copies)))

    def _has_room_beside(self, name: CopyName, new: Copy) -> bool:
        """Make room among the copies of one account and key; False if all of them are in use."""
        others = [each for each in self._copies if each.whose == name.whose]
        if len(others) < MOST_COPIES:
            return True
        oldest = min(others, key=lambda each: self._copies[each].born)
        if 1000 * (new.born - self._copies[oldest].born) < GIVES_WAY_MS:
            return False
        self._drop(oldest)
        return True

    def _drop(self, name: CopyName) -> None:
        dropped = self._copies.pop(name, None)
        if dropped is not None:
            self._bytes -= len(dropped.body)

    def refusal(self, name: CopyName, now: float) -> Fetched | None:
        """What VWO answered to the same question a moment ago, if it refused."""
        with self._lock:
            until, refusal = self._refusals.get(name, (0.0, None))
            return refusal if now < until else None

    def note_refusal(self, name: CopyName, refusal: Fetched, now: float) -> None:
        """Remember a refusal for a moment."""
        if len(refusal.body) > _MOST_REFUSAL_BYTES:
            return
        with self._lock:
            self._refusals.pop(name, None)
            self._refusals[name] = (now + _REFUSED_SECONDS, refusal)
            while len(self._refusals) > _MOST_REFUSALS:
                self._refusals.popitem(last=False)

    def forget_refusal(self, name: CopyName) -> None:
        """Forget a refusal: VWO answers now."""
        with self._lock:
            self._refusals.pop(name, None)
