"""The numbers of a chart: as a table, and as the sentence that a screen reader says of it.

Pure: nothing to lose.
"""

from __future__ import annotations

from datetime import tzinfo

import msgspec

from vwo_celery.console.charts.pictures import Line, Picture
from vwo_celery.console.charts.spelling import spell, spell_time


class Table(msgspec.Struct, frozen=True):
    """The same numbers as rows of text, the latest first.

    Attributes:
        title: What they are.
        head: Names of the columns.
        rows: The cells; the first of each is a time.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def table_of(picture: Picture, zone: tzinfo | None = None) -> Table:
    """The numbers of a picture as a table."""
    length = _length(picture)
    times = [spell_time(at_ms, length, zone) for at_ms in picture.at_ms]
    columns = [[spell(each, picture.unit) for each in line.values] for line in picture.lines]
    rows = [*zip(times, *columns, strict=True)]
    head = ("until", *(line.name for line in picture.lines))
    return Table(picture.title, head, tuple(reversed(rows)))


def label_of(picture: Picture, zone: tzinfo | None = None) -> str:
    """A sentence that says what a chart shows: of each line the first, the last and the highest value."""
    length = _length(picture)
    first, last = (spell_time(at, length, zone) for at in (picture.at_ms[0], picture.at_ms[-1]))
    lines = "; ".join(_told(line, picture, zone) for line in picture.lines)
    limit = picture.limit
    held = f"; {limit.name} {spell(limit.value, picture.unit)}" if limit else ""
    return f"{picture.title}, {first} to {last}: {lines}{held}"


def _told(line: Line, picture: Picture, zone: tzinfo | None) -> str:
    known = [
        (value, at_ms)
        for value, at_ms in zip(line.values, picture.at_ms, strict=True)
        if value is not None
    ]
    if not known:
        return f"{line.name} not known"
    highest, at_ms = max(known)
    return (
        f"{line.name} first {spell(known[0][0], picture.unit)}, last "
        f"{spell(picture.last(line), picture.unit)}, highest {spell(highest, picture.unit)} at "
        f"{spell_time(at_ms, _length(picture), zone)}"
    )


def _length(picture: Picture) -> int:
    return picture.at_ms[-1] - picture.at_ms[0] if picture.at_ms else 0
