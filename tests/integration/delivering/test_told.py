"""The worker's log tells what became of each batch: what fails since when, what dies, what recovers."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from tools.batch_lines import parsed
from tools.selective_vwo import KEPT, Delivering, Make, Vwo, proven, purge
from vwo_celery import signals
from vwo_celery.delivering.batch_log import OUTCOMES
from vwo_celery.signals import BatchReport
from vwo_celery.testing import Fault

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups")
MINUTE_MS = 60_000


class Told:
    """What a worker logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def lines(self) -> list[dict[str, str]]:
        """The facts of each attempt that ended."""
        of_batches = (each for each in self._caplog.records if each.name == "vwo_celery.batches")
        return [parsed(each.getMessage()) for each in of_batches]

    def at(self, level: int, *, about: str = "") -> list[str]:
        """The messages of one level that contain a text."""
        return [
            each.getMessage()
            for each in self._caplog.records
            if each.levelno == level and each.name == "vwo_celery" and about in each.getMessage()
        ]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """What is logged from now on."""
    caplog.set_level(logging.INFO, "vwo_celery")
    return Told(caplog)


def facts_of(signal: Any, report: BatchReport, worker: str) -> dict[str, str]:
    """The facts of a report, as its line is to tell them."""
    facts = {
        "queue": report.queue, "batch": report.batch, "attempt": str(report.attempt),
        "events": str(report.count), "bytes": str(report.size_bytes), "outcome": OUTCOMES[signal],
        "answer": "-" if not report.answer else report.answer,
        "age_s": str(round(report.oldest_age_seconds, 3)),
        "post_s": str(round(report.elapsed_seconds, 3)), "worker": worker,
    }  # fmt: skip
    if report.retry_in_seconds is not None:
        facts["retry_s"] = str(round(report.retry_in_seconds, 3))
    if report.parts:
        facts["parts"] = ",".join(report.parts)
    if report.error is not None:
        facts["error"] = report.error
    return facts


def released(made: Delivering, vwo: Vwo) -> None:
    """An outage, and its end."""
    vwo.judge = lambda numbers: Fault(status=503) if len(made.statuses) < 3 else None
    made.enqueue(1, 2)
    made.deliver_until(lambda: made.taken[1])


def poisoned(made: Delivering, vwo: Vwo) -> None:
    """One event that VWO refuses, in a batch of others."""
    proven(made)
    vwo.judge = lambda numbers: 400 if 3 in numbers else None
    made.enqueue(1, 2, 3, 4)
    made.deliver()
    purge(made)


def too_large(made: Delivering, vwo: Vwo) -> None:
    """A batch that is too large."""
    vwo.judge = lambda numbers: 413 if len(numbers) > 2 else None
    made.enqueue(1, 2, 3, 4, 5)
    made.deliver_until(lambda: len(made.taken) == 5)


def stopped(made: Delivering, vwo: Vwo) -> None:
    """A key that is refused after it worked, and is accepted again."""
    proven(made)
    vwo.judge = lambda numbers: 403 if len(made.statuses) < 2 else None
    made.enqueue(1)
    made.deliver_until(lambda: made.taken[1])


@pytest.mark.parametrize("happens", [released, poisoned, too_large, stopped])
def test_each_line_equals_its_report(
    make: Make, vwo: Vwo, told: Told, happens: Callable[[Delivering, Vwo], None]
) -> None:
    """Read back, the line of each attempt has what the signal's report has."""
    made = make(circuit_failures=2)

    happens(made, vwo)

    assert len(made.told) >= 2
    expected = [facts_of(signal, report, made.worker.name) for signal, report in made.told]
    assert told.lines() == expected


