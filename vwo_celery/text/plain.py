"""Plain values out of subclasses and lookalikes: exactly a str or an int, or nothing.

Values from an application can be of a class that only acts like text or a number: Django's
SafeString, an Enum with texts, numpy's integers. What is stored must be plain, since JSON writers
refuse some of those, and a reader of another process does not have the class. Pure functions,
nothing to lose.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any


def plain_text(value: Any) -> str | None:
    """Return the text of a str or of a subclass of it as exactly a str; None for anything else."""
    # By the real type: a lazy object only claims the class of its value.
    return str.__str__(value) if issubclass(type(value), str) else None


def plain_integer(value: Any) -> int | None:
    """Return a whole number of any class as exactly an int; None for a bool and anything else."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    return int.__int__(value) if isinstance(value, int) else int(value)
