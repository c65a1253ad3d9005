"""A chart as SVG, as wide as its place.

Pure: nothing to lose. The plot is stretched to its place, and the letters are not: times stand at
shares of the width, so that text has the same size on a phone. The layers, from the back: when nothing
was sent, the grid, the lines, what happened, and one invisible column a time that tells its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from itertools import pairwise
from typing import Final

from markupsafe import Markup, escape

from vwo_celery.console.charts.axes import Axis, axis_of, times_of
from vwo_celery.console.charts.pictures import Line, Picture
from vwo_celery.console.charts.spelling import spell, spell_tick, spell_time
from vwo_celery.console.charts.tables import label_of
from vwo_celery.text.lines import one_line

#: Width of the plot in its own units, and heights in pixels: of the plot, above it and below it.
WIDTH: Final = 1000
HEIGHT: Final = 132
ABOVE: Final = 18
BELOW: Final = 24
#: Pixels between a value's name, which stands left of the plot where no line crosses it, and the plot;
#: and half the height of its letters.
_BESIDE: Final = 8
_HALF_LETTER: Final = 4
#: Shares of the width between which a time's name does not leave the chart.
_FIRST_NAME, _LAST_NAME = 0.04, 0.96

Points = list[tuple[float, float]]


def draw(picture: Picture, zone: tzinfo | None = None) -> Markup:
    """Return the chart.

    Args:
        picture: What is to be drawn; not an empty one.
        zone: The zone of the times; None for this host's.
    """
    axis, across = axis_of(picture), _across(picture)
    plot = "".join(
        (
            *_stops(picture, across),
            _grid(axis),
            *_limit(picture, axis),
            *_lines(picture, axis, across),
            *_columns(picture, across, zone),
        )
    )
    inner = (
        f'<svg class="plot" y="{ABOVE}" width="100%" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">{plot}</svg>'
    )
    names = "".join((*_names(axis, picture), *_times(picture, across, zone)))
    marks = "".join(_marks(picture, across, zone))
    label = escape(one_line(label_of(picture, zone)))
    return Markup(  # noqa: S704 - every text in it is escaped
        f'<svg class="chart" role="img" aria-label="{label}" width="100%" '
        f'height="{ABOVE + HEIGHT + BELOW}">{inner}{names}{marks}</svg>'
    )


def _across(picture: Picture) -> Callable[[int], float]:
    first, last = picture.at_ms[0], picture.at_ms[-1]
    return lambda at_ms: (at_ms - first) / max(1, last - first)


def _down(axis: Axis, value: float) -> float:
    return HEIGHT * (1 - axis.place(value))


def _path(style: str, points: str) -> str:
    return f'<path class="{style}" d="{points}"/>'


def _grid(axis: Axis) -> str:
    lines = (f"M0,{_down(axis, tick):.1f}H{WIDTH}" for tick in axis.ticks)
    return _path("grid", "".join(lines))


def _limit(picture: Picture, axis: Axis) -> Iterator[str]:
    if picture.limit is not None:
        yield _path("limit", f"M0,{_down(axis, picture.limit.value):.1f}H{WIDTH}")


def _stops(picture: Picture, across: Callable[[int], float]) -> Iterator[str]:
    """One shade for each stretch of time in which nothing was sent."""
    ends = [WIDTH * across(at) for at in picture.at_ms]
    start: float | None = None
    for number, stopped in enumerate((*picture.stopped, False)):
        if stopped and start is None:
            start = ends[max(0, number - 1)]
        elif not stopped and start is not None:
            width = max(2.0, ends[number - 1] - start)
            yield f'<rect class="stopped" x="{start:.1f}" y="0" width="{width:.1f}" height="{HEIGHT}"/>'
            start = None


def _lines(picture: Picture, axis: Axis, across: Callable[[int], float]) -> Iterator[str]:
    base: list[float] = [0.0] * len(picture.at_ms)
    for line in picture.drawn:
        values = line.values
        if picture.stacked:
            values = tuple(
                None if value is None else value + below
                for value, below in zip(values, base, strict=True)
            )
        for run in runs(values):
            yield from _run(picture, line, run, values, base, axis, across)
        if picture.stacked:
            base = [
                below if value is None else value for value, below in zip(values, base, strict=True)
            ]


def runs(values: Sequence[float | None]) -> list[range]:
    """The places of successive values that are known; between two runs there is a gap."""
    found: list[range] = []
    for place, value in enumerate(values):
        if value is None:
            continue
        if found and found[-1].stop == place:
            found[-1] = range(found[-1].start, place + 1)
        else:
            found.append(range(place, place + 1))
    return found


def _run(
    picture: Picture,
    line: Line,
    run: range,
    values: Sequence[float | None],
    base: Sequence[float],
    axis: Axis,
    across: Callable[[int], float],
) -> Iterator[str]:
    def points(of: Sequence[float | None]) -> Points:
        return [(WIDTH * across(picture.at_ms[at]), _down(axis, of[at] or 0.0)) for at in run]

    top = points(values)
    if line.area or picture.stacked:
        bottom = points(base) if picture.stacked else [(x, float(HEIGHT)) for x, _ in top]
        yield _path(f"area {line.style}", f"{_through(top)}L{_joined(reversed(bottom))}Z")
    dashed = picture.running and run.stop == len(picture.at_ms) and len(run) > 1
    solid = top[:-1] if dashed else top
    yield _path(f"line {line.style}", _through(solid))
    if dashed:
        yield _path(f"line running {line.style}", _through(top[-2:]))


def _through(points: Points) -> str:
    """A path through these points; a single one is a dot, since a line without length has round ends."""
    return f"M{_joined(points)}" + ("h0" if len(points) == 1 else "")


def _joined(points: Iterator[tuple[float, float]] | Points) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _columns(
    picture: Picture, across: Callable[[int], float], zone: tzinfo | None
) -> Iterator[str]:
    """What a pointer is told at each time."""
    places = [WIDTH * across(at) for at in picture.at_ms]
    middles = [(a + b) / 2 for a, b in pairwise(places)]
    edges = (0.0, *middles, float(WIDTH))
    length = picture.at_ms[-1] - picture.at_ms[0]
    for number, at_ms in enumerate(picture.at_ms):
        known = [line for line in picture.lines if line.values[number] is not None]
        if not known:
            continue
        told = ", ".join(
            f"{each.name} {spell(each.values[number], picture.unit)}" for each in known
        )
        stood = picture.stopped and picture.stopped[number]
        rest = ", nothing sent" if stood else ""
        title = f"{spell_time(at_ms, length, zone)}: {told}{rest}"
        left, right = edges[number], edges[number + 1]
        yield (
            f'<g class="column"><title>{escape(one_line(title))}</title>'
            f'<rect x="{left:.1f}" width="{right - left:.1f}" height="{HEIGHT}"/></g>'
        )


def _names(axis: Axis, picture: Picture) -> Iterator[str]:
    for tick in axis.ticks:
        y = ABOVE + _down(axis, tick) + _HALF_LETTER
        text = escape(spell_tick(tick, picture.unit))
        yield f'<text class="name" x="{-_BESIDE}" y="{y:.1f}">{text}</text>'


def _times(picture: Picture, across: Callable[[int], float], zone: tzinfo | None) -> Iterator[str]:
    first, last = picture.at_ms[0], picture.at_ms[-1]
    for at_ms in times_of(first, last, zone):
        share = across(at_ms)
        if _FIRST_NAME <= share <= _LAST_NAME:
            text = escape(spell_time(at_ms, last - first, zone))
            y = ABOVE + HEIGHT + BELOW - 7
            yield f'<text class="time" x="{100 * share:.2f}%" y="{y}">{text}</text>'


def _marks(picture: Picture, across: Callable[[int], float], zone: tzinfo | None) -> Iterator[str]:
    length = picture.at_ms[-1] - picture.at_ms[0]
    for mark in picture.marks:
        share = across(mark.at_ms)
        if 0 <= share <= 1:
            title = escape(one_line(f"{spell_time(mark.at_ms, length, zone)}: {mark.text}"))
            yield (
                f'<g class="mark"><title>{title}</title>'
                f'<circle cx="{100 * share:.2f}%" cy="{ABOVE + HEIGHT}" r="4"/></g>'
            )
