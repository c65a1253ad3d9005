"""What a key would change of queues, of one or of all that are marked: flush, pause, resume.

See `plans`. Several queues are one change, with one entry in the audit. If the process dies in an act,
what was changed stays so, and the same key does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vwo_celery.errors import QueueUnknown
from vwo_celery.operating import operations
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.operating.operations import FlushCounts
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import count
from vwo_celery.top.looking.plans import Means, Nothing, Plan

#: Most queues that a question names, each with a line of its own.
_MOST_NAMED: Final = 8


def plan_flush(fleet: Fleet, queues: Sequence[str]) -> Plan | Nothing:
    """Hand all that some queues hold to the workers now.

    Raises:
        QueueUnknown: There is no such queue.
        QueueUnavailable: Redis did not answer.
    """
    views, _ = _views(fleet, queues)
    holding = [view for view in views if view.undelivered]
    if not holding:
        return Nothing(f"{_named(queues)} {_holds(queues)} nothing that could be sent")
    events = sum(view.undelivered for view in holding)
    if len(queues) == 1:
        lines = [f"{_held(holding[0])} go to the workers now, whatever their age"]
    else:
        lines = [
            f"{count(events, 'event')} go to the workers now, whatever their age:",
            *_each([f"{view.queue}: {_held(view)}" for view in holding]),
        ]
    lines += _each([_but(view, queues) for view in holding if view.stopped is not None])
    names = [view.queue for view in holding]
    return Plan(f"Flush {_named(queues)}", lines, lambda means: _flush(means, names, events))


def _held(view: QueueView) -> str:
    return (
        f"{count(view.undelivered, 'event')} ({view.open:,} open, {view.ready:,} ready, "
        f"{view.released:,} released, {view.in_flight:,} in flight)"
    )


def _but(view: QueueView, queues: Sequence[str]) -> str:
    of = "" if len(queues) == 1 else f" of {view.queue}"
    return f"but nothing{of} is sent while it is so: {view.stopped}"


def _flush(means: Means, queues: Sequence[str], events: int) -> str:
    done = operations.flush(means.fleet, means.actor, queues, wait_seconds=None)
    stay = [
        f"{_of(queue, queues)}{_stays(each)}" for queue, each in done.counts.items() if _why(each)
    ]
    if stay:
        return f"flushed {_named(queues)}, but {'; '.join(_each(stay))}"
    return f"flushed {_named(queues)}: a worker has taken the wake-up for {count(events, 'event')}"


def _why(counts: FlushCounts) -> str:
    return "" if counts.reason == operations.NOT_AWAITED else counts.reason


def _of(queue: str, queues: Sequence[str]) -> str:
    return "" if len(queues) == 1 else f"of {queue} "


def _stays(counts: FlushCounts) -> str:
    return f"{count(counts.pending, 'event')} stay: {_why(counts)}"


def plan_pause(fleet: Fleet, queues: Sequence[str]) -> Plan | Nothing:
    """Pause queues, or resume them where each is stopped already.

    Of several, those that are stopped stay so while others are paused.

    Raises:
        QueueUnknown: There is no such queue.
        QueueUnavailable: Redis did not answer.
    """
    views, registered = _views(fleet, queues)
    sending = [view for view in views if view.stopped is None]
    if not sending:
        return _resume_what_may(views, registered)
    meant = {view.queue: registered[view.queue] for view in sending}
    undelivered = sum(view.undelivered for view in sending)
    in_flight = sum(view.in_flight for view in sending)
    it, comes = ("it", "resumes it") if len(meant) == 1 else ("them", "resumes them")
    lines = [
        f"Nothing of {it} is sent until somebody {comes}; events that come are kept, now "
        f"{undelivered:,}",
        f"{count(in_flight, 'event')} in flight are settled as usual",
        *_each([_room(view, meant) for view in sending if view.limits is not None]),
    ]
    stopped = [f"{view.queue} stays as it is: {view.stopped}" for view in views if view.stopped]
    return Plan(
        f"Pause {_named([*meant])}",
        [*lines, *_each(stopped)],
        lambda means: _pause(means, meant),
        takes_reason=True,
    )


def _room(view: QueueView, meant: dict[str, Registration]) -> str:
    """How much more a queue takes before it is full."""
    if view.limits is None:
        return ""
    events = view.limits.capacity_events * max(1, len(view.shards)) - view.undelivered
    name = "it" if len(meant) == 1 else view.queue
    return f"{name} takes about {count(max(0, events), 'event')} more before it is full"


def _pause(means: Means, registered: dict[str, Registration]) -> str:
    done = operations.pause(means.fleet, means.actor, registered, means.reason)
    return _changed("paused", done, registered, "had been paused before")


def _changed(
    word: str, done: Sequence[str], meant: dict[str, Registration], before: str, after: str = ""
) -> str:
    """What was done, and which queues needed it no more."""
    left = [queue for queue in meant if queue not in done]
    parts = [f"{word} {_named(done)}{after}"] if done else []
    return "; ".join([*parts, *_each([f"{queue} {before}, and is as it was" for queue in left])])


def _resume_what_may(
    views: Sequence[QueueView], registered: dict[str, Registration]
) -> Plan | Nothing:
    """Resume those that a resume helps; of those that every worker declines, say what does."""
    is_one, declined, meant = len(views) == 1, [], []
    for view in views:
        if view.stopped and view.stopped.is_declined:
            declined.append(f"{'' if is_one else f'{view.queue}: '}{view.stopped.why_no_resume}")
        else:
            meant.append(view)
    told = _each(declined)
    if not meant:
        return Nothing(" ".join(told))
    plan = _plan_resume(meant, {view.queue: registered[view.queue] for view in meant})
    return plan._replace(lines=[*plan.lines, *told])


def _plan_resume(views: Sequence[QueueView], registered: dict[str, Registration]) -> Plan:
    names = [view.queue for view in views]
    is_one = len(names) == 1
    events = sum(view.undelivered for view in views)
    lines = [
        *_each([f"{'It' if is_one else view.queue} is {view.stopped}" for view in views]),
        f"{count(events, 'event')} are sent again, those released at once",
    ]

    def act(means: Means) -> str:
        done = operations.resume(means.fleet, means.actor, registered)
        after = ": the workers are woken"
        return _changed("resumed", done, registered, "was not stopped any more", after)

    return Plan(f"Resume {_named(names)}", lines, act)


def _named(queues: Sequence[str]) -> str:
    return queues[0] if len(queues) == 1 else count(len(queues), "queue")


def _holds(queues: Sequence[str]) -> str:
    return "holds" if len(queues) == 1 else "hold"


def _each(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - _MOST_NAMED
    return [*lines[:_MOST_NAMED], *([f"and so for {more:,} more"] if more > 0 else [])]


def _views(fleet: Fleet, queues: Sequence[str]) -> tuple[list[QueueView], dict[str, Registration]]:
    registered = fleet.registrations()
    chosen = inspector.choose(registered.readable, queues, registered.unreadable)
    views = inspector.view_queues(fleet, chosen)
    if len(views) < len(chosen):
        away = sorted({*chosen} - {view.queue for view in views})
        raise QueueUnknown(f"the part of the Redis Cluster with {away[0]!r} is away")
    return views, dict(chosen)
