"""The past of queues as pictures: what came and left, what waits, how old it is, what VWO answered.

Pure: nothing to lose. A missing sample is a gap, never a zero. The oldest waiting event stands beside
the ages at delivery, since those say nothing just when nothing is delivered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from vwo_celery.console.charts.pictures import Limit, Line, Mark, Picture
from vwo_celery.operating.past.audit import Change
from vwo_celery.operating.past.history import Step, coarser

#: Spans that can be chosen, in words.
SPAN_WORDS: Final[Mapping[str, str]] = {
    "15m": "15 minutes", "1h": "hour", "8h": "8 hours", "24h": "24 hours", "7d": "7 days",
    "90d": "90 days",
}  # fmt: skip
DEFAULT_SPAN: Final = "1h"
#: Most steps of a chart: more would be closer together than a pointer can tell.
MOST_STEPS: Final = 96
#: Share of a step's usual length from which samples are missing in it.
_MISSING: Final = 1.5


class Stretch(msgspec.Struct, frozen=True):
    """A span of time as charts show it.

    Attributes:
        steps: Its steps; None where samples are missing.
        at_ms: Unix ms of each end.
        running: Whether the last step has not ended.
    """

    steps: tuple[Step | None, ...]
    at_ms: tuple[int, ...]
    running: bool = False


def stretch_of(history: Sequence[Step], running: Step | None = None) -> Stretch:
    """Steps, the oldest first, at most as many as a chart can tell apart, and gaps between them."""
    steps = coarser(history, MOST_STEPS)
    usual = sorted(step.seconds for step in steps)[len(steps) // 2] if steps else 0.0
    told: list[tuple[int, Step | None]] = []
    for step in steps:
        if step.seconds > _MISSING * usual:
            told.append((step.at_ms - int(500 * step.seconds), None))
        told.append((step.at_ms, step))
    unfinished = running is not None and (not told or running.at_ms > told[-1][0])
    if running is not None and unfinished:
        told.append((running.at_ms, running))
    return Stretch(tuple(step for _, step in told), tuple(at for at, _ in told), unfinished)


def pictures_of(
    stretch: Stretch,
    *,
    changes: Sequence[Change] = (),
    interval_seconds: float | None = None,
) -> list[Picture]:
    """The charts of a stretch of time.

    Args:
        stretch: The time.
        changes: Operators' changes, which are marked.
        interval_seconds: The promised age of the one queue that it is of; None for several.
    """
    marks = tuple(Mark(each.at_ms, f"{each.command} by {each.who}") for each in changes)
    return [
        _flow(stretch, marks),
        _waiting(stretch, marks),
        _ages(stretch, marks, interval_seconds),
        _answers(stretch, marks),
    ]


def _picture(stretch: Stretch, title: str, lines: Sequence[Line], **more: Any) -> Picture:
    stopped = tuple(step is not None and step.stopped for step in stretch.steps)
    return Picture(
        title,
        stretch.at_ms,
        tuple(lines),
        running=stretch.running,
        stopped=stopped,
        **more,
    )


def _rates(stretch: Stretch, name: str) -> tuple[float | None, ...]:
    return tuple(_rate(step, name) for step in stretch.steps)


def _rate(step: Step | None, name: str) -> float | None:
    grown = None if step is None else getattr(step, name, None)
    return None if grown is None or not step or not step.seconds else grown / step.seconds


def _now(stretch: Stretch, name: str) -> tuple[float | None, ...]:
    return tuple(None if step is None else float(getattr(step, name)) for step in stretch.steps)


def _flow(stretch: Stretch, marks: tuple[Mark, ...]) -> Picture:
    lines = [
        Line("accepted", "accepted", _rates(stretch, "accepted")),
        Line("delivered", "delivered", _rates(stretch, "delivered")),
    ]
    lost = [
        Line(name, name, values)
        for name in ("dropped", "refused")
        if any(filter(None, values := _rates(stretch, name)))
    ]
    return _picture(stretch, "Events a second", [*lines, *lost], unit="rate", marks=marks)


def _waiting(stretch: Stretch, marks: tuple[Mark, ...]) -> Picture:
    lines = [
        Line("undelivered", "waiting", _now(stretch, "undelivered"), area=True),
        Line("dead", "dead", _now(stretch, "dead")),
    ]
    return _picture(stretch, "Events that wait", lines, marks=marks)


def _ages(stretch: Stretch, marks: tuple[Mark, ...], interval: float | None) -> Picture:
    lines = [
        Line("oldest waiting", "oldest", _now(stretch, "oldest_seconds")),
        *_at_delivery(stretch),
    ]
    return _picture(
        stretch, "Age of events", lines, unit="seconds", logarithmic=True, marks=marks,
        limit=Limit("interval", interval) if interval else None,
    )  # fmt: skip


def _at_delivery(stretch: Stretch) -> list[Line]:
    """Percentiles of the ages at which VWO had batches, where samples hold them."""
    lines = []
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        values = tuple(_percentile(step, share) for step in stretch.steps)
        if any(value is not None for value in values):
            lines.append(Line(f"at delivery, {name}", name, values))
    return lines


def _percentile(step: Step | None, share: float) -> float | None:
    return None if step is None else step.age_at_delivery(share)


def _answers(stretch: Stretch, marks: tuple[Mark, ...]) -> Picture:
    failed = _rates(stretch, "failed")
    tries = _rates(stretch, "tries")
    well = tuple(
        None if of is None or no is None else max(0.0, of - no)
        for of, no in zip(tries, failed, strict=True)
    )
    lines = [Line("accepted by VWO", "delivered", well), Line("failed", "dead", failed)]
    return _picture(
        stretch, "Requests to VWO a second", lines, unit="rate", stacked=True, marks=marks
    )
