"""Draws docs/growth.svg, and the tables beside it, from docs/growth.json: `python docs/build_growth.py`.

`benchmarks/bench_growth.py --save` measures those figures. A test compares the picture and the page with
what this makes of them.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FIGURES, PICTURE, PAGE = HERE / "growth.json", HERE / "growth.svg", HERE / "benchmarks.md"

#: Lines of the picture: the measured work and its class, which gives it its colour and dashes.
LINES = {
    "enqueue": "enqueue", "claim": "claim", "sweep": "sweep", "status": "status",
    "LPUSH": "other", "RPOP of 100": "other",
}  # fmt: skip
#: Panels: left edge and top of each, in the order of the figures.
_PANELS = ((70, 62), (545, 62), (70, 332), (545, 332))
_WIDTH, _HEIGHT, _PANEL_WIDTH, _PANEL_HEIGHT = 950, 590, 300, 200
#: Costs at the lower and upper edge of each panel, µs.
_LOWEST, _HIGHEST = 10, 1_000_000
_WRAP = 100
_COLUMNS = ("enqueue", "claim", "ack", "sweep", "status", "LPUSH", "RPOP of 100")
#: Colours for both themes; a picture in a page follows the reader's own.
_STYLE = """
svg { font: 12px system-ui, sans-serif }
.page { fill: #ffffff } text { fill: #1f2328 } .soft { fill: #59636e }
.grid { stroke: #d1d9e0 } .frame { fill: none; stroke: #818b98 }
path, circle { stroke-width: 2 } path { fill: none }
.enqueue { stroke: #0969da } .claim { stroke: #1a7f37 } .sweep { stroke: #9a6700 }
.status { stroke: #8250df } .other { stroke: #818b98; stroke-dasharray: 4 3 }
.name { stroke: none; font-weight: 600 } .name.enqueue { fill: #0969da }
.name.claim { fill: #1a7f37 } .name.sweep { fill: #9a6700 } .name.status { fill: #8250df }
.name.other { fill: #59636e }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #f0f6fc } .soft { fill: #9198a1 }
.grid { stroke: #2a313c } .frame { stroke: #656c76 }
.enqueue { stroke: #4493f8 } .claim { stroke: #3fb950 } .sweep { stroke: #d29922 }
.status { stroke: #ab7df8 } .other { stroke: #9198a1 }
.name { stroke: none } .name.enqueue { fill: #4493f8 } .name.claim { fill: #3fb950 }
.name.sweep { fill: #d29922 } .name.status { fill: #ab7df8 } .name.other { fill: #9198a1 }
}"""
Costs = dict[str, dict[str, list[float]]]


def picture(figures: dict[str, Any]) -> str:
    """The SVG: a panel for each dimension, µs of Redis a call over the size, both on log scales."""
    title = "Redis' processor time of a call, by what it has to deal with"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{title}">',
        f"<style>{_STYLE}\n</style>",
        f'<rect class="page" width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text x="70" y="28" font-size="15" font-weight="600">{title}</text>',
    ]
    for (left, top), (dimension, costs) in zip(_PANELS, figures["costs"].items(), strict=True):
        parts += _panel(left, top, dimension, costs)
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: int, top: int, dimension: str, costs: Costs) -> Iterator[str]:
    sizes = [int(size) for size in costs]
    bottom, right = top + _PANEL_HEIGHT, left + _PANEL_WIDTH

    def x(size: float) -> float:
        return left + _PANEL_WIDTH * math.log(size) / math.log(sizes[-1])

    def y(cost: float) -> float:
        return bottom - _PANEL_HEIGHT * math.log(cost / _LOWEST) / math.log(_HIGHEST / _LOWEST)

    for power in range(round(math.log10(_LOWEST)), round(math.log10(_HIGHEST)) + 1):
        at = y(10.0**power)
        yield f'<line class="grid" x1="{left}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>'
        yield _text(left - 8, at + 4, _time(10**power), "soft", "end")
    yield f'<rect class="frame" x="{left}" y="{top}" width="{_PANEL_WIDTH}" height="{_PANEL_HEIGHT}"/>'
    for size in sizes:
        yield _text(x(size), bottom + 18, _short(size), "soft", "middle")
    yield _text((left + right) / 2, bottom + 38, dimension, "", "middle")
    names = []
    for name, style in LINES.items():
        points = [(x(size), y(costs[str(size)][name][0])) for size in sizes]
        steps = " L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        yield f'<path class="{style}" d="M{steps}"/>'
        names.append((points[-1][1] + 4, name, style))
    for at, name, style in _apart(names):
        yield _text(right + 6, at, name, f"name {style}", "start")


def _apart(
    names: Iterable[tuple[float, str, str]], gap: float = 14
) -> Iterator[tuple[float, str, str]]:
    """The names beside the ends of their lines, from below, none over another."""
    last = math.inf
    for at, name, style in sorted(names, reverse=True):
        last = min(at, last - gap)
        yield last, name, style


def _text(x: float, y: float, words: str, style: str, anchor: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _time(microseconds: int) -> str:
    for unit, size in (("s", 1_000_000), ("ms", 1_000)):
        if microseconds >= size:
            return f"{microseconds // size} {unit}"
    return f"{microseconds} µs"


def _short(number: int) -> str:
    if number >= 1_000_000:
        return f"{number // 1_000_000}M"
    return f"{number // 1_000}k" if number >= 1_000 else str(number)


def table(figures: dict[str, Any]) -> str:
    """µs of Redis a call at each size, and its ratio to the smallest size of the same run."""
    heads = ["", *(f"`{each}`" if each.isupper() else each for each in _COLUMNS)]
    lines = [_row(heads), _row(["---", *["---:"] * len(_COLUMNS)])]
    for dimension, costs in figures["costs"].items():
        smallest = next(iter(costs.values()))
        for size, each in costs.items():
            cells = [_cell(each[name][0], smallest[name][0]) for name in _COLUMNS]
            lines.append(_row([_size(int(size), dimension), *cells]))
    return "\n".join([*lines, ""])


def worker_table(figures: dict[str, Any], name: str) -> str:
    """Events/s of one worker process by its lanes or its batches' size, and what a batch costs."""
    heads = (name, "events/s", "times the first", "Redis, µs a batch", "worker, µs a batch")
    lines = [_row(heads), _row(["---:"] * len(heads))]
    told = figures[name]
    first = next(iter(told.values()))["rate"]
    for size, each in told.items():
        times = f"{each['rate'] / first:.1f}"
        costs = (f"{each['redis']:,.0f}", f"{each['worker']:,.0f}")
        lines.append(_row([f"{int(size):,}", f"{each['rate']:,.0f}", times, *costs]))
    return "\n".join([*lines, ""])


def measured(figures: dict[str, Any]) -> str:
    """The run's date, machine and code, as a sentence."""
    told = figures["measured"]
    words = (
        f"Measured on {told['date']}, commit `{told['commit']}`, {told['processor']}, load average "
        f"{told['load']} before, Python {told['python']}, Redis {told['server']}, "
        f"{told['packages']}."
    )
    return textwrap.fill(words, _WRAP) + "\n"


def _cell(cost: float, smallest: float) -> str:
    ratio = cost / smallest
    return f"{cost:,.0f} (×{ratio:,.{0 if ratio >= 10 else 1}f})"


def _size(size: int, dimension: str) -> str:
    return f"{size:,} {dimension if size > 1 else dimension.removesuffix('s')}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def build(page: str, figures: dict[str, Any]) -> str:
    """Return *page* with what stands between its marks made anew."""
    made = {
        "measured": measured(figures),
        "costs": table(figures),
        "lanes": worker_table(figures, "lanes"),
        "events a batch": worker_table(figures, "events a batch"),
    }
    for name, content in made.items():
        before, start, rest = page.partition(f"<!-- growth: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"the page has no marks for {name}")
        page = before + start + content + end + after
    return page


def load() -> dict[str, Any]:
    """The saved figures."""
    figures: dict[str, Any] = json.loads(FIGURES.read_text("utf-8"))
    return figures


if __name__ == "__main__":
    PICTURE.write_text(picture(load()), "utf-8")
    PAGE.write_text(build(PAGE.read_text("utf-8"), load()), "utf-8")
