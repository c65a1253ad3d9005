"""Memory that Redis needs for what waits in it: `maxmemory`, from events and an outage's length.

Beside an event's way. A pure calculation: nothing to lose. benchmarks/bench_memory.py holds it against
what a real Redis uses.
"""

from __future__ import annotations

from math import ceil

import msgspec

#: Bytes of Redis for a byte of an event: 1.10 were measured at most, in batches of 100 and more.
PER_BYTE = 1.15
#: Bytes of Redis for a batch beside its events, and for a queue beside its batches.
PER_BATCH, PER_QUEUE = 1_200, 400_000


def maxmemory_bytes(events: float, event_bytes: float, batches: float, queues: int = 1) -> int:
    """The least `maxmemory` for so many waiting events; Celery's broker is not in it.

    Args:
        events: Events that wait, and those of dead letters.
        event_bytes: Mean size of one.
        batches: Batches that they are in.
        queues: Queues that they belong to.
    """
    return ceil(PER_BYTE * event_bytes * events + PER_BATCH * batches + PER_QUEUE * queues)


class Outage(msgspec.Struct, frozen=True):
    """What a queue holds at the end of an outage of VWO, if events come as in the busiest minute.

    Attributes:
        seconds: The outage's length.
        events: Events that wait then, without those of dead letters.
        maxmemory_bytes: What Redis needs for them, and for the most dead letters; see `maxmemory_bytes`.
    """

    seconds: float
    events: int
    maxmemory_bytes: int


def after_outage(
    seconds: float, *, events_a_second: float, event_bytes: float, batch_events: float, dead: int
) -> Outage:
    """Say what an outage leaves of one queue.

    Args:
        seconds: The outage's length.
        events_a_second: Events that come all the while.
        event_bytes: Mean size of one.
        batch_events: Mean number of them in a batch.
        dead: Most events in dead letters.
    """
    events = ceil(events_a_second * seconds)
    needed = maxmemory_bytes(events + dead, event_bytes, (events + dead) / batch_events)
    return Outage(seconds, events, needed)
