"""The comparison with other ways tells the figures of the benchmarks, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from tools.docs import DOCS

FIGURE = re.compile(r"\d[\d,.]*\d|\d")


def rows(page: Path, heading: str) -> dict[str, str]:
    """The rows of the table beneath a heading, by the letters of their first cell."""
    section = page.read_text("utf-8").partition(f"{heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|(.*)$", section, re.MULTILINE)
    return {re.sub(r"\W", "", way.lower()): rest for way, rest in cells}


def test_the_figures_are_those_of_the_benchmarks() -> None:
    """Each figure of a way stands in the row of that way where it was measured."""
    told = rows(DOCS / "explanation" / "comparison.md", "## Figures")
    measured = rows(DOCS / "benchmarks.md", "## Against the real alternatives")
    told.pop("way")

    assert set(told) == set(measured) - {"way"}
    for way, text in told.items():
        figures = set(FIGURE.findall(text.replace("100 events", "").replace("49 others", "")))
        assert figures, way
        assert figures <= set(FIGURE.findall(measured[way])), way
