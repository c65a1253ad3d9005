"""The doctor's checks of what does not leave any more: dead letters, lost events, the ledger.

Pure decisions on views: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Sequence

from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.operating.doctor.wording import MOST_NAMES, names
from vwo_celery.operating.inspector import QueueView
from vwo_celery.queue.looks.snapshots import REDIS_LOST
from vwo_celery.text.amounts import count, span

#: Longest time for which a loss deserves a warning; the ledger keeps the number.
RECENT_SECONDS = 86_400.0


def dead_finding(views: Sequence[QueueView]) -> Finding:
    """Judge whether there are dead letters."""
    dead = [view for view in views if view.dead]
    if not dead:
        return ok("dead letters", "there are none")
    events = count(sum(view.dead for view in dead), "event")
    batches = count(sum(view.dead_batches for view in dead), "batch", "batches")
    return warn(
        "VC631",
        f"{events} in {batches} of {names(view.queue for view in dead)}",
        "vwo-celery dead list; then vwo-celery dead redrive, or vwo-celery dead purge",
    )


def lost_finding(views: Sequence[QueueView]) -> Finding:
    """Judge whether a producer noticed of late that Redis lost events."""
    lost = [f"of {view.queue}: {loss}" for view in views if (loss := recent_loss(view)) is not None]
    forgotten = [_lost_queue(view) for view in views if is_recent(view.forgotten_age_seconds)]
    if not (lost or forgotten):
        return ok("redis lost", "no producer noticed of late that Redis lost events")
    return warn(
        "VC242" if forgotten else "VC241",
        "; ".join(lost[:MOST_NAMES] + forgotten[:MOST_NAMES]),
        "Redis crashed, failed over to a replica that lagged, was restarted empty, flushed, or "
        "evicts: see its log, and persistence and eviction above",
    )


def recent_loss(view: QueueView) -> str | None:
    """The events of a queue that Redis lost, if a producer noticed it of late."""
    if not is_recent(view.redis_lost_age_seconds):
        return None
    events = count(view.dropped.get(REDIS_LOST, 0), "event")
    ago = span(view.redis_lost_age_seconds or 0)
    return f"Redis lost at most {events} that it had confirmed as stored, noticed {ago} ago"


def _lost_queue(view: QueueView) -> str:
    ago = span(view.forgotten_age_seconds or 0)
    return (
        f"Redis lost all of {view.queue}, noticed {ago} ago: its events are gone with its "
        "counters, nobody knows how much"
    )


def is_recent(age_seconds: float | None) -> bool:
    """Whether something happened so lately that it deserves a warning."""
    return age_seconds is not None and age_seconds < RECENT_SECONDS


def balance_finding(views: Sequence[QueueView]) -> Finding:
    """Judge whether each queue's ledger balances, where everything of it can be read."""
    wrong = [view.queue for view in views if not view.ledger.balanced and not view.unreadable]
    if not wrong:
        return ok("ledger", "every queue's ledger balances")
    return problem(
        "VC634",
        f"the ledger of {names(wrong)} is out of balance",
        "see: vwo-celery ledger. Keys were deleted or evicted, or vwo_celery has a bug: report it",
    )
