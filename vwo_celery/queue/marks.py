"""Idempotency marks: what keeps a push that is sent twice from storing twice, and shows what was lost.

Place: words, in the producing process. Each push of k events carries the id of a mark and a number
that is k higher than at the push before it. The script remembers the last number of each mark for a
while: it stores nothing for one that it has seen, and where it has seen too little, Redis lost what
lies between. Neither generation's events carry an id that could serve. A mark that dies with its
process is forgotten by Redis, and what Redis lost under it goes unnoticed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from uuid import uuid4

import msgspec

from vwo_celery.forks import PerProcess

#: How long Redis keeps a mark after a push; the same as in lua/shared/mark.lua. A process that stores
#: little, such as one of many that live for one job each, costs memory for less long.
YOUNG_TTL_SECONDS = 3_600.0
OLD_TTL_SECONDS = 86_400.0
OLD_FROM_SEQUENCE = 100
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Mark(msgspec.Struct):
    """A producer's idempotency mark: one push at a time may be under way with it.

    Attributes:
        id: Its name.
        sequence: Events pushed with it, those of the push under way included.
        events: Events of the push under way.
        life: The life of the shard's state that it belongs to; see `Marks.renew`.
        sending: Sets a further sending of the push under way apart from those before, "" for the
            first; see `doubt`.
        used_at: When it was last given back, seconds of the clock of `Marks`.
    """

    id: str
    sequence: int = 0
    events: int = 0
    life: str = ""
    sending: str = ""
    used_at: float = 0.0

    def doubt(self) -> None:
        """Note that the push under way may be stored, or may yet be, before it is sent again.

        The next sending seals batches under names of its own: where Redis lost the first sending, a
        batch of the same name could hold other events, and would be forgotten with the first one's ack.
        """
        self.sending = f"r{uuid4().hex[:6]}"

    @property
    def in_doubt(self) -> bool:
        """Whether the push under way was sent before, and an earlier sending may still arrive."""
        return self.sending != ""

    @property
    def ttl_seconds(self) -> float:
        """How long Redis remembers it after a push."""
        return YOUNG_TTL_SECONDS if self.sequence < OLD_FROM_SEQUENCE else OLD_TTL_SECONDS


def uptime_seconds() -> float:
    """A clock that never steps back, and goes on while the machine sleeps, as Redis' expiry does."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


class Marks:
    """The marks of this process for one shard; safe under threads and greenlets.

    A mark goes back only after a push whose fate is known. After a fork the child starts with none
    of its parent's, since both would count on from the same number.

    Args:
        clock: Seconds, from any start.
    """

    def __init__(self, clock: Callable[[], float] = uptime_seconds) -> None:
        self._free: PerProcess[deque[Mark]] = PerProcess(deque)
        self._clock = clock
        self._life = ""

    @property
    def life(self) -> str:
        """The life of the shard's state that these marks belong to; "" before the first one."""
        return self._life

    def renew(self, life: str) -> None:
        """Begin again with new marks, if *life* is another one.

        A shard's state gets a new life where Redis had forgotten it. Under marks from before, all
        that was ever pushed would count as lost.
        """
        if life != self._life:
            self._life, self._free = life, PerProcess(deque)

    def take(self, events: int) -> Mark:
        """A mark with its sequence raised for a push of so many events."""
        mark = self._free_one() or Mark(uuid4().hex[:12], life=self._life)
        mark.sequence += events
        mark.events = events
        return mark

    def _free_one(self) -> Mark | None:
        """The mark that went back last and that Redis will not forget soon; the others are given up."""
        free = self._free.get()
        while True:
            try:
                mark = free.pop()
            except IndexError:
                return None
            if self._clock() - mark.used_at < mark.ttl_seconds / 2:
                return mark

    def give_back(self, mark: Mark) -> None:
        """Let the next push use it: what it was taken for is stored."""
        if mark.life == self._life:
            mark.sending, mark.used_at = "", self._clock()
            self._free.get().append(mark)

    def give_back_unused(self, mark: Mark) -> None:
        """Let the next push use it: nothing was stored under it, nor will be.

        Where a sending may still arrive, the mark is given up: the next push would be taken for it.
        """
        mark.sequence -= mark.events
        if mark.sequence and mark.life == self._life and not mark.in_doubt:
            self._free.get().append(mark)


def push_token(mark: Mark) -> str:
    """Name of the first batch that a push may seal; also the stem of its wake-up tokens."""
    return f"{mark.id}.{mark.sequence:08d}{mark.sending}"
