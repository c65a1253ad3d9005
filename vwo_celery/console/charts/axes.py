"""Axes: where a value stands between the bottom and the top of a chart, and which values are named.

Pure: nothing to lose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta, tzinfo
from typing import Final

import msgspec

from vwo_celery.console.charts.pictures import Picture
from vwo_celery.console.charts.spelling import moment_of

#: Factors of a power of ten at which an axis may end; half of each is a number as short.
_ROUND: Final = (1.0, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
#: Ages at which a logarithmic axis may begin, end and have its lines, in seconds.
_AGES: Final = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 7_776_000.0)
#: Smallest value that an axis ends at; no count, rate or time of ours is smaller, but 0.
_LEAST: Final = 1e-9
#: Most lines of a logarithmic axis, besides its ends.
_MOST_LINES: Final = 3
#: Steps between times that are named, in seconds.
_STEPS: Final = (
    60, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600,
    2_592_000,
)  # fmt: skip
#: Most times that are named.
_MOST_TIMES: Final = 5


class Axis(msgspec.Struct, frozen=True):
    """The values from the bottom of a chart to its top.

    Attributes:
        low: The value at the bottom.
        high: The value at the top.
        ticks: The values that have a line and a name, ascending.
        logarithmic: Whether equal steps up are equal factors.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value stands, from 0 at the bottom to 1 at the top."""
        if self.logarithmic:
            within = min(max(value, self.low), self.high)
            return math.log(within / self.low) / math.log(self.high / self.low)
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def axis_of(picture: Picture) -> Axis:
    """The axis on which all values of a picture, and its limit, have a place."""
    values = _heights(picture)
    if picture.limit is not None:
        values.append(picture.limit.value)
    return _ages(values) if picture.logarithmic else _linear(max(values, default=0.0))


def _heights(picture: Picture) -> list[float]:
    if not picture.stacked:
        return [value for line in picture.lines for value in line.known]
    rows = zip(*(line.values for line in picture.lines), strict=True)
    return [sum(value or 0.0 for value in row) for row in rows]


def _linear(highest: float) -> Axis:
    high = round_up(highest)
    return Axis(0.0, high, (0.0, high / 2, high))


def round_up(value: float) -> float:
    """The smallest round number that is not smaller; 1 for 0, and for what is next to nothing."""
    if value < _LEAST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    # 10 times the power below is at least the value, but for the last digits of a float.
    return next((each * power for each in _ROUND if each * power >= value), 20.0 * power)


def _ages(values: Sequence[float]) -> Axis:
    seen = [value for value in values if value > 0]
    lowest, highest = min(seen, default=1.0), max(seen, default=10.0)
    low = max((age for age in _AGES if age <= lowest), default=_AGES[0])
    high = min(
        (age for age in _AGES if age >= highest and age > low), default=max(highest, 2 * low)
    )
    lines = [age for age in _AGES if low < age < high]
    every = max(1, -(-len(lines) // _MOST_LINES))
    return Axis(low, high, (low, *lines[every - 1 :: every], high), logarithmic=True)


def times_of(first_ms: int, last_ms: int, zone: tzinfo | None = None) -> list[int]:
    """Unix ms of the times to name between two others: round ones by the clock of *zone*."""
    length = max(1, (last_ms - first_ms) // 1000)
    step = next((each for each in _STEPS if length / each <= _MOST_TIMES), _STEPS[-1])
    midnight = moment_of(first_ms, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    at, step_of_time = midnight, timedelta(seconds=step)
    first, last = moment_of(first_ms, zone), moment_of(last_ms, zone)
    found = []
    while at <= last:
        if at >= first:
            found.append(int(at.timestamp() * 1000))
        at += step_of_time
    return found
