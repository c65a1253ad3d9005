"""Values from outside in errors and log lines, shortened, whatever they are.

Pure functions, nothing to lose.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches


def shown(value: object) -> str:
    """Return a short repr of any value; never raises, whatever the value's class does."""
    try:
        return reprlib.repr(value)
    except Exception:
        return f"an object of type {type(value).__name__}"


def install_extra(name: str) -> str:
    """Spell how one of our extras is installed, as long as PyPI does not have this package."""
    return f"pip install '.[{name}]' in a checkout (PyPI does not have this package yet)"


def nearest(name: object, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" if one of *known* is close to *name*, else ""."""
    matches = get_close_matches(name, list(known), n=1) if isinstance(name, str) else []
    return f" (did you mean {matches[0]!r}?)" if matches else ""
