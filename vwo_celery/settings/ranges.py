"""What is written at a setting's field: its range and its meaning. Pure: nothing to lose."""

from __future__ import annotations

from msgspec import Meta


def text(wanted: str, meaning: str, pattern: str | None = None) -> Meta:
    """A text, or a list of them, of a form that *wanted* describes and *pattern* checks."""
    return Meta(pattern=pattern, description=meaning, extra={"range": wanted})


def number(low: float, high: float, unit: str, meaning: str) -> Meta:
    """A number from *low* to *high*."""
    return Meta(ge=low, le=high, description=meaning, extra={"unit": unit})


def seconds(low: float, high: float, meaning: str) -> Meta:
    """A time."""
    return number(low, high, "seconds", meaning)
