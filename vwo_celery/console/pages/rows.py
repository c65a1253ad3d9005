"""The list of queues: what each holds, how old the oldest is against its interval, and why it waits.

Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from vwo_celery.console.pages.verdicts import Level
from vwo_celery.operating.looks.looking import Look
from vwo_celery.operating.looks.notes import LOOK, WRONG, Note
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.operating.past.history import Step
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import span

#: Most queues that the list shows, and most of them where those that hold nothing are shown as well.
MOST_ROWS: Final = 100
_ALWAYS_SHOWN: Final = 20
#: Shares of its interval from which the oldest event deserves a look, and is wrong.
_LATE, _TOO_LATE = 1.1, 2.0
#: Most steps of a sparkline.
_SPARK_STEPS: Final = 40
_LEVELS: Final[Mapping[str, Level]] = {WRONG: "problem", LOOK: "warn"}


class Remark(msgspec.Struct, frozen=True):
    """One note on a queue, and how bad it is."""

    text: str
    level: Level


class Row(msgspec.Struct, frozen=True):
    """One queue of the list.

    Attributes:
        view: What it holds.
        level: How bad its worst note is.
        remarks: Its notes.
        where: Account and host that it is sent to; "" if it is not registered.
        oldest: Age of its oldest event, and its interval, in words.
        share: That age as a share of twice the interval, from 0 to 1.
        age_level: Whether that is late.
        rates: Events delivered a second, step by step.
        rate: The last of them; None if it is not known.
        paused: Whether only an operator's resume sends again.
    """

    view: QueueView
    level: Level
    remarks: tuple[Remark, ...]
    where: str
    oldest: str
    share: float
    age_level: Level
    rates: tuple[float | None, ...]
    rate: float | None
    paused: bool


class Rows(msgspec.Struct, frozen=True):
    """The list, and what it leaves out.

    Attributes:
        shown: The queues of the list.
        every: Number of all queues.
        idle: Number of those that hold nothing and are left out.
        more: Number of others that are left out.
        wanted: The words by which they were picked, "" for none.
    """

    shown: tuple[Row, ...]
    every: int
    idle: int = 0
    more: int = 0
    wanted: str = ""


def rows_of(
    look: Look,
    registered: Mapping[str, Registration],
    steps: Mapping[str, Sequence[Step]],
    *,
    wanted: str = "",
    idle: bool = False,
) -> Rows:
    """The list of a look's queues, those that need a person first.

    Args:
        look: The look.
        registered: The registrations.
        steps: Each queue's history over the last hour.
        wanted: Words, all of which a queue's name, account or host has to hold; "" for all queues.
        idle: Whether queues that hold nothing are listed, however many there are.
    """
    rows = [
        row_of(view, look, registered.get(view.queue), steps.get(view.queue, ()))
        for view in look.views
    ]
    found = [row for row in rows if _holds(row, wanted)]
    kept = [
        row for row in found
        if idle or wanted or len(found) <= _ALWAYS_SHOWN or not row.view.idle
    ]  # fmt: skip
    return Rows(
        shown=tuple(kept[:MOST_ROWS]), every=len(rows), idle=len(found) - len(kept),
        more=max(0, len(kept) - MOST_ROWS), wanted=wanted,
    )  # fmt: skip


def _holds(row: Row, wanted: str) -> bool:
    text = f"{row.view.queue} {row.where}".lower()
    return all(word in text for word in wanted.lower().split())


def row_of(
    view: QueueView, look: Look, registration: Registration | None, steps: Sequence[Step]
) -> Row:
    """One queue of the list."""
    notes = look.notes.get(view.queue, [])
    remarks = tuple(Remark(note.text, level_of(note)) for note in notes)
    rates = tuple(
        None if step.delivered is None or not step.seconds else step.delivered / step.seconds
        for step in steps[-_SPARK_STEPS:]
    )
    share, age_level = _age(view)
    return Row(
        view=view,
        level=max((each.level for each in remarks), key=_BADNESS.index, default="ok"),
        remarks=remarks,
        where=_where(registration, look.apart.get(view.queue, "")),
        oldest=_oldest(view),
        share=share,
        age_level=age_level,
        rates=rates,
        rate=rates[-1] if rates else None,
        paused=view.stopped is not None and view.stopped.needs_person,
    )


_BADNESS: Final[tuple[Level, ...]] = ("ok", "warn", "problem")


def level_of(note: Note) -> Level:
    """How bad what a note says is."""
    return _LEVELS.get(note.style, "ok")


def _where(registration: Registration | None, apart: str) -> str:
    if registration is None:
        return ""
    to = registration.destination
    words = f"account {to.account_id}, to {to.host}"
    return f"{words}; {apart}" if apart else words


def _oldest(view: QueueView) -> str:
    if view.oldest_age_seconds is None:
        return "–"
    age = ("at least " if view.incomplete else "") + span(view.oldest_age_seconds)
    return f"{age} of {span(view.interval_seconds)}" if view.interval_seconds else age


def _age(view: QueueView) -> tuple[float, Level]:
    age, interval = view.oldest_age_seconds or 0.0, view.interval_seconds or 0.0
    if not interval:
        return (1.0, "warn") if view.late_seconds > 1 else (0.0, "ok")
    level: Level = "ok"
    if age > _TOO_LATE * interval:
        level = "problem"
    elif age > _LATE * interval:
        level = "warn"
    return min(1.0, age / interval / _TOO_LATE), level
