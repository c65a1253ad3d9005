"""Draws boxes in rows, with arrows from row to row, as an SVG; for the scripts beside this file.

As Sugiyama's drawings are made: an arrow over several rows gets a place of its own in each row that it
crosses, each row is ordered by what its items are tied to, and the items then move towards that. The
same boxes and arrows make the same picture, byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate, combinations, pairwise
from statistics import fmean
from typing import NamedTuple

_BOX_WIDTH, _PLACE_WIDTH, _GAP = 104, 8, 20
_BOX_HEIGHT, _ROW_HEIGHT, _MARGIN = 30, 76, 14
#: Rounds of ordering, and of moving; more of them change nothing that is seen.
_ROUNDS = 30
#: Colours for both themes; a picture in a page follows the reader's own.
_STYLE = """
svg { font: 13px system-ui, sans-serif }
.page { fill: #ffffff } .row { fill: #f6f8fa } text { fill: #1f2328; text-anchor: middle }
.box { fill: #ddf4ff; stroke: #54aeff } .arrow { fill: none; stroke: #818b98 } .head { fill: #818b98 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .row { fill: #151b23 } text { fill: #f0f6fc }
.box { fill: #121d2f; stroke: #388bfd } .arrow { stroke: #656c76 } .head { fill: #656c76 }
}"""
_HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path class="head" d="M0 0.5 8 4 0 7.5z"/></marker>'
)


class Item(NamedTuple):
    """A box; or a place where the arrow from `name` to `to` crosses a row."""

    row: int
    name: str
    to: str | None = None


class Layout(NamedTuple):
    """What stands where.

    Attributes:
        rows: The items of each row, from the left.
        ways: For each arrow its items, from one box to the other.
        x: The middle of each item, px.
    """

    rows: list[list[Item]]
    ways: list[list[Item]]
    x: dict[Item, float]


Ties = Mapping[Item, list[Item]]


def lay_out(boxes: Sequence[Sequence[str]], arrows: Mapping[str, Collection[str]]) -> Layout:
    """Find a place for each box and arrow.

    Args:
        boxes: Names of the boxes, row by row from the top.
        arrows: For each box, those of lower rows that an arrow leads to.
    """
    ways = [*_ways(boxes, arrows)]
    ties = ties_of(ways)
    rows = [[Item(i, name) for name in row] for i, row in enumerate(boxes)]
    for place in (place for way in ways for place in way[1:-1]):
        rows[place.row].append(place)
    rows = _ordered(rows, ties)
    return Layout(rows, ways, _moved(rows, ties))


def _ways(
    boxes: Sequence[Sequence[str]], arrows: Mapping[str, Collection[str]]
) -> Iterator[list[Item]]:
    row_of = {name: i for i, row in enumerate(boxes) for name in row}
    for source, first in row_of.items():
        for target in sorted(arrows[source], key=[*row_of].index):
            crossed = range(first + 1, row_of[target])
            places = [Item(i, source, target) for i in crossed]
            yield [Item(first, source), *places, Item(row_of[target], target)]


def ties_of(ways: list[list[Item]]) -> Ties:
    """For each item, those of the rows beside its own that a line ties it to."""
    ties = defaultdict(list)
    for way in ways:
        for one, two in pairwise(way):
            ties[one].append(two)
            ties[two].append(one)
    return ties


def _ordered(rows: list[list[Item]], ties: Ties) -> list[list[Item]]:
    """The order of all that was tried whose lines cross least."""
    tried = [rows]
    for _ in range(_ROUNDS):
        for rows_this_way in (tried[-1], tried[-1][::-1]):
            sorted_rows = [rows_this_way[0]]
            for row in rows_this_way[1:]:
                sorted_rows.append(_sorted_by(sorted_rows[-1], row, ties))
            tried.append(sorted(sorted_rows, key=lambda row: row[0].row))
    return min(tried, key=lambda each: crossings(each, ties))


def _sorted_by(fixed: list[Item], row: list[Item], ties: Ties) -> list[Item]:
    """A row by the middle of what each item is tied to in the row beside it; others keep theirs."""
    at = {item: (i + 0.5) / len(fixed) for i, item in enumerate(fixed)}
    own = {item: (i + 0.5) / len(row) for i, item in enumerate(row)}
    middles = {
        item: fmean([at[tied] for tied in ties[item] if tied in at] or [own[item]]) for item in row
    }
    return sorted(row, key=lambda item: middles[item])


def crossings(rows: list[list[Item]], ties: Ties) -> int:
    """How many pairs of lines cross."""
    at = {item: i for row in rows for i, item in enumerate(row)}
    count = 0
    for row in rows:
        lines = [(at[item], at[tied]) for item in row for tied in ties[item] if tied.row > item.row]
        count += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(lines, 2))
    return count


def _moved(rows: list[list[Item]], ties: Ties) -> dict[Item, float]:
    """The middle of each item, px: as near to what it is tied to as its neighbours let it."""
    x = {item: 0.0 for row in rows for item in row}
    for _ in range(_ROUNDS):
        for row in (*rows, *rows[::-1]):
            wished = [fmean([x[tied] for tied in ties[item]] or [x[item]]) for item in row]
            x.update(zip(row, _apart(row, wished), strict=True))
    left = min(middle - _width(item) / 2 for item, middle in x.items())
    return {item: middle - left + 2 * _MARGIN for item, middle in x.items()}


def _apart(row: list[Item], wished: list[float]) -> list[float]:
    """Middles in the order of a row, none over another, and all as near to the wished as can be."""
    needed = [(_width(one) + _width(two)) / 2 + _GAP for one, two in pairwise(row)]
    offsets = [*accumulate(needed, initial=0.0)]
    # Items that push each other move as one, by the mean of their wishes.
    groups: list[list[float]] = []
    for wish, offset in zip(wished, offsets, strict=True):
        groups.append([wish - offset])
        while len(groups) > 1 and fmean(groups[-2]) > fmean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    starts = [fmean(group) for group in groups for _ in group]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


def _width(item: Item) -> int:
    return _BOX_WIDTH if item.to is None else _PLACE_WIDTH


def draw(layout: Layout, title: str, spoken: Mapping[str, str]) -> str:
    """The SVG of a layout.

    Args:
        layout: Where everything is.
        title: What the picture shows, for those who do not see it.
        spoken: The text in each box, safe in XML.
    """
    width = max(x + _width(item) / 2 for item, x in layout.x.items()) + 2 * _MARGIN
    height = _ROW_HEIGHT * len(layout.rows) + _MARGIN
    bands = (
        f'<rect class="row" x="{_MARGIN}" y="{_top(i) - _MARGIN}" width="{width - 2 * _MARGIN:.0f}"'
        f' height="{_BOX_HEIGHT + 2 * _MARGIN}" rx="6"/>'
        for i in range(len(layout.rows))
    )
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img"'
        f' aria-label="{title}">',
        f"<style>{_STYLE}\n</style>", f"<defs>{_HEAD}</defs>",
        f'<rect class="page" width="{width:.0f}" height="{height}"/>', *bands,
        *(_arrow(way, layout.x) for way in layout.ways),
        *(_box(item, x, spoken) for item, x in layout.x.items() if item.to is None),
        "</svg>", "",
    ])  # fmt: skip


def _top(row: int) -> int:
    """The upper edge of a row's boxes, px."""
    return 2 * _MARGIN + _ROW_HEIGHT * row


def _box(item: Item, x: float, spoken: Mapping[str, str]) -> str:
    top = _top(item.row)
    return (
        f'<rect class="box" x="{x - _BOX_WIDTH / 2:.1f}" y="{top}" width="{_BOX_WIDTH}"'
        f' height="{_BOX_HEIGHT}" rx="4"/><text x="{x:.1f}" y="{top + 20}">{spoken[item.name]}</text>'
    )


def _arrow(way: list[Item], x: Mapping[Item, float]) -> str:
    """A curve from the lower edge of a box, straight through each row, to the upper edge of another."""
    steps = [f"M{x[way[0]]:.1f} {_top(way[0].row) + _BOX_HEIGHT}"]
    for one, two in pairwise(way):
        start, end = _top(one.row) + _BOX_HEIGHT, _top(two.row)
        middle = (start + end) / 2
        steps.append(f"C{x[one]:.1f} {middle} {x[two]:.1f} {middle} {x[two]:.1f} {end}")
        if two.to is not None:
            steps.append(f"V{end + _BOX_HEIGHT}")
    return f'<path class="arrow" marker-end="url(#head)" d="{" ".join(steps)}"/>'
