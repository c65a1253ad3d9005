"""A model of a shard in plain Python, to compare the scripts with: what it holds, and its words.

The model is written from the rules, event by event, and knows nothing of Redis: no chunks, no bulk
moves, no short cuts. Times are virtual milliseconds that the caller passes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vwo_celery.queue.words.batches import Limits

State = Literal["ready", "leases", "dead"]
Range = tuple[int, int]


@dataclass
class ModelBatch:
    """A sealed batch: its events never change, its other fields do."""

    id: str
    events: tuple[bytes, ...]
    size: int
    first: int
    sealed: int
    order: tuple[int, ...]
    at: int
    state: State = "ready"
    attempt: int = 0
    lost: int = 0
    error: str = ""
    returned: bool = False


@dataclass
class ModelPart:
    """Events of a batch that become a batch of their own."""

    state: Literal["ready", "dead"]
    ranges: Sequence[Range]
    delay: int
    error: str


@dataclass
class Sealed:
    """The effects of a push or a sweep besides storing."""

    code: int
    sealed: int = 0
    wakeups: int = 0
    more: int = 0


@dataclass
class ShardState:
    """One shard: what it holds, what it counts, and what every change of it needs."""

    limits: Limits
    life: str = ""
    forgotten: bool = False
    open: list[bytes] = field(default_factory=list)
    counted: int = 0
    counted_bytes: int = 0
    first: int | None = None
    mixed: bool = False
    paused: bool = False
    held_until: int | None = None
    batches: dict[str, ModelBatch] = field(default_factory=dict)
    leaving: dict[str, tuple[ModelBatch, str]] = field(default_factory=dict)
    arrived: dict[str, int] = field(default_factory=dict)
    coming: set[str] = field(default_factory=set)
    slots: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)
    followed: int = 0
    seals: int = 0

    # -- words

    def count(self, counter: str, change: int) -> None:
        """Change a ledger counter."""
        self.counters[counter] = self.counters.get(counter, 0) + change

    def of(self, state: State) -> list[ModelBatch]:
        """The batches in the given state."""
        return [batch for batch in self.batches.values() if batch.state == state]

    def released(self) -> list[ModelBatch]:
        """The batches that wait after a failed attempt, due or not."""
        return [batch for batch in self.of("ready") if batch.attempt and batch.error]

    def times(self) -> list[int]:
        """All times at which something becomes due or ends."""
        held = [] if self.held_until is None else [self.held_until]
        full = [self.first + self.limits.interval_ms] if self.open and self.first else []
        return [*held, *full, *self.slots.values(), *(b.at for b in self.batches.values())]

    def due(self, now: int) -> list[ModelBatch]:
        """The batches that may be claimed: ready and visible, or with an expired lease."""
        return [b for b in [*self.of("ready"), *self.of("leases")] if b.at <= now]

    def in_flight(self, now: int) -> int:
        """The batches under an unexpired lease."""
        return sum(batch.at > now for batch in self.of("leases"))

    def disturbed(self) -> bool:
        """Whether another program changed the open list, or it holds more than a batch may."""
        size = self.counted_bytes
        return self.mixed or len(self.open) != self.counted or size > self.limits.batch_bytes

    # -- parts of changes

    def _adopt(self, now: int) -> None:
        if self.open and not self.counted:
            self.first = now
        foreign = len(self.open) - self.counted
        self.count("accepted" if foreign > 0 else "dropped:vanished", abs(foreign))
        self.count("events", foreign)
        self.count("bytes", -self.counted_bytes)
        self.counted, self.counted_bytes, self.mixed = len(self.open), 0, True

    def _leave(self, batch: ModelBatch) -> None:
        self.count("events", -len(batch.events))
        self.count("bytes", -batch.size)

    def _count_in(self, batch: ModelBatch, sign: int) -> None:
        self.count("accepted", sign * len(batch.events))
        if batch.state == "dead":
            self.count("dead", sign * len(batch.events))
        else:
            self.count("events", sign * len(batch.events))
            self.count("bytes", sign * batch.size)

    def _may_hold(self, events: Sequence[bytes], held: int, held_bytes: int) -> bool:
        limits = self.limits
        return (
            held + len(events) <= limits.capacity_events
            and held_bytes + size_of(events) <= limits.capacity_bytes
        )

    def _fits(self, events: Sequence[bytes]) -> bool:
        counters = self.counters
        return self._may_hold(events, counters.get("events", 0), counters.get("bytes", 0))

    def _hand_out(self, token: str, now: int, most: int | None = None) -> int:
        due = len(self.due(now))
        if not due:
            return 0
        wanted = min(due, self.limits.parallel - self.in_flight(now), most or due)
        wanted -= len(self.slots)
        for i in range(wanted):
            self.slots[f"{token}:{i + 1}"] = now + self.limits.slot_ttl_ms
        return max(wanted, 0)


def pick(events: Sequence[bytes], ranges: Sequence[Range]) -> list[bytes]:
    """The events at these places, each range from its start to before its end."""
    return [events[i] for start, end in ranges for i in range(start, end)]


def size_of(events: Iterable[bytes]) -> int:
    """Bytes of these events in a batch: each with its separator."""
    return sum(len(event) + 1 for event in events)
