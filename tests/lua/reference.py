"""What a shard does, said a second time: a model in plain Python that the scripts are compared with.

It is written from the rules, event by event, and knows nothing of Redis: no chunks, no bulk moves,
no short cuts. Times are virtual milliseconds that the caller passes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vwo_celery.store import Limits

SWEEP_NAMES = 8

State = Literal["ready", "leases", "dead"]


@dataclass
class ModelBatch:
    """A sealed batch: its events never change, all else does."""

    id: str
    events: tuple[bytes, ...]
    size: int
    first: int
    sealed: int
    order: int
    at: int
    state: State = "ready"
    attempt: int = 0
    lost: int = 0
    error: str = ""
    returned: bool = False


@dataclass
class Sealed:
    """What a push or a sweep did besides storing."""

    code: int
    sealed: int = 0
    wakeups: int = 0
    more: int = 0


@dataclass
class Model:
    """One shard."""

    limits: Limits
    open: list[bytes] = field(default_factory=list)
    counted: int = 0
    counted_bytes: int = 0
    first: int | None = None
    mixed: bool = False
    paused: bool = False
    batches: dict[str, ModelBatch] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    seals: int = 0

    # -- words

    def count(self, counter: str, change: int) -> None:
        """Change a ledger counter."""
        self.counters[counter] = self.counters.get(counter, 0) + change

    def of(self, state: State) -> list[ModelBatch]:
        """The batches in a state."""
        return [batch for batch in self.batches.values() if batch.state == state]

    def due(self, now: int) -> list[ModelBatch]:
        """What may be claimed: ready and visible, or leased and run out."""
        return [b for b in [*self.of("ready"), *self.of("leases")] if b.at <= now]

    def in_flight(self, now: int) -> int:
        """Leases that hold."""
        return sum(batch.at > now for batch in self.of("leases"))

    def disturbed(self) -> bool:
        """Whether somebody else has been at the open list, or it holds more than a batch may."""
        size = self.counted_bytes
        return self.mixed or len(self.open) != self.counted or size > self.limits.batch_bytes

    # -- changes

    def push(
        self, mark: str, sequence: int, events: Sequence[bytes], names: Sequence[str], now: int
    ) -> Sealed:
        """Store events once, all or none; seal what is full."""
        count, size = len(events), _size(events)
        if self.marks.get(mark, 0) >= sequence:
            return Sealed(0)
        refused = self._refusal(count, size, len(names))
        if refused:
            return Sealed(refused)
        untouched = not self.disturbed() and self.counted < self.limits.events_per_request
        unused, sealed = iter(names), 0
        for event in events:
            if (
                untouched
                and self.open
                and self.counted_bytes + _size([event]) > self.limits.batch_bytes
            ):
                self._seal_open(next(unused), now)
                sealed += 1
            if self.counted == 0:
                self.first = now
            self.open.append(event)
            self.counted, self.counted_bytes = self.counted + 1, self.counted_bytes + _size([event])
            if untouched and self.counted >= self.limits.events_per_request:
                self._seal_open(next(unused), now)
                sealed += 1
        if untouched and self.counted_bytes > self.limits.batch_bytes:
            self._seal_open(next(unused), now)
            sealed += 1
        self.marks[mark] = sequence
        for counter, change in (("accepted", count), ("events", count), ("bytes", size)):
            self.count(counter, change)
        wakeups = self._hand_out(names[0], now) if sealed and not self.paused else 0
        return Sealed(1, sealed, wakeups)

    def sweep(self, token: str, now: int, *, force: bool, horizon: int) -> Sealed:
        """Seal what is due, adopt what others did, show what the clock hid, wake workers."""
        names = [f"{token}.{i:04d}" for i in range(SWEEP_NAMES)]
        sealed = more = 0
        if self.open and not self.disturbed() and len(self.open) <= self.limits.events_per_request:
            if len(self.open) == self.limits.events_per_request or self._is_due(now, force):
                self.first = now if self.first is None else min(self.first, now)
                self._seal_open(names[0], now)
                sealed = 1
        elif self.open:
            sealed, more = self._adopt_and_slice(names, now, force)
        elif self.counted:
            self._forget_open()
        for batch in [*self.of("ready"), *self.of("leases")]:
            if batch.at > now + horizon:
                batch.at, batch.returned = now, True
        self.slots = {t: now if at > now + horizon else at for t, at in self.slots.items()}
        wakeups = 0 if self.paused else self._hand_out(token, now)
        return Sealed(1, sealed, wakeups, more)

    def claim(
        self, candidates: Iterable[ModelBatch], token: str, help_token: str, now: int, lease: int
    ) -> tuple[ModelBatch | None, int]:
        """Lease the first of *candidates*, which the caller has put in order; None if there is none."""
        batch = next(iter(candidates), None)
        if batch is None or self.paused or self.in_flight(now) >= self.limits.parallel:
            self.slots.pop(token, None)
            return None, 0
        batch.lost += batch.state == "leases"
        batch.attempt += 1
        batch.state, batch.at = "leases", now + lease
        if token in self.slots:
            self.slots[token] = now + lease
        return batch, self._hand_out(help_token, now)

    def ack(self, batch_id: str) -> bool:
        """Forget a batch that was delivered, wherever it is."""
        batch = self.batches.pop(batch_id, None)
        if batch is None:
            return False
        if batch.state == "dead":
            self.count("dead", -len(batch.events))
        else:
            self._leave(batch)
        self.count("delivered", len(batch.events))
        return True

    def held(self, batch_id: str, attempt: int) -> ModelBatch | None:
        """The batch, if whoever claimed it at *attempt* still has it."""
        batch = self.batches.get(batch_id)
        return batch if batch and batch.state == "leases" and batch.attempt == attempt else None

    def release(self, batch_id: str, attempt: int, at: int, error: str) -> bool:
        """Give a lease back."""
        batch = self.held(batch_id, attempt)
        if batch:
            batch.state, batch.at, batch.error, batch.returned = "ready", at, error, True
        return batch is not None

    def extend(self, batch_id: str, attempt: int, token: str, until: int) -> bool:
        """Hold a lease for longer."""
        batch = self.held(batch_id, attempt)
        if batch:
            batch.at = until
            if token in self.slots:
                self.slots[token] = until
        return batch is not None

    def dead_letter(self, batch_id: str, attempt: int, now: int, error: str) -> bool:
        """Take a leased batch out of delivery."""
        batch = self.held(batch_id, attempt)
        if batch:
            batch.state, batch.at, batch.error = "dead", now, error
            self._leave(batch)
            self.count("dead", len(batch.events))
        return batch is not None

    def redrive(self, batch_id: str, now: int) -> int:
        """Put a dead batch back."""
        batch = self.batches.get(batch_id)
        if batch is None or batch.state != "dead":
            return 0
        batch.state, batch.at, batch.lost, batch.sealed = "ready", now, 0, now
        batch.returned = True
        for counter, sign in (("events", 1), ("dead", -1)):
            self.count(counter, sign * len(batch.events))
        self.count("bytes", batch.size)
        return len(batch.events)

    def purge(self, batch_id: str) -> int:
        """Drop a dead batch."""
        batch = self.batches.get(batch_id)
        if batch is None or batch.state != "dead":
            return 0
        del self.batches[batch_id]
        self.count("dead", -len(batch.events))
        self.count("dropped:purged", len(batch.events))
        return len(batch.events)

    # -- parts of changes

    def _refusal(self, count: int, size: int, names: int) -> int:
        limits = self.limits
        if self.counters.get("events", 0) + count > limits.capacity_events:
            self.count("refused", count)
            return -1
        if self.counters.get("bytes", 0) + size > limits.capacity_bytes:
            self.count("refused", count)
            return -2
        most = 2 + count // limits.events_per_request + 2 * (size // limits.batch_bytes)
        return -4 if names < min(most, count + 1) else 0

    def _leave(self, batch: ModelBatch) -> None:
        self.count("events", -len(batch.events))
        self.count("bytes", -batch.size)

    def _is_due(self, now: int, force: bool) -> bool:
        first = now if self.first is None else self.first
        return force or now - first >= self.limits.interval_ms

    def _seal_open(self, name: str, now: int) -> None:
        self._add(name, self.open, self.counted_bytes, now)
        self.open, self.counted, self.counted_bytes = [], 0, 0

    def _add(self, name: str, events: Sequence[bytes], size: int, now: int) -> None:
        first = now if self.first is None else self.first
        self.seals += 1
        self.batches[name] = ModelBatch(name, tuple(events), size, first, now, self.seals, now)

    def _forget_open(self) -> None:
        self.count("dropped:vanished", self.counted)
        self.count("events", -self.counted)
        self.count("bytes", -self.counted_bytes)
        self.counted = self.counted_bytes = 0
        self.mixed = False

    def _adopt_and_slice(self, names: Sequence[str], now: int, force: bool) -> tuple[int, int]:
        foreign = len(self.open) - self.counted
        self.count("accepted" if foreign > 0 else "dropped:vanished", abs(foreign))
        self.count("events", foreign)
        self.count("bytes", -self.counted_bytes)
        self.first = now if not self.counted or self.first is None else min(self.first, now)
        self.counted, self.counted_bytes, self.mixed = len(self.open), 0, True
        due, sealed = self._is_due(now, force), 0
        while self.open and (due or len(self.open) >= self.limits.events_per_request):
            if sealed == len(names):
                return sealed, 1
            self._slice(names[sealed], now)
            sealed += 1
        self.mixed = bool(self.open)
        return sealed, 0

    def _slice(self, name: str, now: int) -> None:
        taken: list[bytes] = []
        while self.open and len(taken) < self.limits.events_per_request:
            if taken and _size([*taken, self.open[0]]) > self.limits.batch_bytes:
                break
            taken.append(self.open.pop(0))
        self._add(name, taken, _size(taken), now)
        self.counted = len(self.open)
        self.count("bytes", _size(taken))

    def _hand_out(self, token: str, now: int) -> int:
        due = len(self.due(now))
        if not due:
            return 0
        self.slots = {t: at for t, at in self.slots.items() if at > now}
        wanted = min(self.limits.parallel, due + self.in_flight(now)) - len(self.slots)
        for i in range(wanted):
            self.slots[f"{token}:{i + 1}"] = now + self.limits.slot_ttl_ms
        return max(wanted, 0)


def _size(events: Iterable[bytes]) -> int:
    return sum(len(event) + 1 for event in events)
