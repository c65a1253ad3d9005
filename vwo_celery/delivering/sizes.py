"""How large a batch may be for a destination that has found one too large, and where to cut it.

Place: words, no I/O; asked between claim and send. VWO names limits (5,000 events, 10 MB), but what
stands between may have lower ones, and says so by 413 only. What passed since is remembered with the
shard, for all workers. From time to time twice as much is tried, in whole steps, so that a limit that
was lifted is found again, and one that stays is not met by every batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from vwo_celery.queue.batches import Passed

#: So long after a refusal twice the remembered size is tried, and again after as long.
DOUBLING_MS = 3_600_000
_MOST_DOUBLINGS = 32


def allowed(passed: Passed, now_ms: int) -> tuple[int, int]:
    """Most events and bytes that a batch may have now; at least one event."""
    doublings = min(max(0, now_ms - passed.since_ms) // DOUBLING_MS, _MOST_DOUBLINGS)
    return max(1, passed.events << doublings), passed.bytes << doublings


def after_refusal(passed: Passed | None, events: int, size: int, now_ms: int) -> Passed:
    """What to remember when a batch of *events* and *size* bytes was too large.

    Where one of them is more than what passed, that is to blame, and what passed is still true.
    """
    if passed is not None and (events > passed.events or size > passed.bytes):
        return Passed(passed.events, passed.bytes, now_ms)
    return Passed(max(1, events // 2), max(1, size // 2), now_ms)


def after_success(passed: Passed | None, events: int, size: int) -> Passed | None:
    """What to remember when such a batch was taken; None if that is nothing new."""
    if passed is None or (events <= passed.events and size <= passed.bytes):
        return None
    return Passed(max(events, passed.events), max(size, passed.bytes), passed.since_ms)


def cut(sizes: Sequence[int], most_events: int, most_bytes: int) -> int:
    """How many of the oldest events fit; at least one, and all of them where nothing is to be cut.

    Args:
        sizes: Bytes of each event, a separator included, the oldest first.
        most_events: At most so many.
        most_bytes: Of at most so many bytes together.
    """
    total = 0
    for i, size in enumerate(sizes):
        total += size
        if i > 0 and (i >= most_events or total > most_bytes):
            return i
    return len(sizes)
