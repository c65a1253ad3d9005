"""While it is in force, all queues of this process hand their events over to a test, not to Redis.

In place of stage 1 of an event's way, behind the encoding: what an event is, and what it may hold,
stays as in production. It replaces methods of the classes, so that it reaches each queue, whoever made
it and when, and so that applications without tests pay nothing for it. A process that the test starts
has its own classes, and is not diverted; a forked child is, and its events end with it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

from vwo_celery.errors import EventError, VwoCeleryError
from vwo_celery.logs import announce_drop
from vwo_celery.producing.producer import Producer
from vwo_celery.producing.queue import Queue, producer_of
from vwo_celery.producing.registrant import Registrant
from vwo_celery.queue.work.pushes import ALONE, Place
from vwo_celery.receipts import IN_REDIS, DrainResult, FlushResult, Receipt


class Taker(Protocol):
    """What takes the events of diverted queues; None of it leaves the answer to the next one."""

    def take(self, producer: Producer, encoded: Sequence[bytes]) -> Receipt | None:
        """Take events of a queue; their receipt."""

    def note_drop(self, producer: Producer, reason: str, count: int, detail: str) -> None:
        """Take note of events that the queue itself dropped, such as one that is no JSON."""

    def flush(self, producer: Producer) -> FlushResult | None:
        """Do what a flush of a queue is to do in this test; its result."""


class Undiverted(Producer):
    """A producer that no diversion reaches: with it, a test itself stores events in a Redis."""

    enqueue = Producer.enqueue
    store_page = Producer.store_page
    drop = Producer.drop
    is_registered = Registrant.is_registered


@contextmanager
def diverted_to(taker: Taker, *, first: bool = False) -> Iterator[None]:
    """Hand over what this process' queues enqueue, flush and drop, until the block ends.

    Args:
        taker: Who takes it. Where several are in force, all get all, and the first answer counts.
        first: Whether this one is asked before those that are in force.
    """
    with _lock:
        if not _takers:
            _replace()
        _takers.insert(0 if first else len(_takers), taker)
    try:
        yield
    finally:
        with _lock:
            _takers[:] = [each for each in _takers if each is not taker]
            if not _takers:
                _restore()


_lock = threading.Lock()
_takers: list[Taker] = []


class _DivertedProducer(Producer):
    """The ways by which events come in, of threads and of asyncio, as they are while diverted."""

    def enqueue(self, event: Any) -> Receipt:
        """Encode as usual, and hand over."""
        try:
            encoded = self.encode(event)
        except EventError as exc:
            return self.drop(exc.reason, 1, str(exc))
        return self.store_page((encoded,))

    def store_page(self, encoded: Sequence[bytes], place: Place = ALONE) -> Receipt:
        """Hand a page of events over."""
        told = [taker.take(self, encoded) for taker in list(_takers)]
        return next((receipt for receipt in told if receipt is not None), IN_REDIS)

    def drop(self, reason: str, count: int, detail: str) -> Receipt:
        """Count and announce as usual, but report it to no Redis."""
        self.fallback.dropped[reason] += count
        for taker in list(_takers):
            taker.note_drop(self, reason, count, detail)
        announce_drop(self.name, reason, count, detail)
        return Receipt(where="dropped", reason=reason)

    @property
    def is_registered(self) -> bool:
        """False: then asyncio's way hands its events to `store_page` as well."""
        return False


class _DivertedQueue(Queue):
    """What asks Redis or the disk about a queue, as it is while diverted."""

    def flush_events(self, timeout_seconds: float = 10.0) -> FlushResult:
        """Let the test flush."""
        told = [taker.flush(producer_of(self)) for taker in list(_takers)]
        return next((result for result in told if result is not None), FlushResult())

    def results(self, timeout_seconds: float | None = None) -> NoReturn:
        """Refuse: no worker reports any."""
        raise VwoCeleryError(
            f"a test has taken over queue {self.name}, so no worker reports results; connect to "
            "vwo_celery.signals, or read what vwo_inline.deliver() returns"
        )

    def spooled(self) -> int:
        """Nothing."""
        return 0

    def drain_spool(self, timeout_seconds: float = 5.0) -> DrainResult:
        """Nothing."""
        return DrainResult()


def _methods(diverted: type) -> dict[str, Any]:
    return {name: each for name, each in vars(diverted).items() if not name.startswith("__")}


_REPLACED = {Producer: _methods(_DivertedProducer), Queue: _methods(_DivertedQueue)}
_OWN = {kind: {name: vars(kind).get(name) for name in names} for kind, names in _REPLACED.items()}


def _replace() -> None:
    for kind, names in _REPLACED.items():
        for name, diverted in names.items():
            setattr(kind, name, diverted)


def _restore() -> None:
    for kind, names in _OWN.items():
        for name, own in names.items():
            if own is None:  # it is inherited
                delattr(kind, name)
            else:
                setattr(kind, name, own)
