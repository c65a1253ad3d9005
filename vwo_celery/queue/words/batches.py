"""Batches in Python: a queue's limits, a claimed batch, the parts that it is split into.

Data without I/O: nothing to lose. `shard` turns it into arguments of scripts and answers into it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

import msgspec

from vwo_celery.queue.words.keys import as_text

#: The cause of a pause or a hold: an operator; an answer that refuses; failures in a row, as in an
#: outage; or that no worker may send.
Cause = Literal["operator", "refusal", "outage", "workers"]

#: Longest error text stored with a batch, in characters.
LONGEST_ERROR: Final = 300
#: Separator between the name of a batch and the number of a part. It sorts before the separator of
#: later batches of the same push, so parts keep their place in the order.
_PART: Final = "+"
#: Characters of a claim's token in the name of a part.
_CLAIM_CHARACTERS: Final = 4
#: The end of the name of a batch whose events were picked out of another.
_PICKED: Final = re.compile(r"\+\d[0-9a-f]{20}\Z")


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """The limits that a shard's scripts obey.

    Attributes:
        events_per_request: Number of open events at which they leave.
        interval_ms: Age at which an open list that is not full is sealed.
        batch_bytes: Most bytes of one batch, a separator for each event included.
        capacity_events: Most undelivered events.
        capacity_bytes: Most bytes of undelivered events.
        parallel: Most batches in flight at once.
        slot_ttl_ms: Time for which a wake-up that no task picks up keeps its slot.
        batch_events: Most events of one batch where `events_per_request` is only the least of it; 0,
            which is stored nowhere, for that number itself.
    """

    events_per_request: int
    interval_ms: int
    batch_bytes: int
    capacity_events: int
    capacity_bytes: int
    parallel: int
    slot_ttl_ms: int
    batch_events: int = 0

    @property
    def wait_ms(self) -> int:
        """Longest wait of an event for others; 0 where every event is a batch of its own."""
        return 0 if self.events_per_request == 1 else self.interval_ms

    @property
    def most_events(self) -> int:
        """Most events of one batch."""
        return self.batch_events or self.events_per_request

    def fields(self) -> list[Any]:
        """Field, value, field, value, …, as limit.lua takes them."""
        return [word for field in msgspec.to_builtins(self).items() for word in field]


class Batch(msgspec.Struct, frozen=True):
    """A claimed batch; nobody else can claim it until it is settled or its lease runs out.

    Attributes:
        id: Its name; the same at every attempt.
        attempt: 1 at the first claim; fences off the holder of an older lease.
        lost_leases: Leases of this batch that ran out.
        events: Number of events in it.
        bytes: Their size, a separator for each included.
        first_ms: Unix ms at which its oldest event was enqueued.
        sealed_ms: Unix ms from which its age counts.
        claimed_ms: Unix ms of this claim, by Redis' clock.
        lease_until_ms: Unix ms at which this claim ends, by Redis' clock.
        wakeups: Slots taken for further workers, with tokens `help_token`:1 and so on.
        help_token: See wakeups.
        results_wanted: Whether an application listens for this queue's results.
        delivered_ms: Unix ms at which VWO last accepted a batch of this shard; 0 for never.
        passed: The size that VWO accepted after it had refused a larger one; None if it never did.
        following: The batch that the next claim of this worker will get, unless others claim, too; ""
            where that cannot be foreseen.
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
    following: str = ""

    @property
    def age_seconds(self) -> float:
        """Time from its sealing to this claim."""
        return (self.claimed_ms - self.sealed_ms) / 1000


class Held:
    """The answer to a claim from a held shard: it is time to ask the circuit."""


HELD: Final = Held()


class Part(msgspec.Struct, frozen=True):
    """Events of a batch that are to become a batch of their own.

    Attributes:
        fate: The state of the new batch.
        ranges: Ranges of events, oldest first: the first event of each, and the one after its last.
        bytes: Size of its events, a separator for each included.
        delay_seconds: Time before a ready part may be claimed.
        error: The reason, for operators.
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
        """The part as arguments of split.lua."""
        bounds = [bound for each in self.ranges for bound in each]
        delay_ms, error = as_ms(self.delay_seconds), self.error[:LONGEST_ERROR]
        return [self.fate, self.events, self.bytes, delay_ms, error, len(self.ranges), *bounds]


def part_id(batch_id: str, number: int, claim: str = "") -> str:
    """Name of one part of a batch that is split, counted from 1.

    The name includes the token of the *claim*. Should Redis lose a split and the batch be split
    again, a late ack of the first split's parts does not touch those of the second.
    """
    return f"{batch_id}{_PART}{number}{claim[:_CLAIM_CHARACTERS]}"


def picked_id(batch_id: str, number: int, token: str) -> str:
    """Name of a batch whose events were picked out of another; no longer after the hundredth time."""
    return f"{_PICKED.sub('', batch_id)}{_PART}{number}{token}"


def descends(batch_id: str, batch_ids: Collection[str]) -> bool:
    """Whether a batch is one of these, or a part of one of them, at any depth."""
    while batch_id not in batch_ids:
        batch_id, part, _ = batch_id.rpartition(_PART)
        if not part:
            return False
    return True


def as_ms(seconds: float) -> int:
    """A duration in whole milliseconds."""
    return int(seconds * 1000)


class Passed(msgspec.Struct, frozen=True):
    """A size that VWO accepted after it had refused a larger one.

    Attributes:
        events: Number of events.
        bytes: Their size, separators included.
        since_ms: Unix ms from which the wait until an attempt with a larger batch is counted.
        refusals: Larger batches refused in a row since it last grew.
    """

    events: int
    bytes: int
    since_ms: int
    refusals: int = 0


def claimed_batch(answer: Sequence[Any], help_token: str, lease_ms: int) -> Batch:
    """The batch that claim.lua answered."""
    batch_id, attempt, lost, events, size, first, sealed, now = answer[:8]
    wakeups, wanted, delivered, *passed, following = answer[8:]
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
        following=as_text(following),
    )
