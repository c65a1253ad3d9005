"""Buckets: the sizes in which ages, times and numbers of events are counted.

Beside an event's way. A worker counts into them, Redis keeps the counts, and every reader shows
them; so their bounds stand here alone. Lua gets the number of a bucket and knows no bound. A bound
belongs to the bucket that it ends, and the last bucket holds what is beyond the last bound. Pure:
nothing to lose.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

#: Age of the oldest event of a batch when VWO had accepted it.
AGE_BOUNDS_SECONDS: Final = (
    0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400,
)  # fmt: skip
#: Time of one request to VWO.
POST_BOUNDS_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
#: Events of one request to VWO.
SIZE_BOUNDS: Final = (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000)


def bucket_of(bounds: Sequence[float], value: float) -> int:
    """The number of the bucket that *value* belongs to, from 0 to `len(bounds)`."""
    return bisect_left(bounds, value)


def percentile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The value that a *share* of what was counted does not exceed, or None if nothing was counted.

    Values are taken as even within a bucket. Of what is beyond the last bound nothing is known but
    that: the last bound is returned, which is then too low.

    Args:
        bounds: The last value of each bucket but the last one, rising, above 0.
        counts: What was counted in each bucket; one more than *bounds*.
        share: From 0 to 1; 0.95 for the 95th percentile.
    """
    wanted, below = share * sum(counts), 0
    if not any(counts):
        return None
    for low, high, count in zip((0.0, *bounds), bounds, counts, strict=False):
        if count and below + count >= wanted:
            return low + (high - low) * max(0.0, wanted - below) / count
        below += count
    return float(bounds[-1])
