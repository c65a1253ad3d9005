"""The counts of a shadowed SDK in one process, and their way to Redis; no event is stored or sent.

Beside stage 1 of an event's way. An adapter notes each event twice: where our hook sees it, and where
the SDK's own request with it has succeeded. A thread sums the notes up, looks what the SDK holds at
that moment, and adds all to the counters in Redis every two seconds; the rest follows when the process
ends. What is told at one time is of one moment, as far as a few looks find one: then everything that
the hook saw was sent, lost or is held.

Nothing here raises or waits for a lock, since it runs inside an application's calls. A forked child
begins with no counts, and with what its SDK inherited. If the process is killed, the counts of its last
seconds are missing, on both sides alike.
"""

from __future__ import annotations

import atexit
import socket
import threading
import time
import weakref
from _thread import RLock  # in C, also under gevent: see `logs`
from collections import deque
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from sys import is_finalizing
from typing import Any, Final, Protocol

from vwo_celery.clocks import monotonic
from vwo_celery.connections import shared_client, twin_of
from vwo_celery.errors import EventError, QueueUnavailable
from vwo_celery.events import encode
from vwo_celery.forks import PerProcess
from vwo_celery.logs import log, log_surprise
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.shadows import (
    KINDS,
    MOST_ROWS,
    NOTHING,
    OTHERS,
    RowName,
    State,
    Sum,
    Sums,
    Told,
    add_counts,
    difference,
)
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.keys import new_token
from vwo_celery.settings import Settings

#: Time between two calls that tell Redis what was counted, and between two without anything new.
TELL_EVERY_SECONDS: Final = 2.0
SIGN_OF_LIFE_SECONDS: Final = 10.0
#: Longest wait for one answer of Redis, where no request waits.
_ANSWER_TIMEOUT_SECONDS: Final = 2.0
#: Notes that are kept before they are summed up.
_MOST_NOTES: Final = 10_000
#: Looks for a moment at which all counts agree, and the pause between two.
_LOOKS, _LOOK_SECONDS = 20, 0.005
#: Share of its time that the thread may spend on looking at what an SDK holds.
_MOST_SHARE: Final = 0.02
_PLACES: Final = {kind: place for place, kind in enumerate(KINDS)}

#: One event as it is counted: its row, and the halves of its content's digest.
Seen = tuple[RowName, Sum]


class Holding(Protocol):
    """What knows the events that an SDK has taken and not sent yet."""

    def held(self) -> Iterable[Seen]:
        """The events in its memory and in its requests, now, in this process."""


def content(event: Any) -> tuple[bytes, bool]:
    """The bytes by which two events count as the same, and whether a batch can carry the event.

    They are what `attach` would enqueue, or of an event that no batch can carry its representation.
    """
    try:
        return encode(event), True
    except EventError:
        return repr(event).encode("utf-8", "backslashreplace"), False


def seen(name: RowName, encoded: bytes) -> Seen:
    """One event, to be noted."""
    digest = int(blake2b(encoded, digest_size=8).hexdigest(), 16)
    return name, Sum(1, digest & 0xFFFFFFFF, digest >> 32)


