"""Where events are now: one number for each place on their way, each with since when and against what.

Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vwo_celery.console.charts.spelling import short
from vwo_celery.console.pages.trends import NOW_WORDS, Trend
from vwo_celery.console.pages.verdicts import Level
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.text.amounts import count, span


class Place(msgspec.Struct, frozen=True):
    """One place on an event's way.

    Attributes:
        name: The glossary's word.
        number: Events that are there, or came there so far.
        about: Since when, or how old; what it means.
        against: How it was before; "" if that is not known.
        level: Whether it needs a look.
        page: The page that tells more.
    """

    name: str
    number: int
    about: str
    against: str = ""
    level: Level = "ok"
    page: str = ""


class Flow(msgspec.Struct, frozen=True):
    """The way of events: from accepted to delivered, and what is beside it."""

    way: tuple[Place, ...]
    beside: tuple[Place, ...]


def flow_of(views: Sequence[QueueView], lanes: tuple[int, int] | None, trend: Trend) -> Flow:
    """Where the events of these queues are.

    Args:
        views: The queues.
        lanes: Lanes that deliver now, and all lanes; None if that is not known.
        trend: How they went lately.
    """
    return Flow(
        way=(
            Place(
                "accepted",
                sum(view.ledger.accepted for view in views),
                _rate(trend.accepted_a_second, "came"),
                trend.accepted_against,
            ),
            _open(views),
            _ready(views, trend),
            _in_flight(views, lanes),
            _delivered(views, trend),
        ),
        beside=(_released(views), _dead(views, trend), _dropped(views)),
    )


def _rate(a_second: float | None, verb: str) -> str:
    if a_second is None:
        return "no rate known yet"
    return f"{short(a_second)} a second {verb} in the last {NOW_WORDS}"


def _open(views: Sequence[QueueView]) -> Place:
    number = sum(view.open for view in views)
    waits = [view.interval_seconds for view in views if view.open and view.interval_seconds]
    about = f"filling, for {span(max(waits))} at most" if waits else "filling"
    return Place("open", number, about if number else "no batch is being filled")


def _ready(views: Sequence[QueueView], trend: Trend) -> Place:
    number = sum(view.ready for view in views)
    held = [view for view in views if view.stopped and view.ready]
    kept = sum(view.ready for view in held)
    late = max((view.late_seconds for view in views if not view.stopped), default=0.0)
    about, level = "none is late", "ok"
    if kept:
        about, level = f"{kept:,} held back in {count(len(held), 'queue')}", "warn"
    elif late:
        about, level = f"the oldest {span(late)} late", "warn"
    elif not number:
        about = "nothing waits for a worker"
    return Place("ready", number, about, trend.undelivered_against, level)  # type: ignore[arg-type]


def _in_flight(views: Sequence[QueueView], lanes: tuple[int, int] | None) -> Place:
    number = sum(view.in_flight for view in views)
    if lanes is None:
        return Place("in flight", number, "being sent", page="workers")
    busy, every = lanes
    about = f"{busy} of {count(every, 'lane')} busy" if every else "no worker listens"
    return Place("in flight", number, about, "", "ok" if every else "problem", "workers")


def _delivered(views: Sequence[QueueView], trend: Trend) -> Place:
    ages = [view.delivered_age_seconds for view in views]
    last = min((age for age in ages if age is not None), default=None)
    number = sum(view.ledger.delivered for view in views)
    unknown = "" if number else "none so far"
    told = [
        "" if trend.delivered_a_second is None else _rate(trend.delivered_a_second, "left"),
        unknown if last is None else f"the newest {span(last)} ago",
    ]
    about = ", ".join(each for each in told if each)
    return Place("delivered", number, about, trend.delivered_against)


def _released(views: Sequence[QueueView]) -> Place:
    number = sum(view.released for view in views)
    tried = [view for view in views if not (view.stopped and view.stopped.needs_person)]
    if number and not sum(view.released for view in tried):
        return Place("released", number, "no try while its queue is paused", "", "warn")
    due = [
        max(view.next_try_seconds, view.held_seconds or 0.0)
        for view in tried
        if view.next_try_seconds is not None
    ]
    soon = f"next try {f'in {span(min(due))}' if min(due) else 'now'}" if due else ""
    about = soon or "VWO refused none that waits"
    return Place("released", number, about, "", "warn" if number else "ok")


def _dead(views: Sequence[QueueView], trend: Trend) -> Place:
    number = sum(view.dead for view in views)
    batches = count(sum(view.dead_batches for view in views), "batch", "batches")
    about = f"in {batches}; you decide" if number else "nothing to decide"
    return Place("dead", number, about, trend.dead_against, "problem" if number else "ok", "dead")


def _dropped(views: Sequence[QueueView]) -> Place:
    drops = [drop for view in views for drop in view.drops]
    number = sum(drop.events for drop in drops)
    ages = [drop.last_age_seconds for drop in drops if drop.last_age_seconds is not None]
    reasons = ", ".join(sorted({drop.reason for drop in drops}))
    last = f", the last {span(min(ages))} ago" if ages else ""
    about = f"{reasons}{last}" if drops else "none of those that were accepted"
    refused = sum(view.refused for view in views)
    more = f"; {refused:,} never accepted, since the queue was full" if refused else ""
    return Place("dropped", number, f"{about}{more}")
