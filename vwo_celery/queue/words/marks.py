"""Idempotency marks: a push that is sent twice is stored once, and lost pushes are noticed.

Stage 1 of an event's way, in the producing process. Each push of k events carries the id of a mark
and a number that is k higher than that of the push before. The script remembers the last number of
each mark for a while: a number that it has seen stores nothing, and a gap is what Redis lost. The
events of neither generation carry an id that could serve instead. If the process dies, Redis
forgets its marks after a while, and events that Redis lost under them go unnoticed.

A clone of this process (see `forks`) counts on from the same number. So each push also has a nonce,
which Redis keeps with the number: the same number with another nonce is a clone's push. Whoever
comes second is told so, and takes new marks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from os import getpid
from uuid import uuid4

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.forks import unshared_number
from vwo_celery.queue.words.keys import new_token

#: Time for which Redis keeps a mark after a push by enqueue.lua, as in lua/shared/mark.lua: shorter
#: for a process that has stored few events, since there may be many that live for one job each.
YOUNG_TTL_SECONDS = 3_600.0
OLD_TTL_SECONDS = 86_400.0
#: Events stored under a mark from which it is kept for longer.
OLD_FROM_SEQUENCE = 100
#: Share of its life after which a mark is not used any more, and after which only enqueue.lua stores
#: under it, which gives it a new life. So Redis keeps it for a half of its life after every push: as
#: long as a push is repeated without asking whether the mark is still there.
_USED_FOR, _APPENDS_FOR = 1 / 2, 1 / 4
#: Zeros between the point and the nonce: with them it is too small to change a number of Lua's.
_ZEROS = 18 * "0"
_NONCE_MASK = 2**48 - 1
#: Time for which a random part of nonces is used again, ns; far shorter than a clone needs to start.
_DRAW_NS = 1_000_000
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Mark(msgspec.Struct):
    """A producer's idempotency mark; at most one push at a time uses it.

    Attributes:
        id: Its name.
        sequence: Events pushed under it, including the push under way.
        events: Number of events of the push under way.
        life: The shard's life that it belongs to; see `Marks.renew`.
        sending: Name of a repeated sending of the push under way, "" for the first; see `doubt`.
        stored: The number that Redis keeps under it; "" before the first push.
        renewed_at: Time at which a push last gave it a new time to live, seconds of the clock of `Marks`.
        renewed_ns: The same as a date, Unix ns.
        appends: Whether it lives long enough for the push under way to be sent by append.lua, which
            gives it no new time to live.
        nonce: Digits that tell the push under way from one of a clone; "" for a page that a spool has
            marked, under a mark that nobody else has.
        taken_ns: Time at which it was last taken, Unix ns.
        append_start: What a shard keeps for it: the packed start of the command that appends.
    """

    id: str
    sequence: int = 0
    events: int = 0
    life: str = ""
    sending: str = ""
    stored: str = ""
    renewed_at: float = 0.0
    renewed_ns: int = 0
    appends: bool = False
    nonce: str = ""
    taken_ns: int = 0
    append_start: bytes = b""

    @property
    def number(self) -> str:
        """The sequence with the nonce, as the scripts compare it; they count with it as with the
        sequence.
        """
        return f"{self.sequence}.{_ZEROS}{self.nonce}" if self.nonce else f"{self.sequence}"

    def doubt(self) -> None:
        """Note, before a repeat, that an earlier sending may be stored or may still arrive.

        The repeat seals batches under names of its own. Should Redis lose the first sending, a
        batch of the same name could hold other events, and the first one's ack would delete it.
        """
        self.sending = f"r{uuid4().hex[:6]}"

    @property
    def in_doubt(self) -> bool:
        """Whether an earlier sending of the push under way may still arrive."""
        return self.sending != ""

    @property
    def ttl_seconds(self) -> float:
        """Time for which Redis remembers it after a push by enqueue.lua."""
        return YOUNG_TTL_SECONDS if self.sequence < OLD_FROM_SEQUENCE else OLD_TTL_SECONDS


def uptime_seconds() -> float:
    """Seconds that never step back and go on while the machine sleeps, as Redis' expiry does."""
    return monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


