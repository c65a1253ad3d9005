"""docs/reference/signals.md agrees with vwo_celery/signals.py."""

from __future__ import annotations

import re
from pathlib import Path

from celery.utils.dispatch import Signal

from vwo_celery import signals
from vwo_celery.destinations import Destination
from vwo_celery.signals import BatchReport

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "signals.md").read_text("utf-8")
FIRST_CELL = re.compile(r"^\| (`[^|]+) \|", re.MULTILINE)
NAME = re.compile(r"`(\w+)`")


def listed(mark: str) -> set[str]:
    """The names in the first column of a table."""
    table = PAGE.partition(f"<!-- {mark}:")[2].partition("\n\n")[0]
    return {name for cell in FIRST_CELL.findall(table) for name in NAME.findall(cell)}


def test_every_signal_is_listed() -> None:
    """The page has every signal and no other."""
    assert listed("signals") == {
        name for name, value in vars(signals).items() if isinstance(value, Signal)
    }


def test_every_attribute_of_a_report_is_listed() -> None:
    """The page lists exactly the attributes of a report."""
    destination = Destination(account_id=1, sdk_key="k" * 32, generation="fme")
    report = BatchReport(destination, [], batch="b", attempt=1, oldest_age_seconds=0.0, error="")

    assert listed("report") == {*vars(report), "events"}
