"""The code that each deliberate bug changes still exists, and the page lists all bugs."""

from __future__ import annotations

from pathlib import Path

import pytest

import vwo_celery
from bugs.bug import Bug
from bugs.catalogue import BUGS, file_of
from bugs.run import BEGIN, END, PAGE, table

PACKAGE = Path(vwo_celery.__file__).parent
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.file}: {bug.bug}")
def test_a_bug_can_be_made(bug: Bug) -> None:
    """The bug's place exists exactly once, and the test that caught it exists."""
    assert bug.is_in(PACKAGE)
    assert bug.old != bug.new
    assert (TESTS / bug.caught_by.partition(" ")[0]).exists()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.file}: {bug.bug}")
def test_a_bug_stands_where_it_is_looked_for(bug: Bug) -> None:
    """A bug is in the catalogue's file of the part that it breaks."""
    assert bug in file_of(bug).BUGS


def test_bugs_are_sorted() -> None:
    """Bugs of one file stand together, in the order of the files."""
    for catalogue in {file_of(bug) for bug in BUGS}:
        files = [bug.file for bug in catalogue.BUGS]
        assert files == sorted(files)


def test_the_page_lists_them() -> None:
    """docs/reliability.md has the catalogue's table; `python tests/bugs/run.py --write` updates it."""
    text = PAGE.read_text("utf-8")

    assert text.partition(BEGIN)[2].partition(END)[0].strip() == table(BUGS)
