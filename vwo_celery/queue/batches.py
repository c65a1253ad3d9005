"""What scripts and workers say about batches: limits, a claimed batch, the parts it is split into.

Place: words, no I/O; the store turns them into scripts' arguments and answers into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from vwo_celery.queue.keys import as_text

#: Of what is stored with a batch as its error.
LONGEST_ERROR: Final = 300
#: Between the name of a batch and the number of a part of it; sorts before what names a later batch
#: of the same push, so that parts keep their place.
_PART: Final = "+"
_CLAIM_CHARACTERS: Final = 4


class Limits(msgspec.Struct, frozen=True):
    """What a shard's scripts need to know of its queue's settings.

    Attributes:
        events_per_request: Events of a full batch.
        interval_ms: Age at which a list that is not full is sealed.
        batch_bytes: Most bytes of events in one batch, a separator for each event included.
        capacity_events: Most undelivered events.
        capacity_bytes: Most bytes of undelivered events.
        parallel: Most batches in flight at once.
        slot_ttl_ms: How long a wake-up that no task picked up keeps its slot.
    """

    events_per_request: int
    interval_ms: int
    batch_bytes: int
    capacity_events: int
    capacity_bytes: int
    parallel: int
    slot_ttl_ms: int

    @property
    def wait_ms(self) -> int:
        """Longest time that an event waits for others; 0 where every event is a batch of its own."""
        return 0 if self.events_per_request == 1 else self.interval_ms


class Batch(msgspec.Struct, frozen=True):
    """A claimed batch; nobody else can claim it until it is settled or its lease runs out.

    Attributes:
        id: Its name; the same at every attempt.
        attempt: 1 at the first claim; fences what the holder of an older lease does.
        lost_leases: Leases of this batch that ran out.
        events: Number of events in it.
        bytes: Their size, a separator for each included.
        first_ms: Unix ms at which its oldest event was enqueued.
        sealed_ms: Unix ms from which its age is counted.
        claimed_ms: Unix ms of this claim, by Redis' clock.
        lease_until_ms: Unix ms at which this claim ends, by Redis' clock.
        wakeups: Slots taken for further workers, with tokens `help_token`:1 and so on.
        help_token: See wakeups.
        results_wanted: Whether somebody listens for this queue's results.
        delivered_ms: Unix ms at which VWO last accepted something of this shard; 0 for never.
        passed: The size that VWO took after it had found a larger one too large; None if it never has.
    """

    id: str
    attempt: int
    lost_leases: int
    events: int
    bytes: int
    first_ms: int
    sealed_ms: int
    claimed_ms: int
    lease_until_ms: int
    wakeups: int = 0
    help_token: str = ""
    results_wanted: bool = False
    delivered_ms: int = 0
    passed: Passed | None = None

    @property
    def age_seconds(self) -> float:
        """How long it has been sealed, at the time of the claim."""
        return (self.claimed_ms - self.sealed_ms) / 1000


class Held:
    """Answer to a claim from a shard that is held, when it is time to ask the circuit."""


HELD: Final = Held()


class Part(msgspec.Struct, frozen=True):
    """Some events of a batch that are to become a batch of their own.

    Attributes:
        fate: "ready" or "dead".
        ranges: Of events, oldest first: the first of each range, and the one after its last.
        bytes: Size of all of them, a separator for each included.
        delay_seconds: How long a ready part waits.
        error: Why, for operators.
    """

    fate: Literal["ready", "dead"]
    ranges: tuple[tuple[int, int], ...]
    bytes: int
    delay_seconds: float = 0.0
    error: str = ""

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(end - start for start, end in self.ranges)

    def arguments(self) -> list[Any]:
        """The part as split.lua takes it."""
        bounds = [bound for each in self.ranges for bound in each]
        delay_ms, error = as_ms(self.delay_seconds), self.error[:LONGEST_ERROR]
        return [self.fate, self.events, self.bytes, delay_ms, error, len(self.ranges), *bounds]


def part_id(batch_id: str, number: int, claim: str = "") -> str:
    """Name of one part of a batch that is split, counted from 1.

    It belongs to one *claim*, named by its token: where Redis lost a split and the batch is split
    again, what is told about the parts of the first split does not touch those of the second.
    """
    return f"{batch_id}{_PART}{number}{claim[:_CLAIM_CHARACTERS]}"


def stems(batch_ids: Iterable[str]) -> tuple[str, ...]:
    """What the names of all parts of these batches begin with."""
    return tuple(f"{batch_id}{_PART}" for batch_id in batch_ids)


def as_ms(seconds: float) -> int:
    """Whole milliseconds."""
    return int(seconds * 1000)


class Passed(msgspec.Struct, frozen=True):
    """A size that VWO took, or half of one that it did not.

    Attributes:
        events: Number of events.
        bytes: Their size, separators included.
        since_ms: Unix ms of the last refusal, from which the doublings are counted.
    """

    events: int
    bytes: int
    since_ms: int


def claimed_batch(answer: Sequence[Any], help_token: str, lease_ms: int) -> Batch:
    """The batch that claim.lua answered."""
    batch_id, attempt, lost, events, size, first, sealed, now = answer[:8]
    wakeups, wanted, delivered, *passed = answer[8:]
    return Batch(
        id=as_text(batch_id),
        attempt=attempt,
        lost_leases=lost,
        events=events,
        bytes=size,
        first_ms=first,
        sealed_ms=sealed,
        claimed_ms=now,
        lease_until_ms=now + lease_ms,
        wakeups=wakeups,
        help_token=help_token,
        results_wanted=bool(wanted),
        delivered_ms=delivered,
        passed=Passed(*passed) if passed[0] else None,
    )
