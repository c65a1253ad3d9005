"""Boxes in rows and the arrows between them: nothing lies over a box, and few arrows cross."""

from __future__ import annotations

from itertools import pairwise

from tools.docs import load_builder

PICTURE = load_builder("layered_picture")
Item = PICTURE.Item
#: "a" reaches over a row of three; "b" and "c" cross as they are given; "lone" has no arrow.
ROWS = (("a", "b", "c"), ("d", "e", "lone"), ("f",))
ARROWS = {
    "a": {"f"}, "b": {"e", "f"}, "c": {"d"}, "d": {"f"}, "e": {"f"}, "lone": set(), "f": set(),
}  # fmt: skip
LAYOUT = PICTURE.lay_out(ROWS, ARROWS)


def test_nothing_lies_over_a_box() -> None:
    """In each row all boxes, and the places where arrows pass, stand apart, right of the edge."""
    for row in LAYOUT.rows:
        for one, two in pairwise(row):
            gap = (PICTURE._width(one) + PICTURE._width(two)) / 2
            assert LAYOUT.x[two] - LAYOUT.x[one] > gap
        assert LAYOUT.x[row[0]] > PICTURE._width(row[0]) / 2


def test_each_arrow_has_a_place_in_each_row_that_it_crosses() -> None:
    """From its own box to its own box, row by row."""
    ends = {(way[0].name, way[-1].name) for way in LAYOUT.ways}
    rows = {row: {item for item in those if item.to} for row, those in enumerate(LAYOUT.rows)}

    assert ends == {(source, target) for source, targets in ARROWS.items() for target in targets}
    assert rows == {0: set(), 1: {Item(1, "a", "f"), Item(1, "b", "f")}, 2: set()}
    for way in LAYOUT.ways:
        assert [item.row for item in way] == [*range(way[0].row, way[-1].row + 1)]


def test_arrows_that_need_not_cross_do_not() -> None:
    """The order in which boxes are given says nothing of their places within a row."""
    ties = PICTURE.ties_of(LAYOUT.ways)
    given = [[Item(i, name) for name in row] for i, row in enumerate(ROWS)]
    given[1] += [Item(1, "a", "f"), Item(1, "b", "f")]

    assert PICTURE.crossings(given, ties) > 0
    assert PICTURE.crossings(LAYOUT.rows, ties) == 0


def test_the_picture_has_each_box_and_each_arrow() -> None:
    """With the texts that are to be shown."""
    spoken = {name: name.upper() for name in ARROWS}

    drawn = PICTURE.draw(LAYOUT, "a title", spoken)

    assert drawn.count('class="box"') == len(ARROWS)
    assert drawn.count('class="arrow"') == len(LAYOUT.ways)
    assert all(f">{text}</text>" in drawn for text in spoken.values())
    assert 'aria-label="a title"' in drawn
