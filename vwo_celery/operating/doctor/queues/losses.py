"""The doctor's checks of what does not leave any more: dead letters, lost events, the ledger.

Pure decisions on views: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.operating.doctor.wording import MOST_NAMES, names
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.operating.looks.losses import is_recent, recent_loss, recent_repair
from vwo_celery.queue.handling.moving import EXPORTED
from vwo_celery.queue.looks.drops import DropTimes
from vwo_celery.queue.looks.snapshots import REDIS_LOST
from vwo_celery.text.amounts import count, span
from vwo_celery.text.moments import since

#: Reasons that an operator meant, or that have a finding of their own.
_TOLD_ELSEWHERE = ("purged", EXPORTED, REDIS_LOST)
#: What to do about drops, by their reason.
_DROP_REMEDIES: Final[Mapping[str, str]] = {
    "oldest": "the queue was full, and its applications drop the oldest (when_full): see why it does "
    "not drain, or raise max_queue_events and max_queue_bytes",
    "dead_letters_full": "see why batches die (vwo-celery dead list), or raise the workers' "
    "max_dead_events",
    "vanished": "somebody deleted keys of the queue, or popped events from it: find out who",
}


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


def dropped_finding(
    views: Sequence[QueueView], times: Callable[[QueueView, str], DropTimes], now_ms: int
) -> Finding:
    """Judge whether accepted events were dropped of late; what an operator purged was meant.

    Args:
        views: The queues.
        times: When events of a queue were dropped for a reason.
        now_ms: Redis' time.
    """
    told, reasons = [], set()
    for view in views:
        for reason, events in sorted(view.dropped.items()):
            if not events or reason in _TOLD_ELSEWHERE:
                continue
            when = times(view, reason)
            if is_recent((now_ms - when.last_ms) / 1000):
                first, last = ((now_ms - at) / 1000 for at in (when.first_ms, when.last_ms))
                told.append(
                    f"{count(events, 'event')} of {view.queue} ({reason}) {since(max(0.0, first))}, the "
                    f"last {span(max(0.0, last))} ago"
                )
                reasons.add(reason)
    if not told:
        return ok("dropped", "no accepted event is known to have been dropped within a day")
    remedies = (_DROP_REMEDIES.get(reason, "see: vwo-celery ledger") for reason in sorted(reasons))
    return warn("VC632", f"dropped: {'; '.join(told[:MOST_NAMES])}", "; ".join(remedies))


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


def _lost_queue(view: QueueView) -> str:
    ago = span(view.forgotten_age_seconds or 0)
    return (
        f"Redis lost all of {view.queue}, noticed {ago} ago: its events are gone with its "
        "counters, nobody knows how much"
    )


def repaired_finding(views: Sequence[QueueView]) -> Finding:
    """Judge whether batches were found of late that no worker would have found."""
    found = [f"{text} of {view.queue}" for view in views if (text := recent_repair(view))]
    if not found:
        return ok(
            "repaired", "no batch was found of late that was neither ready nor leased nor dead"
        )
    return warn(
        "VC635",
        f"stranded: {'; '.join(found[:MOST_NAMES])}",
        "nothing is lost. If it goes on, look for workers of a release before 0.2.0 whose Redis user "
        "lacks a command, see: vwo-celery workers; or for somebody who edits keys",
    )


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
