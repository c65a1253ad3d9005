"""Batches as an operator finds them: dead letters, and those that wait or are in flight.

Words without I/O: nothing to lose. `finding` finds them.
"""

from __future__ import annotations

from typing import Final

import msgspec

#: What stands in place of a dead letter's attempts where it has none, and why it has none.
NO_ATTEMPTS: Final = "none alone"
WHY_NO_ATTEMPTS: Final = (
    "None alone: events that VWO refused within a larger batch, and that were picked out of it; the "
    "attempts were the larger batch's. Or an operator has set them aside before their first."
)


class DeadBatch(msgspec.Struct, frozen=True):
    """One dead-lettered batch.

    Attributes:
        queue: The queue it belongs to.
        shard: Number of the queue's shard that holds it.
        batch: Its name.
        events: Number of events in it.
        bytes: Their size.
        attempts: Attempts to deliver it.
        reason: Why it was dead-lettered.
        died_ms: Unix ms of its dead-lettering.
        died_age_seconds: Time since then.
        first_ms: Unix ms at which its oldest event was enqueued.
        matching_events: Places, from 1, of its events of which a filter's words on events are true.
    """

    queue: str
    shard: int
    batch: str
    events: int
    bytes: int
    attempts: int
    reason: str
    died_ms: int
    died_age_seconds: float
    first_ms: int
    matching_events: tuple[int, ...] = ()


class WaitingBatch(msgspec.Struct, frozen=True):
    """One batch that is not dead.

    Attributes:
        queue: The queue it belongs to.
        shard: Number of the queue's shard that holds it.
        batch: Its name.
        state: "ready", "released" or "in_flight".
        events: Number of events in it.
    """

    queue: str
    shard: int
    batch: str
    state: str
    events: int
