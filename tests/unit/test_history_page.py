"""docs/explanation/history.md has the buckets and periods of the code."""

from __future__ import annotations

import re

import pytest

from tools.docs import DOCS
from vwo_celery.queue.records.histories import MOST_IN_FULL, PERIODS
from vwo_celery.queue.words.buckets import AGE_BOUNDS_SECONDS, POST_BOUNDS_SECONDS, SIZE_BOUNDS

PAGE = (DOCS / "explanation" / "history.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("what", "bounds"),
    [
        ("age of a batch's", AGE_BOUNDS_SECONDS),
        ("time of a request", POST_BOUNDS_SECONDS),
        ("events of a request", SIZE_BOUNDS),
    ],
)
def test_the_buckets_are_those_of_the_code(what: str, bounds: tuple[float, ...]) -> None:
    """Who reads a percentile finds there how exact it is."""
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {what}"))

    assert row.split("|")[2].strip() == ", ".join(f"{bound:,}" for bound in bounds)


def test_the_periods_are_those_of_the_code() -> None:
    """How long samples are kept, and which have ages."""
    rows = re.findall(r"^\| ([\w ]+) \| (\d+) (hours|days) \| (yes|no) \|$", PAGE, re.MULTILINE)

    spans = [int(number) * {"hours": 3600, "days": 86_400}[unit] for _, number, unit, _ in rows]
    assert spans == [period.span_seconds for period in PERIODS]
    assert [ages == "yes" for *_, ages in rows] == [period.keeps_ages for period in PERIODS]
    assert f"Above {MOST_IN_FULL} such" in PAGE
