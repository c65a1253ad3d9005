"""Bulk work: one change for each of many batches, paced, bounded, and stopped politely.

What is about to be changed is counted first. Only what was counted is changed: a batch that died
later, as one does that VWO refuses again, is left alone. Batches come one page at a time, so the
work needs no more memory for 100,000 of them. If the process dies here, the batches it has not come
to are as they were, and the same call goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Event
from typing import NamedTuple, Protocol

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.past.audit import Recording


class Amount(msgspec.Struct, frozen=True):
    """A number of batches, and of their events."""

    batches: int = 0
    events: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.batches + other.batches, self.events + other.events)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(max(0, self.batches - other.batches), max(0, self.events - other.events))


class Counted(msgspec.Struct, frozen=True):
    """What was about to be changed when somebody looked.

    Attributes:
        amount: How much that was.
        until_ms: Unix ms of the look; what died later was not counted.
        queues: The queues that it was in.
    """

    amount: Amount
    until_ms: int
    queues: tuple[str, ...] = ()

    def includes(self, batch: DeadBatch) -> bool:
        """Whether a batch was counted."""
        return batch.died_ms <= self.until_ms


def count_dead(found: Iterable[DeadBatch], now_ms: int) -> Counted:
    """Count dead letters, as `redrive` and `purge` take it.

    Args:
        found: The batches.
        now_ms: Redis' time before they were looked for.
    """
    batches = events = 0
    queues = set()
    for batch in found:
        if batch.died_ms <= now_ms:
            batches, events = batches + 1, events + batch.events
            queues.add(batch.queue)
    return Counted(Amount(batches, events), now_ms, tuple(sorted(queues)))


class Pace(msgspec.Struct, frozen=True):
    """How fast, and how far, bulk work may go.

    Attributes:
        rate: Most events a second; None for as fast as Redis allows. A batch is one step, whatever
            it holds.
        most: Most batches to change; None for all.
    """

    rate: float | None = None
    most: int | None = None


class Brake(Protocol):
    """What stops bulk work after the batch that it is at; a `threading.Event` is one."""

    def wait(self, timeout: float) -> bool:
        """Wait so long, 0 for not at all; True, at once, if the work shall stop."""


def _ignore(changed: Amount) -> None:
    """Follow nothing."""


class Order(NamedTuple):
    """A bulk change as somebody orders it.

    Attributes:
        counted: What it is about to change, as it was shown.
        filter: What it is restricted to, as it was typed.
        pace: How fast, and how far, it may go.
        brake: What stops it.
        watch: Called after each batch with what has been changed so far.
    """

    counted: Counted
    filter: str = ""
    pace: Pace = Pace()
    brake: Brake = Event()
    watch: Callable[[Amount], None] = _ignore


class Done(msgspec.Struct, frozen=True):
    """What bulk work has come to.

    Attributes:
        changed: What it has changed.
        left: What was counted, and is as it was.
        stopped: Whether somebody stopped it.
        vanished: Events of batches whose events somebody had deleted; counted as dropped.
    """

    changed: Amount = Amount()
    left: Amount = Amount()
    stopped: bool = False
    vanished: int = 0


class Bulk:
    """One bulk change under way, as it was ordered.

    Args:
        order: What was ordered.
        entry: Its record in the audit.
    """

    def __init__(self, order: Order, entry: Recording) -> None:
        self._counted = order.counted
        self._pace = order.pace
        self._brake = order.brake
        self._watch = order.watch
        self._entry = entry
        self._begun_at = monotonic()
        self._seen = self._changed = Amount()
        self._stopped = self._complete = False
        self._vanished = 0

    def steps(self, found: Iterable[DeadBatch]) -> Iterator[DeadBatch]:
        """The batches to change now, each when it is due; `note` follows each."""
        for batch in found:
            if not self._counted.includes(batch):
                continue
            if self._pace.most is not None and self._changed.batches >= self._pace.most:
                return
            if self._brake.wait(self._delay_seconds()):
                self._stopped = True
                self._entry.interrupt()
                return
            yield batch
        self._complete = True

    def _delay_seconds(self) -> float:
        if self._pace.rate is None:
            return 0.0
        due_at = self._begun_at + self._changed.events / self._pace.rate
        return max(0.0, due_at - monotonic())

    def note(self, batch: DeadBatch, events: int) -> None:
        """Note that a batch is done; 0 *events* if somebody else had changed it."""
        self._seen += Amount(1, batch.events)
        if events:
            self._changed += Amount(1, events)
            self._entry.done = self._changed.events
        self._watch(self._changed)

    def note_vanished(self, events: int) -> None:
        """Note events of the batch at hand that somebody had deleted."""
        self._vanished += events

    @property
    def done(self) -> Done:
        """What it has come to; what is not found any more, somebody else has changed."""
        left = Amount() if self._complete else self._counted.amount - self._seen
        return Done(self._changed, left, self._stopped, self._vanished)
