"""What an action on queues would do: flush, pause, resume, retry.

Each plan is made of looks, and changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from vwo_celery.console.pages.plan import Field, Plan
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.visits import Visit
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.text.amounts import count, span

#: Most queues that a plan tells of one by one.
_MOST_QUEUES: Final = 20
_REASON: Final = Field("reason", "Why?", "shown beside your name until somebody resumes it")


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
    return view.stopped is not None and not view.stopped.is_declined


def _resumed(view: QueueView) -> str:
    if view.stopped is None:
        return "It is not stopped, so there is nothing to resume."
    if view.stopped.is_declined:
        return view.stopped.why_no_resume
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


flush: Final = _of_queues("Flush", _flushed, _kept_back, lambda view: view.undelivered)
pause: Final = _of_queues("Pause", _paused, _stopped_already, fields=(_REASON,))
resume: Final = _of_queues("Resume", _resumed, _refused_again, _may_resume)
retry: Final = _of_queues(
    "Retry what VWO did not accept of", _retried, _kept_back, lambda view: view.released,
    button="Retry now",
)  # fmt: skip
