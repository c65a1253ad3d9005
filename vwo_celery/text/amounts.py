"""Counts, spans of time and sizes, each in one form for messages and tables.

Pure functions, nothing to lose.
"""

from __future__ import annotations

import re

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_LONGEST_IN_SECONDS = 120
_SPAN = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": _MINUTE, "h": _HOUR, "d": _DAY}


def count(number: int, noun: str, plural: str = "") -> str:
    """Spell a number and its noun, such as "1 event" or "1,200 batches"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def span(seconds: float) -> str:
    """Spell a span of time in at most two units, such as "0.4 s", "75 s" or "2 h 05 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < _LONGEST_IN_SECONDS:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE)
    if minutes < 60:
        return f"{minutes} min"
    if seconds < 2 * _DAY:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / _HOUR)
    return f"{hours // 24} d {hours % 24:02} h"


def read_span(text: str) -> int | None:
    """Read a span that somebody typed, such as "90s", "15m", "2h" or "7d", in seconds; None for none."""
    found = _SPAN.fullmatch(text)
    return None if found is None else int(found[1]) * _SECONDS[found[2]]


def size(bytes_: float) -> str:
    """Spell a size in its largest unit, such as "512 bytes" or "1.5 GiB"."""
    unit = 0
    while bytes_ >= 1024 and unit < len(_UNITS) - 1:
        bytes_, unit = bytes_ / 1024, unit + 1
    return f"{bytes_:,.0f} {_UNITS[unit]}" if unit == 0 else f"{bytes_:,.1f} {_UNITS[unit]}"
