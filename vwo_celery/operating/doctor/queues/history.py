"""The doctor's check of the history: are the counters sampled while the queues are swept?

A pure decision on two signs in Redis: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vwo_celery.operating.doctor.finding import Finding, ok, warn
from vwo_celery.text.amounts import span
from vwo_celery.text.moments import since

#: Time since the last sample from which the history has a gap, in seconds.
_STALE_SECONDS = 300.0
#: Longest time since a sweep for which a sample should have been taken, in seconds.
_SWEPT_SECONDS = 60.0


def history_finding(
    sampled_ms: int, sweeps_ms: Mapping[str, int], now_ms: int
) -> Iterator[Finding]:
    """Judge the time of the last samples; nothing while no worker has ever taken one.

    Args:
        sampled_ms: Unix ms of the last minute that was sampled, 0 for never.
        sweeps_ms: Unix ms of the last sweep of each runner.
        now_ms: Redis' time.
    """
    age_seconds = max(0, now_ms - sampled_ms) / 1000
    swept_seconds = max(0, now_ms - max(sweeps_ms.values(), default=0)) / 1000
    if not sampled_ms or swept_seconds > _SWEPT_SECONDS:
        return  # the setting says so, or that nobody sweeps is told already
    if age_seconds < _STALE_SECONDS:
        yield ok("history", f"counters were sampled {span(age_seconds)} ago")
        return
    yield warn(
        "VC408",
        f"no worker has sampled the counters {since(age_seconds)}: `history` and `plan` have a gap",
        "see whether Redis is full and whether workers log that it refuses samples; every worker may "
        "also have history off (VWO_CELERY_HISTORY), or be of a release before 0.2.0",
    )
