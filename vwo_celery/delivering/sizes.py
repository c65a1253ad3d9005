"""The size of batches for a destination that has found one too large, and where to split a larger one.

Used between claim and send. Pure decisions: nothing to lose with the process. VWO names its limits
(5,000 events, 10 MB), but a proxy on the way may have lower ones and says so only by 413. The size
that passed since is remembered with the shard, for all workers. It doubles from time to time, in whole
steps: so a limit that was lifted is found again, and one that stays is met by few batches.
"""

from __future__ import annotations

from collections.abc import Sequence

from vwo_celery.queue.batches import Passed

#: Time after the last refusal in which the allowed size doubles, in ms.
DOUBLING_MS = 3_600_000
#: Doublings at most, which is beyond every limit.
_MOST_DOUBLINGS = 32


def allowed(passed: Passed, now_ms: int) -> tuple[int, int]:
    """Return the most events and bytes that a batch may have now; at least one event."""
    doublings = min(max(0, now_ms - passed.since_ms) // DOUBLING_MS, _MOST_DOUBLINGS)
    return max(1, passed.events << doublings), passed.bytes << doublings


def after_refusal(passed: Passed | None, events: int, size: int, now_ms: int) -> Passed:
    """Return the size to remember after a batch of *events* and *size* bytes was too large.

    If the batch exceeds what passed, the size that passed is kept; else it is half of the batch.
    """
    if passed is not None and (events > passed.events or size > passed.bytes):
        return Passed(passed.events, passed.bytes, now_ms)
    return Passed(max(1, events // 2), max(1, size // 2), now_ms)


def after_success(passed: Passed | None, events: int, size: int) -> Passed | None:
    """Return the size to remember after VWO took such a batch; None if that changes nothing."""
    if passed is None or (events <= passed.events and size <= passed.bytes):
        return None
    return Passed(max(events, passed.events), max(size, passed.bytes), passed.since_ms)


def cut(sizes: Sequence[int], most_events: int, most_bytes: int) -> int:
    """Return how many of the oldest events fit into one batch: at least one, at most all of them.

    Args:
        sizes: Bytes of each event, a separator included, the oldest first.
        most_events: Most events of the batch.
        most_bytes: Most bytes of the batch.
    """
    total = 0
    for i, size in enumerate(sizes):
        total += size
        if i > 0 and (i >= most_events or total > most_bytes):
            return i
    return len(sizes)
