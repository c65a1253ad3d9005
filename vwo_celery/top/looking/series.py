"""The last hour as numbers to draw, one a minute; the looks so far where there is no history yet.

A minute whose sample is missing is a gap, never a zero. Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from vwo_celery.operating.past.history import QueueHistory, Step
from vwo_celery.text.amounts import count, span
from vwo_celery.top.looking.rates import Speeds
from vwo_celery.top.looking.scenes import Scene

#: Time between two samples.
_PERIOD_SECONDS: Final = 60.0


class Series(NamedTuple):
    """One thing over time.

    Attributes:
        name: What it is, with its unit.
        values: Its values, the oldest first; None where one is missing. The last one is the present.
        now: The present value in words, and over which time it is taken.
        per_seconds: Time between two values; None where each is one look.
    """

    name: str
    values: Sequence[float | None]
    now: str
    per_seconds: float | None

    def told(self, width: int) -> str:
        """What is drawn at this width, in words: since when, and how high."""
        shown = self.values[-width:]
        known = [value for value in shown if value is not None]
        most = f"most {max(known):,.0f}" if known else "nothing is known yet"
        if self.per_seconds is None:
            return f"last {count(len(shown), 'look')}, {most}"
        return f"last {span(self.per_seconds * len(shown))}, {most}"


def of_all(scene: Scene) -> tuple[Series, Series]:
    """What is delivered a second, and what waits, of all queues."""
    rate = scene.speeds.of_all
    steps = _steps(scene.history)
    names = "delivered/s", "waiting"
    now = _rate_words(rate, scene.speeds), f"{scene.waiting:,}"
    if not steps:
        drawn = scene.speeds.looks
        lines = [each for each, _ in drawn], [waiting for _, waiting in drawn]
        return Series(names[0], lines[0], now[0], None), Series(names[1], lines[1], now[1], None)
    present = (rate, scene.waiting)
    return _of_steps(names, steps, present, now)


def of_queue(scene: Scene, queue: str) -> tuple[Series, Series]:
    """The same of one queue; only the present where there is no history of it."""
    view = scene.views[queue]
    rate = scene.speeds.queues.get(queue)
    focus = scene.focus if scene.focus is not None and scene.focus.queue == queue else None
    now = _rate_words(rate, scene.speeds), f"{view.undelivered:,}"
    return _of_steps(("delivered/s", "waiting"), _steps(focus), (rate, view.undelivered), now)


def _rate_words(rate: float | None, speeds: Speeds) -> str:
    if rate is None:
        return "?"
    return f"{spelled_rate(rate)} over {span(speeds.over_seconds)}"


def spelled_rate(rate: float | None) -> str:
    """A rate in words: a decimal only where it is small; "?" where it is not known."""
    if rate is None:
        return "?"
    return f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}"


def _steps(history: QueueHistory | None) -> Sequence[Step]:
    return () if history is None else history.steps


def _of_steps(
    names: tuple[str, str],
    steps: Sequence[Step],
    present: tuple[float | None, float],
    now: tuple[str, str],
) -> tuple[Series, Series]:
    rates = _with_gaps(steps, _rate)
    waiting = _with_gaps(steps, lambda step: step.undelivered)
    return (
        Series(names[0], [*rates, present[0]], now[0], _PERIOD_SECONDS),
        Series(names[1], [*waiting, present[1]], now[1], _PERIOD_SECONDS),
    )


def _rate(step: Step) -> float | None:
    return None if step.delivered is None else step.delivered / step.seconds


def _with_gaps(steps: Sequence[Step], value: Callable[[Step], float | None]) -> list[float | None]:
    """One value a minute; of a step that is longer, since samples are missing, only the last has one."""
    values: list[float | None] = []
    for step in steps:
        missing = round(step.seconds / _PERIOD_SECONDS) - 1
        values += [None] * missing + [value(step)]
    return values