@pytest.mark.declared_keys(*KEPT)
def test_an_outage_is_told_with_the_fleets_since(make: Make, vwo: Vwo, told: Told) -> None:
    """It is told when it begins, and when the circuit opens, by one of the workers; a worker that
    comes later tells the same time since when, and the end is told once, with how long it was.
    """
    made, other = make(per_request=1, circuit_failures=2), make(per_request=1)
    vwo.judge = lambda numbers: 503
    made.enqueue(*range(5))
    made.deliver_until(lambda: len(made.statuses) >= 2)
    other.deliver()
    warned = told.at(logging.WARNING, about="VWO has not accepted")
    since = [re.search(r"since (\d\d:\d\d:\d\d) \(", line) for line in warned]
    assert len(warned) == 2, "as it begins, and as the circuit opens"
    assert f"queue {made.queue.name} since" in warned[0]
    assert "503" in warned[0]
    assert "; 5 events kept; next try in" in warned[0]

    circuit, client = made.shard.keys.circuit, made.shard.client
    for field in ("since_ms", "told_ms"):
        client.hincrby(circuit, field, -3 * MINUTE_MS)
    seen = len(made.statuses)
    other.deliver_until(lambda: len(made.statuses) > seen)
    later = told.at(logging.WARNING, about="(3 min): VWO answered 503")

    vwo.judge = lambda numbers: None
    made.deliver_until(lambda: len(made.taken) == 5)

    assert all(since)
    assert len(later) == 1
    (again,) = told.at(logging.INFO, about="VWO accepts")
    assert f"VWO accepts queue {made.queue.name} again, which it had not since " in again
    assert " (3 min); " in again
    assert again.endswith("; events kept and sent now: 5")


def test_a_single_failure_and_its_end_are_told(make: Make, vwo: Vwo, told: Told) -> None:
    """One attempt that fails is a warning; the acceptance that follows says that it is over."""
    made = make(per_request=1)
    vwo.judge = lambda numbers: None if made.statuses else 503
    made.enqueue(1)

    made.deliver_until(lambda: made.taken[1])

    assert len(told.at(logging.WARNING, about="VWO has not accepted")) == 1
    assert len(told.at(logging.INFO, about="VWO accepts queue")) == 1
    assert not made.shard.client.exists(made.shard.keys.circuit)


def test_dead_letters_are_an_error_with_what_to_do(make: Make, vwo: Vwo, told: Told) -> None:
    """What dies is told with its reason, and how to see it and send it again; many at once seldom."""
    made = proven(make(per_request=1, max_batch_age_seconds=1))
    vwo.judge = lambda numbers: 503
    made.enqueue(1, 2, 3)
    for batch in made.shard.client.zrange(made.shard.keys.ready, 0, -1):
        line = made.shard.client.hget(made.shard.keys.info, batch).decode().split(":")
        line[5] = "1"  # sealed long ago
        made.shard.client.hset(made.shard.keys.info, batch, ":".join(line))
    made.shard.client.delete(made.shard.keys.circuit)
    made.deliver_until(lambda: made.state.events("dead") == 3)

    (died,) = told.at(logging.ERROR)
    purge(made)

    assert "1 event in 1 batch of queue" in died
    assert "503" in died
    assert f"vwo-celery dead list --queue {made.queue.name}" in died
    assert f"vwo-celery dead redrive --queue {made.queue.name}" in died
    assert [line["outcome"] for line in told.lines()].count("dead") == 3


@pytest.mark.declared_keys(*KEPT)
def test_an_attempt_that_the_worker_failed_at_has_a_line(
    make: Make, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the worker's own releases the batch, and has its line as any attempt."""
    made = make(per_request=2)
    made.enqueue(1, 2)
    monkeypatch.setattr("vwo_celery.delivering.delivery.settle", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        made.deliver()

    (line,) = told.lines()
    assert (line["outcome"], line["answer"], line["events"]) == ("released", "-", "2")
    assert line["error"] == "the worker failed: ZeroDivisionError"
    assert float(line["retry_s"]) >= 0


def test_no_answer_is_told_in_a_word(make: Make, vwo: Vwo, told: Told) -> None:
    """Where no status came, the answer is the word of the table of outcomes."""
    made = make(per_request=1)
    faults = iter([Fault(connection="reset")])
    vwo.judge = lambda numbers: next(faults, None)
    made.enqueue(1)

    made.deliver_until(lambda: made.taken[1])

    assert [line["answer"] for line in told.lines()] == ["connection", "200"]
    assert [report.answer for report in made.reports(signals.batch_delivered)] == ["200"]