class _Counts:
    """What one process has counted.

    Attributes:
        lock: Never waited for, but at the end of the process.
        notes: Single events and their kind; adding one is one step, and so needs no lock.
        sums: All that was counted, by row.
        told: What of it Redis has.
        sent: The call whose answer did not come, and what Redis then has.
        calls: Number of calls.
        since_ms: When the counters in Redis began, 0 if that is not known.
        told_at: When the last call was made, by `clocks.monotonic`.
        missing: What the last look found neither sent, nor lost, nor held.
        thread: Holds something once the thread that tells was started.
    """

    def __init__(self, inherited: Iterable[Seen] = ()) -> None:
        self.lock = RLock()
        self.name, self.host = new_token(), socket.gethostname()
        self.notes: deque[tuple[str, Seen]] = deque()
        self.sums: dict[RowName, Sums] = {}
        self.told: dict[RowName, Sums] = {}
        self.sent: tuple[Told, dict[RowName, Sums]] | None = None
        self.calls = self.since_ms = 0
        self.told_at = 0.0
        self.missing: dict[RowName, Sum] = {}
        self.thread: dict[str, object] = {}
        for each in inherited:
            self.notes.append(("inherited", each))

    def sum_up(self) -> None:
        """Add the notes to the sums; the caller holds the lock."""
        while True:
            try:
                kind, (name, one) = self.notes.popleft()
            except IndexError:
                return
            self.add(self.sums, kind, name, one)

    @staticmethod
    def add(sums: dict[RowName, Sums], kind: str, name: RowName, one: Sum) -> None:
        """Add events of one kind to a row; beyond MOST_ROWS to that of the others."""
        had = sums.get(name)
        if had is None:
            if len(sums) >= MOST_ROWS:
                name = OTHERS
            had = sums.get(name, NOTHING)
        place = _PLACES[kind]
        sums[name] = (*had[:place], had[place].plus(one), *had[place + 1 :])


