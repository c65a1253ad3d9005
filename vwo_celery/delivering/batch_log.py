"""Stage 6 of an event's way: one line in the log for each attempt at a batch, and what a task did.

The logger `vwo_celery.batches` has a line of words `name=value` for each attempt as it ends. Where
many batches are delivered, or released in an outage of many queues, their lines are bounded, and the
rest is summed up; what was split, died or stopped its queue is never left out. If the process dies in
here, a line is lost, and nothing else.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from vwo_celery import signals
from vwo_celery.clocks import monotonic
from vwo_celery.logs import MOST_TOPICS, batch_log, with_fields
from vwo_celery.signals import BatchReport
from vwo_celery.text.lines import json_for_terminals

if TYPE_CHECKING:
    from vwo_celery.delivering.attempts import Announcement

#: The word for what became of a batch, by the signal that announces it.
OUTCOMES: Final[dict[Any, str]] = {
    signals.batch_delivered: "delivered",
    signals.batch_released: "released",
    signals.batch_split: "split",
    signals.batch_dead_lettered: "dead",
    signals.destination_paused: "stopped",
}
#: Lines of each bounded outcome that one process writes in each period, and the period in seconds.
LINES_A_PERIOD: Final = 60
PERIOD_SECONDS: Final = 60.0
#: Outcomes of which only so many lines are written.
_BOUNDED: Final = ("delivered", "released")


def fields_of(announcement: Announcement, worker: str) -> dict[str, Any]:
    """The facts of one line, by name, in their order.

    Args:
        announcement: What became of some events of a batch.
        worker: Name of the worker.
    """
    report, signal = announcement
    fields: dict[str, Any] = {
        "queue": report.queue,
        "batch": report.batch,
        "attempt": report.attempt,
        "events": report.count,
        "bytes": report.size_bytes,
        "outcome": OUTCOMES[signal],
        "answer": report.answer or "-",
        "age_s": round(report.oldest_age_seconds, 3),
        "post_s": round(report.elapsed_seconds, 3),
        "worker": worker,
    }
    if report.retry_in_seconds is not None:
        fields["retry_s"] = round(report.retry_in_seconds, 3)
    if report.parts:
        fields["parts"] = ",".join(report.parts)
    if report.error is not None:
        fields["error"] = report.error
    return fields


def as_words(fields: Mapping[str, Any]) -> str:
    """Spell facts as words `name=value`; a value with a space or a sign is a JSON text."""
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: Any) -> str:
    text = str(value)
    if text and text.isascii() and not any(sign in text for sign in ' "=\\') and text.isprintable():
        return text
    return json_for_terminals(json.dumps(text, ensure_ascii=False))


class BatchLog:
    """The lines of one process.

    Args:
        worker: Name of the worker that the process belongs to.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, worker: str, clock: Callable[[], float] = monotonic) -> None:
        self._worker = worker
        self._clock = clock
        self._lock = threading.Lock()
        self._bounds = {outcome: _Bound() for outcome in _BOUNDED}

    def write(self, announcement: Announcement) -> None:
        """Write the line of an attempt that has ended, or leave it out and count it."""
        fields = fields_of(announcement, self._worker)
        outcome, shown = fields["outcome"], True
        if outcome in self._bounds:
            with self._lock:
                said, shown = self._bounds[outcome].count(announcement.report, self._clock())
            self._say(outcome, said)
        if shown:
            _log(as_words(fields), fields)

    def end(self) -> None:
        """Sum up what was left out, as the process ends."""
        for outcome, bound in self._bounds.items():
            with self._lock:
                said = bound.take_left_out()
            self._say(outcome, said)

    def _say(self, outcome: str, said: dict[str, int] | None) -> None:
        if said:
            fields = {**said, "outcome": outcome, "worker": self._worker}
            _log(f"{said['batches']:,} more like this: {as_words(fields)}", fields)


class _Bound:
    """The lines of one outcome in this period, and the sum of what got none."""

    def __init__(self) -> None:
        self._period_ends = 0.0
        self._lines = 0
        self._left_out = dict.fromkeys(("batches", "events", "bytes"), 0)

    def count(self, report: BatchReport, now: float) -> tuple[dict[str, int] | None, bool]:
        """The sum of an earlier period that is to be said now, and whether this batch gets a line."""
        said = None
        if now >= self._period_ends:
            said, self._lines = self.take_left_out(), 0
            self._period_ends = now + PERIOD_SECONDS
        self._lines += 1
        shown = self._lines <= LINES_A_PERIOD
        if not shown:
            counts = {"batches": 1, "events": report.count, "bytes": report.size_bytes}
            for name, count in counts.items():
                self._left_out[name] += count
        return said, shown

    def take_left_out(self) -> dict[str, int] | None:
        """The sum of what got no line, once; None for none."""
        taken = dict(self._left_out)
        self._left_out = dict.fromkeys(taken, 0)
        return taken if taken["batches"] else None


def _log(text: str, fields: Mapping[str, Any]) -> None:
    with suppress(Exception):  # raised by a handler or a filter of the application's
        batch_log.info("%s", text, extra=with_fields(fields))


class Unsaid:
    """Batches and events that no line has told of yet, by topic; bounded in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, int]] = {}

    def add(self, topic: str, events: int) -> tuple[int, int]:
        """Add a batch; the batches and events of the topic so far."""
        with self._lock:
            batches, before = self._counts.pop(topic, (0, 0))
            if len(self._counts) >= MOST_TOPICS:
                self._counts.pop(next(iter(self._counts)))
            self._counts[topic] = batches + 1, before + events
            return self._counts[topic]

    def take(self, topic: str) -> None:
        """Forget a topic: a line has told of it."""
        with self._lock:
            self._counts.pop(topic, None)


class Summary:
    """What one task did, for its return value."""

    def __init__(self) -> None:
        self._why = ""
        self._counts: dict[str, dict[str, int]] = {}

    def add(self, announcement: Announcement) -> None:
        """Count what became of some events."""
        report, signal = announcement
        counts = self._counts.setdefault(OUTCOMES[signal], {"batches": 0, "events": 0})
        counts["batches"] += 1
        counts["events"] += report.count
        self._why = report.error or self._why

    def end(self, why: str) -> None:
        """Note why the task ends, if it had no batch."""
        self._why = self._why if self._counts else why

    def document(self) -> dict[str, Any]:
        """Batches and events by outcome, and the last reason why one was not accepted; plain JSON."""
        return {**self._counts, **({"why": self._why} if self._why else {})}
