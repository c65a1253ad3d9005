"""What an action would do, before anybody does it: sentences, and the fields of its form.

Each plan is made of looks, and changes nothing: nothing to lose. `asking` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from vwo_celery.console.shared.dead import find
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.visits import Visit
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.documents.jobs import job_document
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.operating.operations import count_dead
from vwo_celery.operating.operations.jobs import list_jobs
from vwo_celery.text.amounts import count, span

#: Most queues that a plan tells of one by one.
_MOST_QUEUES: Final = 20
#: Cause of a stop that no operator can end here; see `Stop.by`.
_DECLINED: Final = "workers"


class Field(msgspec.Struct, frozen=True):
    """A field that somebody may fill in."""

    name: str
    label: str
    hint: str = ""
    number: bool = False


class Plan(msgspec.Struct, frozen=True):
    """What an action would do.

    Attributes:
        title: The question.
        lines: What would happen, one sentence each.
        button: The word on the button that does it.
        hidden: Fields that the form holds, which nobody fills in.
        fields: Fields to fill in.
        doubts: What speaks against it, or what it would not do.
        back: The page to go back to.
        possible: Whether there is anything to do.
        for_good: Whether nothing brings back what it drops.
    """

    title: str
    lines: tuple[str, ...]
    button: str
    hidden: tuple[tuple[str, str], ...] = ()
    fields: tuple[Field, ...] = ()
    doubts: tuple[str, ...] = ()
    back: str = ""
    possible: bool = True
    for_good: bool = False


_REASON: Final = Field("reason", "Why?", "shown beside your name until somebody resumes it")


# -- of queues


def _views(visit: Visit) -> list[QueueView]:
    names = visit.every_field("queues")
    if not names:
        raise Refusal(400, "no queue is named", "begin at the list of queues")
    visit.choose(names)
    return [view for view in visit.look().views if view.queue in names]


def _title(verb: str, views: Sequence[QueueView]) -> str:
    return f"{verb} {views[0].queue if len(views) == 1 else count(len(views), 'queue')}?"


def _hidden(views: Sequence[QueueView]) -> tuple[tuple[str, str], ...]:
    return tuple(("queues", view.queue) for view in views)


def _back(views: Sequence[QueueView]) -> str:
    return views[0].queue if len(views) == 1 else ""


def _each(views: Sequence[QueueView], tell: Callable[[QueueView], str]) -> tuple[str, ...]:
    """A sentence for each queue, with its name where there are several."""
    told = [
        tell(view) if len(views) == 1 else f"{view.queue}: {tell(view)}"
        for view in views[:_MOST_QUEUES]
    ]
    more = len(views) - _MOST_QUEUES
    return (*told, *([f"and {count(more, 'further queue')}"] if more > 0 else []))


def _of_queues(
    verb: str,
    tell: Callable[[QueueView], str],
    doubts: Callable[[Visit, Sequence[QueueView]], tuple[str, ...]],
    is_possible: Callable[[QueueView], object] = lambda _: True,
    *,
    fields: tuple[Field, ...] = (),
    button: str = "",
) -> Callable[[Visit], Plan]:
    """The plan of what is done to whole queues; it is possible where it is for one of them."""

    def plan(visit: Visit) -> Plan:
        views = _views(visit)
        return Plan(
            _title(verb, views), _each(views, tell), button or verb, _hidden(views), fields,
            doubts(visit, views), _back(views), any(map(is_possible, views)),
        )  # fmt: skip

    return plan


def _kept_back(visit: Visit, views: Sequence[QueueView]) -> tuple[str, ...]:
    """Why what is to leave at once does not."""
    doubts = [
        f"Nothing of {view.queue} leaves while it stands still: {view.stopped}."
        for view in views
        if view.stopped
    ]
    if visit.look().nobody_listens or visit.look().heard == []:
        doubts.append("No worker listens: what is due waits until one does.")
    return tuple(doubts)


def _flushed(view: QueueView) -> str:
    if not view.undelivered:
        return "It holds nothing, so there is nothing to send."
    released = (
        f" {count(view.released, 'released event')} keep their time." if view.released else ""
    )
    return (
        f"{count(view.open, 'open event')} become a batch now, though it is neither full nor old, and "
        f"{count(view.ready, 'ready event')} go to the workers.{released}"
    )


def _paused(view: QueueView) -> str:
    room = f" It is {view.fullness:.0%} full." if view.fullness else ""
    settled = count(view.in_flight, "event")
    return (
        "No worker takes a batch of it until somebody resumes it. "
        f"{settled} in flight are settled as usual; {count(view.undelivered - view.in_flight, 'event')} "
        f"and all that come are kept, as long as there is room.{room}"
    )


def _stopped_already(_: Visit, views: Sequence[QueueView]) -> tuple[str, ...]:
    return tuple(
        f"{view.queue} stands still already: {view.stopped}." for view in views if view.stopped
    )


def _refused_again(_: Visit, views: Sequence[QueueView]) -> tuple[str, ...]:
    return tuple(
        f"VWO refused {view.queue}, and will again until that is mended: {view.stopped.why}"
        for view in views if view.stopped and view.stopped.by == "refusal"
    )  # fmt: skip


def _may_resume(view: QueueView) -> bool:
    return view.stopped is not None and view.stopped.by != _DECLINED


def _resumed(view: QueueView) -> str:
    if view.stopped is None:
        return "It is not stopped, so there is nothing to resume."
    if view.stopped.by == _DECLINED:
        return (
            "Nobody has stopped it: every worker declines it, and a resume does not change that. It goes "
            f"on by itself as soon as one worker may send it. {view.stopped.why[:1].upper()}"
            f"{view.stopped.why[1:]}."
        )
    return (
        f"Workers take its batches again at once: {count(view.undelivered, 'event')} wait. It is "
        f"{view.stopped}."
    )


def _retried(view: QueueView) -> str:
    if not view.released:
        return "No batch of it waits for another attempt."
    waits = view.next_try_seconds
    due = f"the first in {span(waits)}" if waits else "some are already"
    return (
        f"{count(view.released, 'released event')} wait for another attempt; those that are not due yet "
        f"become due at once. Without this they become due by themselves, {due}."
    )


# -- of dead letters


def _bulk(visit: Visit, verb: str, what: str, *, for_good: bool = False) -> Plan:
    now_ms = visit.fleet.now_ms()
    found = find(visit, visit.field("filter"))
    counted = count_dead(found.batches, now_ms)
    amount = counted.amount
    sums = f"{count(amount.events, 'event')} in {count(amount.batches, 'batch', 'batches')}"
    doubts = [f"Left out, since they cannot be read: {each}." for each in found.search.unreadable]
    if found.search.not_looked_at:
        doubts.append(
            f"{count(found.search.not_looked_at, 'event')} could not be looked at: narrow the filter."
        )
    chosen = f"that match {str(found.wanted)!r}" if found.wanted else "there are"
    return Plan(
        f"{verb} {sums}?",
        (
            f"All {sums} of {count(len(counted.queues), 'queue')} {chosen} now: {what}",
            "A worker does it, batch by batch; you see how far it is, and can stop it. What dies after "
            "this moment is left alone.",
        ),
        f"{verb} {count(amount.events, 'event')}",
        (
            ("filter", visit.field("filter")), ("until_ms", str(counted.until_ms)),
            ("batches", str(amount.batches)),
        ),
        (
            Field("rate", "Most events a second", "as fast as Redis allows", number=True),
            Field("most", "Most batches", "all", number=True),
        ),
        tuple(doubts), "dead", bool(amount.batches), for_good,
    )  # fmt: skip


def _redrive(visit: Visit) -> Plan:
    return _bulk(
        visit, "Redrive", "they go back to be sent, unchanged. What VWO refuses again dies again."
    )


def _purge(visit: Visit) -> Plan:
    return _bulk(
        visit, "Purge",
        "they are dropped for good, and counted as dropped (purged). Only an export brings them back: "
        "vwo-celery dead export.",
        for_good=True,
    )  # fmt: skip


def _events(visit: Visit, verb: str, what: str, *, for_good: bool = False) -> Plan:
    batch, places = visit.field("batch"), visit.every_field("places")
    each = next(find(visit, str(Filter(batches=(batch,)))).batches, None)
    if each is None:
        raise Refusal(404, f"no dead letter has the id {batch}")
    if not places:
        raise Refusal(400, "no event is chosen", "choose some at the dead letter")
    number = count(len(places), "event")
    return Plan(
        f"{verb} {number}?",
        (f"{number} of the {each.events:,} in batch {batch} {what}", "The others stay dead."),
        f"{verb} {number}",
        (("batch", batch), *(("places", place) for place in places)),
        back=f"dead/{batch}", for_good=for_good,
    )  # fmt: skip


def _redrive_events(visit: Visit) -> Plan:
    return _events(visit, "Redrive", "go back to be sent, as a batch of their own.")


def _purge_events(visit: Visit) -> Plan:
    return _events(
        visit, "Purge", "are dropped for good, and counted as dropped (purged).", for_good=True
    )


def _stop(visit: Visit) -> Plan:
    wanted = visit.field("job")
    job = next((each for each in list_jobs(visit.fleet) if each.job == wanted), None)
    if job is None:
        raise Refusal(404, f"there is no job {wanted}; they are kept for an hour")
    told = job_document(job)
    return Plan(
        f"Stop the {told.operation} of {count(told.counted.batches, 'batch', 'batches')}?",
        (
            f"It ends after the batch that it is at; {told.changed.batches:,} of "
            f"{told.counted.batches:,} are done, and stay done. The same order again does the rest.",
        ),
        "Stop it", (("job", wanted),), back="dead",
        possible=told.state in ("waiting", "running", "silent"),
    )  # fmt: skip


#: The plan of each action, by the action's name.
PLANS: Final[Mapping[str, Callable[[Visit], Plan]]] = MappingProxyType(
    {
        "flush": _of_queues("Flush", _flushed, _kept_back, lambda view: view.undelivered),
        "pause": _of_queues("Pause", _paused, _stopped_already, fields=(_REASON,)),
        "resume": _of_queues("Resume", _resumed, _refused_again, _may_resume),
        "retry": _of_queues(
            "Retry what VWO did not accept of",
            _retried,
            _kept_back,
            lambda view: view.released,
            button="Retry now",
        ),
        "redrive": _redrive,
        "purge": _purge,
        "redrive-events": _redrive_events,
        "purge-events": _purge_events,
        "stop": _stop,
    }
)
