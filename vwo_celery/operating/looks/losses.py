"""Losses that a producer noticed of late, in words. Pure decisions on views: nothing to lose."""

from __future__ import annotations

from vwo_celery.operating.looks.views import QueueView
from vwo_celery.queue.looks.snapshots import REDIS_LOST
from vwo_celery.text.amounts import count, span

#: Longest time for which a loss deserves a warning; the ledger keeps the number.
RECENT_SECONDS = 86_400.0


def is_recent(age_seconds: float | None) -> bool:
    """Whether something happened so lately that it deserves a warning."""
    return age_seconds is not None and age_seconds < RECENT_SECONDS


def recent_loss(view: QueueView) -> str | None:
    """The events of a queue that Redis lost, if a producer noticed it of late."""
    if not is_recent(view.redis_lost_age_seconds):
        return None
    events = count(view.dropped.get(REDIS_LOST, 0), "event")
    ago = span(view.redis_lost_age_seconds or 0)
    return f"Redis lost at most {events} that it had confirmed as stored, noticed {ago} ago"


def recent_repair(view: QueueView) -> str:
    """The batches of a queue that were made ready again of late, in words; "" for none."""
    if not is_recent(view.repaired_age_seconds):
        return ""
    batches = count(view.repaired, "batch", "batches")
    return f"{batches} made ready again so far, the last {span(view.repaired_age_seconds or 0)} ago"
