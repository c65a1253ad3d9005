"""Numbers of charts in words, short enough for an axis. Pure: nothing to lose."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Final

from vwo_celery.console.charts.pictures import Unit
from vwo_celery.text.amounts import span

_UNITS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_DAY_MS: Final = 86_400_000


def short(value: float) -> str:
    """Spell a number in at most three digits and a unit, such as "0.4", "719" or "10.9 k"."""
    for unit, letter in _UNITS:
        if abs(value) >= 0.9995 * unit:
            return f"{_digits(value / unit)} {letter}"
    return _digits(value)


def _digits(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def spell(value: float | None, unit: Unit) -> str:
    """Spell a value of a chart with its unit; "not known" for None."""
    if value is None:
        return "not known"
    if unit == "seconds":
        return span(value)
    if unit == "rate":
        return f"{short(value)} / s"
    return f"{value:,.0f}"


def spell_tick(value: float, unit: Unit) -> str:
    """Spell a value beside an axis."""
    if unit != "seconds":
        return short(value)
    return span(value).replace(".0 ", " ").replace(" 00 min", "").replace(" 00 h", "")


def spell_time(at_ms: int, span_ms: int, zone: tzinfo | None = None) -> str:
    """Spell a time within a span: by the clock, with the date where days matter.

    Args:
        at_ms: Unix ms.
        span_ms: Length of the whole span; from two days on the date says more than the clock.
        zone: The zone; None for this host's.
    """
    at = moment_of(at_ms, zone)
    if span_ms > 4 * _DAY_MS:
        return f"{at:%b} {at.day}"
    return f"{at:%b} {at.day} {at:%H:%M}" if span_ms > _DAY_MS * 1.5 else f"{at:%H:%M}"


def moment_of(at_ms: int, zone: tzinfo | None = None) -> datetime:
    """The moment of a Unix time in ms, in *zone*; None for this host's."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone(zone)