class Shadower:
    """Counts what shadowed clients send in this process, and tells Redis. Made by `shadower_of`.

    Args:
        settings: Where Redis is.
        client: A Redis client that the application gave instead of a URL.

    Attributes:
        failures: Events of which the shadow could make nothing, in this process and its parents.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        # Opened now, though nothing is connected: what a client imports at its making, a fork in the
        # middle of that would leave half imported to the child.
        self._fleets = {
            "runs": _open_fleet(settings, client, _ANSWER_TIMEOUT_SECONDS),
            "ended": _open_fleet(settings, client, settings.enqueue_timeout_seconds),
        }
        self._holdings: list[Holding] = []
        self._counts = PerProcess(lambda: _Counts(self._held()))  # in a forked child
        self._counts.set(_Counts())
        self.failures = 0
        script("shadow")  # read now: when the interpreter ends, no file may be found any more
        _shadowers.add(self)

    def watch(self, holding: Holding) -> None:
        """Look at what *holding* holds from now on; it holds nothing that was not noted."""
        self._counts.get()
        self._holdings.append(holding)

    def note(self, kind: str, event: Seen) -> None:
        """Count one event of a kind of `records.shadows.KINDS`; never waits."""
        counts = self._counts.get()
        counts.notes.append((kind, event))
        if len(counts.notes) > _MOST_NOTES and counts.lock.acquire(blocking=False):
            try:
                counts.sum_up()
            finally:
                counts.lock.release()
        if not counts.thread:
            self._start(counts)

    def failed(self, exc: Exception) -> None:
        """Count an event of which the shadow could make nothing, and say so now and then."""
        self.failures += 1
        log_surprise(exc, "an event of a shadowed SDK is missing in the shadow's counts")

    def _start(self, counts: _Counts) -> None:
        me = object()
        if is_finalizing() or counts.thread.setdefault("tells", me) is not me:
            return
        thread = threading.Thread(target=self._run, name="vwo-celery-shadow", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # no more threads: the end of the process tells
            log.warning("the shadow's counts are told when this process ends: %s", exc)

    def _run(self) -> None:
        spent_seconds = 0.0
        while True:
            time.sleep(max(TELL_EVERY_SECONDS, spent_seconds / _MOST_SHARE))
            began = time.thread_time()
            self.tell()
            spent_seconds = time.thread_time() - began

    def tell(self, *, ends: bool = False) -> None:
        """Add what was counted to the counters in Redis; a failure is left for later.

        Args:
            ends: Whether the process ends.
        """
        try:
            counts = self._counts.get()
            if not counts.lock.acquire(blocking=ends):
                return
            try:
                self._tell(counts, "ended" if ends else "runs")
            finally:
                counts.lock.release()
        except QueueUnavailable as exc:
            log.debug("the shadow's counts are told later: %s", exc)
        except Exception as exc:
            log_surprise(exc, "the shadow's counts are told later")

    def _tell(self, counts: _Counts, state: State) -> None:
        while True:
            is_new = counts.sent is None
            if is_new:
                self._compose(counts, state)
            if counts.sent is None:
                return
            (told, afterwards), counts.told_at = counts.sent, monotonic()
            answer = add_counts(self._fleets[state], told)
            counts.sent, counts.since_ms = None, answer.since_ms
            counts.told = afterwards if answer.counted else _begun_anew(counts.told)
            if is_new and answer.counted:
                return

    def _compose(self, counts: _Counts, state: State) -> None:
        """Prepare a call, unless there is nothing to say."""
        now = self._look(counts)
        rows = {
            name: tuple(a.plus(b, -1) for a, b in zip(sums, before, strict=True))
            for name, sums in now.items()
            if sums != (before := counts.told.get(name, NOTHING))
        }
        silent_seconds = monotonic() - counts.told_at
        if not rows and not (
            counts.calls and (state == "ended" or silent_seconds >= SIGN_OF_LIFE_SECONDS)
        ):
            return
        counts.calls += 1
        held = sum(sums[_PLACES["held"]].events for sums in now.values())
        told = Told(counts.name, counts.host, counts.calls, counts.since_ms, held, state, rows)
        counts.sent = told, now

    def _look(self, counts: _Counts) -> dict[RowName, Sums]:
        """All that was counted, and what the SDK holds, of one moment if a few looks find one.

        An event on its way from the SDK's list to its request is in neither. If the same is missing
        again, nothing is on its way.
        """
        for _ in range(_LOOKS):
            counts.sum_up()
            now = dict(counts.sums)
            for name, one in self._held():
                counts.add(now, "held", name, one)
            missing = {
                name: left for name, sums in now.items() if (left := difference(sums)).events
            }
            if missing == counts.missing:
                break
            time.sleep(_LOOK_SECONDS)
        counts.missing = missing
        return now

    def _held(self) -> list[Seen]:
        return [each for holding in list(self._holdings) for each in holding.held()]

    def tell_at_exit(self) -> None:
        """Tell what is left as this process ends, in one attempt."""
        counts = self._counts.peek()
        if counts is not None and (counts.calls or counts.notes or counts.sums):
            self.tell(ends=True)


def _open_fleet(settings: Settings, client: Any, timeout_seconds: float) -> Fleet:
    if client is None:
        opened = shared_client(settings.redis_url, timeout_seconds=timeout_seconds)
    else:
        opened = twin_of(client, timeout_seconds=timeout_seconds)
    return Fleet(opened, settings.namespace)


def _begun_anew(told: Mapping[RowName, Sums]) -> dict[RowName, Sums]:
    """What Redis has of a process after a reset: nothing, but that its hook saw what was held."""
    hooked, held = _PLACES["hooked"], _PLACES["held"]
    begun = {}
    for name, sums in told.items():
        changed = list(sums)
        changed[hooked] = sums[hooked].plus(sums[held], -1)
        changed[held] = Sum()
        begun[name] = tuple(changed)
    return begun


_shadowers: Final[weakref.WeakSet[Shadower]] = weakref.WeakSet()
_by_redis: Final[dict[tuple[object, ...], Shadower]] = {}


def shadower_of(settings: Settings, client: Any = None) -> Shadower:
    """The one shadower of this process for a Redis and a namespace.

    Args:
        settings: Where Redis is.
        client: The client that was given instead of a URL.
    """
    key = (settings.redis_url, settings.namespace, id(client))
    found = _by_redis.get(key)
    return found if found is not None else _by_redis.setdefault(key, Shadower(settings, client))


@atexit.register
def _tell_all() -> None:
    for shadower in list(_shadowers):
        shadower.tell_at_exit()
