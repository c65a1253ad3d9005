"""Numbers as rows of block letters. Pure: nothing to lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_ZERO: Final = "_"


def bars(values: Sequence[float | None], height: int) -> list[str]:
    """Draw one column a value, in *height* rows from the top down.

    The largest value fills all rows; any value above 0 is seen. A zero is a line on the ground, and a
    value that is missing, None, is nothing at all.
    """
    most = max((value for value in values if value is not None), default=0.0)
    columns = [_column(value, most, height) for value in values]
    return ["".join(column[row] for column in columns) for row in range(height)]


def _column(value: float | None, most: float, height: int) -> str:
    """One column, from the top down."""
    if value is None:
        return " " * height
    if value <= 0 or most <= 0:
        return _ZERO.rjust(height)
    eighths = max(1, round(8 * height * value / most))
    full, rest = divmod(eighths, 8)
    drawn = _EIGHTHS[8] * full + (_EIGHTHS[rest] if rest else "")
    return drawn[::-1].rjust(height)
