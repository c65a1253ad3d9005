"""The doctor's checks of what holds events back: pauses, refusals, outages, lateness, capacity.

Pure decisions on views: nothing to lose. One cause is one problem: what follows from it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.operating.doctor.wording import MOST_NAMES
from vwo_celery.operating.looks.health import is_stuck
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count, span
from vwo_celery.text.moments import since

#: Share of its capacity from which a queue is nearly full.
_NEARLY_FULL = 0.8
#: The way out of a wrong destination: with another key or account the application fills another queue.
_MOVE = (
    "if its key, account or host is wrong for good, correct it in the application and take the events "
    "along: vwo-celery move --from {} --to QUEUE"
)
_FORGET = "if no application uses it any more: vwo-celery queues forget {}"


def paused_findings(views: Sequence[QueueView]) -> Iterator[Finding]:
    """Judge the queues that wait until somebody resumes them."""
    paused = [view for view in views if view.paused]
    if not paused:
        yield ok("paused", "no queue is paused")
    ours = [view for view in paused if view.stopped and view.stopped.by == "operator"]
    others = [view for view in paused if view not in ours]
    for kind, some in (("VC611", ours), ("VC612", others)):
        if not some:
            continue
        held = sum(view.undelivered for view in some)
        why = "; ".join(f"{view.queue} {view.stopped}" for view in some[:MOST_NAMES])
        which = some[0].queue if len(some) == 1 else "QUEUE"
        yield (problem if held else warn)(
            kind,
            f"{count(len(some), 'queue')} paused, {count(held, 'event')} held back: {why}",
            _remedy(kind, which, bool(held or sum(view.dead for view in some))),
        )


def _remedy(kind: str, which: str, holds_something: bool) -> str:
    resume = f"vwo-celery resume --queue {which}"
    if kind == "VC611":
        return f"ask whoever it names, then: {resume}"
    way_out = (_MOVE if holds_something else _FORGET).format(which)
    return f"mend what it says, then: {resume}; {way_out}"


def _healing(views: Sequence[QueueView], *by: str) -> list[QueueView]:
    """Queues that go on by themselves; those that no worker may send are `declined`'s."""
    return [v for v in views if v.stopped and not v.stopped.needs_person and v.stopped.by in by]


def stopped_finding(views: Sequence[QueueView]) -> Finding:
    """Judge the queues that VWO refuses: it may have refused for so long that it always will."""
    refused = _healing(views, "refusal")
    if not refused:
        return ok("stopped", "no queue waits for VWO to accept again")
    held = sum(view.undelivered for view in refused)
    why = "; ".join(f"{view.queue} {view.stopped}" for view in refused[:MOST_NAMES])
    lasting = any(view.stopped and view.stopped.is_long for view in refused) and held
    which = refused[0].queue if len(refused) == 1 else "QUEUE"
    return (problem if lasting else warn)(
        "VC613",
        f"{count(len(refused), 'queue')} stopped, {count(held, 'event')} held back: {why}",
        "if it stays, mend what it says; it is tried again by itself, and at once with: "
        f"vwo-celery resume --queue {which}; {_MOVE.format(which)}",
    )


def circuit_finding(views: Sequence[QueueView]) -> Finding:
    """Judge the circuits that outages opened."""
    out = _healing(views, "outage", "")
    if not out:
        return ok("circuit", "no queue's circuit is open")
    return warn(
        "VC614",
        "; ".join(map(_outage, out[:MOST_NAMES]))
        + (f"; and {len(out) - MOST_NAMES} more queues" if len(out) > MOST_NAMES else ""),
        "nothing at once: events are kept, and sent when a probe is accepted; if only your workers "
        "have the trouble, check their proxy, DNS and CA bundle",
    )


def _outage(view: QueueView) -> str:
    stop, seconds = view.stopped, view.failing_seconds
    if seconds is None and stop is not None:  # an older release did not note the first failure
        seconds = stop.for_seconds
    began = "" if seconds is None else f" {since(seconds)}"
    why = f": {stop.why}" if stop is not None and stop.why else ""
    soon = (stop.next_try_seconds if stop is not None else None) or 0.0
    next_try = f"in {span(soon)}" if soon else "is due"
    return (
        f"sending of {view.queue} fails{began}{why}; {count(view.undelivered, 'event')} kept; next "
        f"try {next_try}"
    )


def late_finding(
    views: Sequence[QueueView], settings: Settings, *, explained: bool = False
) -> Finding:
    """Judge whether events are far over their interval.

    Args:
        views: The queues.
        settings: The command's own; only the sweep's interval is used.
        explained: Whether another finding says why, for all queues.
    """
    stuck = [view for view in views if is_stuck(view, settings) and not _is_explained(view)]
    if explained or not stuck:
        return ok("lateness", "no event is far over its queue's interval for another reason")
    worst = "; ".join(
        f"{view.queue}: {count(view.open + view.ready, 'event')} pending, the oldest "
        f"{span(view.late_seconds)} late"
        for view in stuck[:MOST_NAMES]
    )
    return problem(
        "VC616",
        f"{count(len(stuck), 'queue')} far over the interval: {worst}",
        "see the other findings; if all is well, add workers or raise max_parallel_sends",
    )


def _is_explained(view: QueueView) -> bool:
    """Whether another finding says why events of this queue are late."""
    return view.declined_by_all or view.stopped is not None


def answers_finding(views: Sequence[QueueView]) -> Finding:
    """Judge the batches that VWO did not accept yet, where no open circuit says why."""
    waiting = [view for view in views if view.released and view.stopped is None]
    if not waiting:
        return ok("answers", "no batch waits for another attempt for a reason of its own")
    events = sum(view.released for view in waiting)
    why = "; ".join(
        f"{view.queue}: {view.error} (attempt {view.attempt}, the next {_soon(view)})"
        + (f"; {view.failing.told_beside(view.error)}" if view.failing else "")
        for view in waiting[:MOST_NAMES]
    )
    return warn(
        "VC615",
        f"{count(events, 'event')} not accepted yet, another attempt follows: {why}",
        "mend what the answer names; if it is VWO or the network, nothing: they are kept, and sent "
        f"when it is over; to send them at once: vwo-celery retry --queue {waiting[0].queue}; if it is "
        "one batch for ever: vwo-celery dead add --batch ID --reason TEXT",
    )


def _soon(view: QueueView) -> str:
    return f"in {span(view.next_try_seconds)}" if view.next_try_seconds else "is due"


def capacity_finding(views: Sequence[QueueView]) -> Finding:
    """Judge how full the queues are."""
    full = sorted((v for v in views if v.fullness >= _NEARLY_FULL), key=lambda v: -v.fullness)
    if not full:
        return ok("capacity", "every queue is far below its capacity")
    what = "; ".join(
        f"{view.queue} {view.fullness:.0%}, {count(view.refused, 'event')} refused so far"
        for view in full[:MOST_NAMES]
    )
    is_full = full[0].fullness >= 1
    return (problem if is_full else warn)(
        "VC622" if is_full else "VC621",
        f"at or near capacity: {what}",
        "see why it does not drain; else raise max_queue_events and max_queue_bytes in the "
        "applications",
    )
