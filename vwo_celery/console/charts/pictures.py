"""What a chart shows: its lines, its times, and what else belongs to them. Data: nothing to lose."""

from __future__ import annotations

from typing import Literal

import msgspec

#: What a value is: a number of something, a number each second, or a time in seconds.
Unit = Literal["number", "rate", "seconds"]


class Line(msgspec.Struct, frozen=True):
    """One line of a chart.

    Attributes:
        name: What it shows, as its legend says it.
        style: The class of its colour; see console.css.
        values: One for each time of the picture; None where it is not known, which is a gap.
        area: Whether the space below it is filled.
    """

    name: str
    style: str
    values: tuple[float | None, ...]
    area: bool = False

    @property
    def known(self) -> list[float]:
        """The values that are known."""
        return [each for each in self.values if each is not None]


class Mark(msgspec.Struct, frozen=True):
    """Something that happened once, such as an operator's change.

    Attributes:
        at_ms: Unix ms.
        text: What it was.
    """

    at_ms: int
    text: str


class Limit(msgspec.Struct, frozen=True):
    """A value that the lines are held against, such as a promised age.

    Attributes:
        name: What it is.
        value: The value, in the picture's unit.
    """

    name: str
    value: float


class Picture(msgspec.Struct, frozen=True):
    """One chart.

    Attributes:
        title: What it shows.
        at_ms: Unix ms of each value, ascending.
        lines: Its lines; a stacked one draws them upon one another, the first at the bottom.
        unit: What the values are.
        stacked: Whether the lines are parts of a whole.
        logarithmic: Whether equal steps up are equal factors; for ages.
        running: Whether the last value is of a step that has not ended, drawn dashed.
        stopped: For each time, whether nothing was sent; shaded. Empty for never.
        marks: What happened meanwhile.
        limit: What the lines are held against.
        note: What a reader has to know besides; "" for nothing.
    """

    title: str
    at_ms: tuple[int, ...]
    lines: tuple[Line, ...]
    unit: Unit = "number"
    stacked: bool = False
    logarithmic: bool = False
    running: bool = False
    stopped: tuple[bool, ...] = ()
    marks: tuple[Mark, ...] = ()
    limit: Limit | None = None
    note: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw: a line needs two points."""
        return len(self.at_ms) < 2 or not any(line.known for line in self.lines)

    def last(self, line: Line) -> float | None:
        """A line's last value, None if that is not known; of a step that has not ended, only if it is."""
        ended = line.values[:-1] if self.running and line.values[-1:] == (None,) else line.values
        return ended[-1] if ended else None

    @property
    def drawn(self) -> tuple[Line, ...]:
        """The lines to draw: a part of a whole that is always 0 would only hide what is below it."""
        if not self.stacked:
            return self.lines
        return tuple(line for line in self.lines if any(line.known)) or self.lines[:1]
