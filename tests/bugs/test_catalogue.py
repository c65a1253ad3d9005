"""The code that each deliberate bug changes still exists, and the page lists all bugs."""

from __future__ import annotations

from pathlib import Path

import pytest

import vwo_celery
from bugs.bug import Bug
from bugs.catalogue import BUGS
from bugs.run import BEGIN, END, PAGE, table

PACKAGE = Path(vwo_celery.__file__).parent
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.file}: {bug.bug}")
def test_a_bug_can_be_made(bug: Bug) -> None:
    """The bug's place exists exactly once, and the test that caught it exists."""
    assert bug.is_in(PACKAGE)
    assert bug.old != bug.new
    assert (TESTS / bug.caught_by.partition(" ")[0]).exists()


def test_the_page_lists_them() -> None:
    """docs/reliability.md has the catalogue's table; `python tests/bugs/run.py --write` updates it."""
    text = PAGE.read_text("utf-8")

    assert text.partition(BEGIN)[2].partition(END)[0].strip() == table(BUGS)
