"""The picture and the tables of how costs grow are those that the saved figures make."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tools.docs import load_builder

GROWTH = load_builder("build_growth")
SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_is_made_from_the_figures() -> None:
    """docs/growth.svg is what `make docs` makes of docs/growth.json."""
    assert GROWTH.PICTURE.read_text("utf-8") == GROWTH.picture(GROWTH.load())


def test_the_tables_are_made_from_the_figures() -> None:
    """So are the tables on the page of benchmarks."""
    page = GROWTH.PAGE.read_text("utf-8")

    assert page == GROWTH.build(page, GROWTH.load())


def test_a_page_without_a_mark_is_an_error() -> None:
    """A mark that somebody removed must not leave old figures on the page."""
    with pytest.raises(ValueError, match="no marks for"):
        GROWTH.build("# Benchmarks\n", GROWTH.load())


def test_nothing_is_drawn_outside_of_its_panel() -> None:
    """Every measured cost lies between the lowest and the highest that the picture shows."""
    root = ElementTree.fromstring(GROWTH.picture(GROWTH.load()))
    frames = root.findall(f"{SVG}rect[@class='frame']")
    inside = [
        (float(frame.get("y", "")), float(frame.get("y", "")) + float(frame.get("height", "")))
        for frame in frames
    ]
    lines = [line.get("d", "") for line in root.findall(f"{SVG}path")]

    heights = [[float(y) for y in re.findall(r" ([\d.]+)", line)] for line in lines]

    assert len(lines) == len(frames) * len(GROWTH.LINES)
    for number, those in enumerate(heights):
        top, bottom = inside[number // len(GROWTH.LINES)]
        assert top <= min(those)
        assert max(those) <= bottom


def test_names_beside_the_lines_do_not_cover_each_other() -> None:
    """Lines that end at the same height have names one above the other."""
    apart = list(GROWTH._apart([(100.0, "a", ""), (100.0, "b", ""), (30.0, "c", "")], 14))

    assert [at for at, *_ in apart] == [100.0, 86.0, 30.0]
