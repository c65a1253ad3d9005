"""The pages that lead from words on a screen to a section quote words that the package says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import vwo_celery
from tools.docs import DOCS

PACKAGE = Path(vwo_celery.__file__).parent
QUOTED = re.compile(r"(?<!\*)\*([^*|]+)\*(?!\*)")
#: What differs from case to case: a number with what it counts, a name in capitals, all that is left out.
VARIABLE = re.compile(r"\b(?:[A-Z]|\d[\d.]*)%? \w+|\b[A-Z]{3,}\b|\ballkeys-|\bvolatile-|…")
#: So many words in a row must be the package's; numbers and names stand between the others.
IN_A_ROW = 3


@cache
def said() -> str:
    """All texts in the package's sources, blanks as one."""
    return " ".join(
        " ".join(text for path in PACKAGE.rglob("*.py") for text in texts(path)).split()
    )


def texts(path: Path) -> Iterator[str]:
    """The texts of a source: adjacent ones joined, values in them cut out."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def quotes(name: str) -> list[str]:
    """What the first cells of a page's tables quote in italics."""
    page = (DOCS / "how-to" / f"{name}.md").read_text("utf-8")
    return [
        text for row in re.findall(r"^\| (.*?) \| ", page, re.M) for text in QUOTED.findall(row)
    ]


def is_said(quote: str) -> bool:
    """Whether words of the quote in a row, or all that is between its numbers, are the package's."""
    words = quote.split()
    rows = (" ".join(words[at : at + IN_A_ROW]) for at in range(len(words) - IN_A_ROW + 1))
    pieces = [piece.strip(" ,.:;()") for piece in VARIABLE.split(quote)]
    return any(row in said() for row in rows) or all(piece in said() for piece in pieces)


@pytest.mark.parametrize("page", ["runbook", "troubleshooting"])
def test_what_a_page_quotes_is_what_the_package_says(page: str) -> None:
    """Whoever searches the page for the words before them finds them."""
    quoted = quotes(page)

    assert quoted
    assert [each for each in quoted if not is_said(each)] == []


def test_words_that_nobody_says_are_noticed() -> None:
    """A quote from memory would lead nobody anywhere."""
    assert not is_said("the worker has gone fishing")
    assert not is_said("Redis is tired")
