"""The state of a queue in one word, for lists in which each queue has one line.

The words in full are the notes'. Pure decisions on views: nothing to lose.
"""

from __future__ import annotations

from typing import NamedTuple

from vwo_celery.operating.looks import health
from vwo_celery.operating.looks.notes import KNOW, LOOK, WRONG
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.settings import Settings


class QueueState(NamedTuple):
    """The worst that is true of a queue.

    Attributes:
        word: One or two words, such as "paused", "late" or "ok".
        style: Its grade: `WRONG`, `LOOK` or `KNOW` as for notes, "" where all is well.
    """

    word: str
    style: str


def state_of(view: QueueView, settings: Settings) -> QueueState:
    """The state of a queue, the worst if there are several.

    Args:
        view: The queue.
        settings: A worker's; only the sweep's interval is used.
    """
    return _unsendable(view) or _stopped(view) or _slow(view, settings) or _fine(view)


def _unsendable(view: QueueView) -> QueueState | None:
    if view.stray:
        return QueueState("stray", WRONG)
    if view.unreadable:
        return QueueState("unreadable", WRONG)
    if not view.ledger.balanced:
        return QueueState("out of balance", WRONG)
    return None


def _stopped(view: QueueView) -> QueueState | None:
    stop = view.stopped
    if view.declined_by_all:
        return QueueState("declined", WRONG if view.undelivered else LOOK)
    if stop is None:
        return None
    if stop.needs_person:
        return QueueState("paused", WRONG if view.undelivered else LOOK)
    lasts = stop.by == "refusal" and view.undelivered
    return QueueState("stopped", WRONG if lasts else LOOK)


def _slow(view: QueueView, settings: Settings) -> QueueState | None:
    if health.is_stuck(view, settings):
        return QueueState("late", WRONG)
    if view.fullness >= 1:
        return QueueState("full", WRONG)
    if view.failing_seconds is not None and view.undelivered:
        return QueueState("failing", LOOK)
    return QueueState("retrying", LOOK) if view.released else None


def _fine(view: QueueView) -> QueueState:
    if view.dead:
        return QueueState("dead letters", LOOK)
    return QueueState("empty", KNOW) if view.idle else QueueState("ok", "")
