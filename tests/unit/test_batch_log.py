"""The line in the log for each attempt at a batch, and what a task returns of it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tools.batch_lines import parsed
from vwo_celery import Destination, logs, signals
from vwo_celery.delivering.attempts import Announcement
from vwo_celery.delivering.batch_log import LINES_A_PERIOD, BatchLog, Summary, as_words
from vwo_celery.signals import BatchReport

DESTINATION = Destination(account_id=1, sdk_key="k" * 32, generation="fme")
MORE_THAN_A_MINUTE = 61.0


class Clock:
    """A clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


def announcement(signal: Any = signals.batch_delivered, error: str | None = None) -> Announcement:
    """What became of a batch of two events."""
    report = BatchReport(
        DESTINATION, [b'{"n":1}', b'{"n":2}'], batch="b.1", attempt=1, oldest_age_seconds=1.5,
        error=error, status=200 if error is None else 503,
    )  # fmt: skip
    return Announcement(report, signal)


@pytest.fixture(autouse=True)
def captured(caplog: pytest.LogCaptureFixture) -> None:
    """Capture the lines of batches."""
    caplog.set_level(logging.INFO, "vwo_celery.batches")


@example({"error": "two words", "quoted": 'a "b"', "empty": "", "path": "a\\b=c"})
@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.text()))
def test_a_line_tells_any_text_unchanged_in_words_of_one_line(facts: dict[str, str]) -> None:
    """Read back, a line has each fact as it was, whatever letters it has; a terminal obeys none."""
    line = as_words(facts)

    assert line.isprintable()
    assert parsed(line) == facts


@pytest.mark.parametrize(
    "signal", [signals.batch_delivered, signals.batch_released], ids=lambda signal: signal.name
)
def test_what_is_many_is_bounded_and_summed_up(
    caplog: pytest.LogCaptureFixture, signal: Any
) -> None:
    """Of many batches delivered, or released in an outage of many queues, a process tells so many a
    minute, and the number of the others.
    """
    clock = Clock()
    written = BatchLog("w:1", clock)

    for _ in range(LINES_A_PERIOD + 7):
        written.write(announcement(signal))
    assert len(caplog.records) == LINES_A_PERIOD
    clock.now += MORE_THAN_A_MINUTE
    written.write(announcement(signal))

    summed, last = (record.getMessage() for record in caplog.records[LINES_A_PERIOD:])
    assert summed.startswith("7 more like this: ")
    assert parsed(summed) == {
        "batches": "7", "events": "14", "bytes": "112", "worker": "w:1",
        "outcome": signal.name.removeprefix("batch_"),
    }  # fmt: skip
    assert parsed(last)["batch"] == "b.1"


def test_the_rest_is_summed_up_as_the_process_ends(caplog: pytest.LogCaptureFixture) -> None:
    """A process that ends says how many lines it left out, once."""
    written = BatchLog("w:1", Clock())
    for _ in range(LINES_A_PERIOD + 2):
        written.write(announcement())

    written.end()
    written.end()

    assert [record.getMessage()[:17] for record in caplog.records[LINES_A_PERIOD:]] == [
        "2 more like this:"
    ]


@pytest.mark.parametrize(
    "signal",
    [signals.batch_split, signals.batch_dead_lettered, signals.destination_paused],
    ids=lambda signal: signal.name,
)  # fmt: skip
def test_what_dies_is_never_left_out(caplog: pytest.LogCaptureFixture, signal: Any) -> None:
    """However many batches die, are split or stop their queue, each has its line, beside others, too."""
    written = BatchLog("w:1", Clock())
    for _ in range(LINES_A_PERIOD + 1):
        written.write(announcement())
        written.write(announcement(signals.batch_released))

    for _ in range(LINES_A_PERIOD + 5):
        written.write(announcement(signal, error="VWO answered 503"))

    assert (
        sum("answer=503" in record.getMessage() for record in caplog.records) == LINES_A_PERIOD + 5
    )


def test_as_json_a_line_has_its_facts_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    """The formatter for JSON gives one document on one line, with the facts as they are."""
    BatchLog("w:1", Clock()).write(announcement(signals.batch_released, error="no\nanswer \u2028"))

    text = logs.JsonFormatter().format(caplog.records[0])

    assert "\n" not in text
    assert text.isascii()
    document = json.loads(text)
    assert document["level"] == "INFO"
    assert document["logger"] == "vwo_celery.batches"
    assert document["queue"] == DESTINATION.queue
    assert (document["events"], document["age_s"]) == (2, 1.5)
    assert document["error"] == "no\nanswer \u2028"
    assert document["message"].startswith(f"queue={DESTINATION.queue} batch=b.1 attempt=1 ")


def test_as_json_a_traceback_is_one_field(caplog: pytest.LogCaptureFixture) -> None:
    """Lines of any logger, with a traceback, are one document each."""
    try:
        raise ValueError("a\nb")  # noqa: TRY301
    except ValueError:
        logging.getLogger("another").exception("it %s", "failed")

    document = json.loads(logs.JsonFormatter().format(caplog.records[-1]))

    assert document["message"] == "it failed"
    assert "ValueError" in document["traceback"]


def test_a_task_tells_what_became_of_its_batches() -> None:
    """The return value counts batches and events by outcome, and has the last reason; it is JSON."""
    summary = Summary()

    summary.add(announcement())
    summary.add(announcement())
    summary.add(announcement(signals.batch_released, error="VWO answered 503"))
    summary.end("no batch could be claimed")

    assert json.loads(json.dumps(summary.document())) == {
        "delivered": {"batches": 2, "events": 4},
        "released": {"batches": 1, "events": 2},
        "why": "VWO answered 503",
    }


def test_a_task_without_a_batch_says_why() -> None:
    """Where nothing was sent, the return value says why."""
    summary = Summary()

    summary.end("no batch could be claimed")

    assert summary.document() == {"why": "no batch could be claimed"}
