"""The verdict: whether events leave, in one sentence, with what is wrong and what to do about it.

Pure decisions on findings and views: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from vwo_celery.operating.doctor.finding import Finding
from vwo_celery.operating.doctor.kinds import KINDS
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.text.amounts import count, span

Level = Literal["ok", "warn", "problem"]
#: Troubles that the title tells in its own words.
NO_WORKER: Final = "VC401"
LATE: Final = "VC616"
_ORDER: Final = {"problem": 0, "warn": 1, "ok": 2}
#: Where troubles are, the one on top that others follow from; see `kinds`.
_PLACES: Final = ("VC2", "VC3", "VC4", "VC5", "VC6", "VC1")


class Trouble(msgspec.Struct, frozen=True):
    """One finding as the page tells it.

    Attributes:
        id: The trouble's id.
        level: How bad it is.
        title: The trouble, in a line.
        what: What is true now.
        remedy: What to do.
    """

    id: str
    level: Level
    title: str
    what: str
    remedy: str


class Verdict(msgspec.Struct, frozen=True):
    """Whether events leave.

    Attributes:
        level: How bad it is.
        title: The verdict in a few words.
        sentence: When VWO last took a batch, and what waits.
        troubles: What is wrong, the worst first.
        fine: The checks that found nothing.
    """

    level: Level
    title: str
    sentence: str
    troubles: tuple[Trouble, ...]
    fine: tuple[Finding, ...]


def judge(findings: Sequence[Finding], views: Sequence[QueueView]) -> Verdict:
    """The verdict on a fleet.

    Args:
        findings: The doctor's.
        views: The queues.
    """
    wrong = sorted((each for each in findings if each.state != "ok"), key=_urgency)
    return Verdict(
        level=wrong[0].state if wrong else "ok",
        title=_title(wrong, views),
        sentence=_sentence(wrong, views),
        troubles=tuple(map(_trouble, wrong)),
        fine=tuple(each for each in findings if each.state == "ok"),
    )


def _urgency(finding: Finding) -> tuple[int, bool, int, str]:
    """The worse, the more urgent; what is seen at a deploy alone comes after what keeps events now."""
    kind = KINDS.get(finding.id)
    return (
        _ORDER[finding.state], bool(kind and kind.quiet), _PLACES.index(finding.id[:3]), finding.id,
    )  # fmt: skip


def _trouble(finding: Finding) -> Trouble:
    kind = KINDS.get(finding.id)
    title = kind.title if kind else finding.check
    return Trouble(finding.id, finding.state, title, finding.what, finding.remedy)


def _title(wrong: Sequence[Finding], views: Sequence[QueueView]) -> str:
    """What an operator has to know if they read nothing else."""
    ids = {each.id for each in wrong}
    held = [view for view in views if view.stopped and view.undelivered]
    waiting = sum(view.undelivered for view in views)
    if waiting and NO_WORKER in ids:
        return f"No worker listens, and {_wait(waiting)}"
    if held:
        kept = _wait(sum(view.undelivered for view in held))
        return f"{kept} in {_queues(held)} that {_stand(held)} still"
    if late := max((view.late_seconds for view in views if LATE in ids), default=0.0):
        return f"Events are {span(late)} late"
    if any(each.state == "problem" for each in wrong):
        return "Something needs you"
    if wrong:
        return "Events leave in time; something deserves a look"
    return "All is well" if views else "Ready for the first event"


def _stand(views: Sequence[QueueView]) -> str:
    return "stands" if len(views) == 1 else "stand"


def _wait(events: int) -> str:
    return count(events, "event waits", "events wait")


def _sentence(wrong: Sequence[Finding], views: Sequence[QueueView]) -> str:
    problems = sum(each.state == "problem" for each in wrong)
    warnings = len(wrong) - problems
    told = [count(problems, "problem")] * bool(problems)
    told += [count(warnings, "warning")] * bool(warnings)
    return "; ".join([*([" and ".join(told)] if told else []), *_flow(wrong, views)])


def _flow(wrong: Sequence[Finding], views: Sequence[QueueView]) -> list[str]:
    """What left last, and what waits, unless the title says so."""
    if not views:
        first = "an application registers its queue with its first event"
        return ["no queue is registered yet", first]
    ages = [view.delivered_age_seconds for view in views]
    last = min((age for age in ages if age is not None), default=None)
    accepted = "VWO has not accepted a batch yet"
    if last is not None:
        accepted = f"VWO last accepted a batch {span(last)} ago"
    waiting = sum(view.undelivered for view in views)
    told = _wait(waiting) if waiting else "nothing waits"
    return [accepted] if told in _title(wrong, views) else [accepted, told]


def _queues(views: Iterable[QueueView]) -> str:
    return count(len([*views]), "queue")