class Marks:
    """The marks of this process for one shard; safe under threads and greenlets.

    A mark is given back only when the fate of its push is known. A forked child starts without its
    parent's marks, since both would count on from the same number.

    Args:
        clock: Seconds, from any start.
    """

    __slots__ = ("_clock", "_drawn_ns", "_free", "_life", "_part", "_process")

    def __init__(self, clock: Callable[[], float] = uptime_seconds) -> None:
        self._free: list[Mark] = []
        self._process = 0  # whose they are; 0 before the first
        self._clock = clock
        self._part = self._drawn_ns = 0  # the random part of nonces, and when it was drawn
        self._life = ""

    @property
    def life(self) -> str:
        """The shard's life that these marks belong to; "" before the first."""
        return self._life

    def renew(self, life: str) -> None:
        """Start with new marks if *life* is another one.

        A shard gets a new life when Redis has forgotten it. Under older marks, everything that was
        ever pushed would count as lost.
        """
        if life != self._life:
            self._life, self._free = life, []

    def take(self, events: int) -> Mark:
        """Take a mark, its sequence raised for a push of *events* events."""
        now = time.time_ns()
        mark = self._free_one(now, events) or Mark(new_token(), life=self._life)
        mark.sequence += events
        mark.events = events
        mark.taken_ns = now
        if not 0 <= now - self._drawn_ns < _DRAW_NS:
            self._part, self._drawn_ns = unshared_number(), now
        mark.nonce = str((now ^ self._part) & _NONCE_MASK)
        return mark

    def _free_one(self, now: int, events: int) -> Mark | None:
        """The mark given back last, unless Redis may forget it soon; older ones are given up.

        The date counts too: a clone's clock may have stood still while its snapshot lay.
        """
        free = self._own()
        while True:
            try:
                mark = free.pop()
            except IndexError:
                return None
            age = max(self._clock() - mark.renewed_at, (now - mark.renewed_ns) / 1e9)
            ttl = mark.ttl_seconds
            if age < _USED_FOR * ttl:
                grows_old = mark.sequence < OLD_FROM_SEQUENCE <= mark.sequence + events
                mark.appends = age < _APPENDS_FOR * ttl and not grows_old
                return mark

    def _own(self) -> list[Mark]:
        """This process' free marks. Threads that ask first may each make a list: marks in another's
        are given up.
        """
        if self._process != getpid():
            self._free = []
            self._process = getpid()
        return self._free

    def give_back(self, mark: Mark) -> None:
        """Let the next push use the mark: its push is stored."""
        if mark.life == self._life:
            mark.sending, mark.stored = "", mark.number
            self._own().append(mark)

    def give_back_pushed(self, mark: Mark, *, renewed: bool) -> None:
        """Let the next push use the mark: enqueue.lua answered that its push is stored.

        Args:
            mark: The mark.
            renewed: Whether this push has stored it, which gave the mark a new time to live.
        """
        if renewed:
            mark.renewed_at, mark.renewed_ns = self._clock(), mark.taken_ns
        self.give_back(mark)

    def start_afresh(self) -> None:
        """Give up all free marks, since a clone of this process uses them."""
        self._free = []

    def give_back_unused(self, mark: Mark) -> None:
        """Let the next push use the mark: nothing of its push is stored, nor will be.

        A mark is given up if a sending may still arrive, since the next push would be taken for it.
        """
        mark.sequence -= mark.events
        if mark.sequence and mark.life == self._life and not mark.in_doubt:
            self._own().append(mark)


def push_token(mark: Mark) -> str:
    """Name of the first batch that a push may seal; also the stem of its wake-up tokens."""
    return f"{mark.id}.{mark.sequence:08d}{mark.nonce}{mark.sending}"
