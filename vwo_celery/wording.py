"""How errors and log lines name what they were given, without raising and without secrets.

Place: words, no I/O.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
from difflib import get_close_matches


def shown(value: object) -> str:
    """A short text of any value; never raises, whatever the value's class does."""
    try:
        return reprlib.repr(value)
    except Exception:
        return f"an object of type {type(value).__name__}"


def nearest(name: object, known: Iterable[str]) -> str:
    """The words " (did you mean …?)" if one of *known* is close to *name*, else ""."""
    matches = get_close_matches(name, list(known), n=1) if isinstance(name, str) else []
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def mask_url(url: str) -> str:
    """*url* without its user, password and query, all of which may be secrets."""
    masked = re.sub(r"(?s)^([^/]*://)?.*@", r"\1…@", url)
    return re.sub(r"(?s)\?.*", "?…", masked)


def scheme_only(url: str) -> str:
    """What an error may say of a URL that is wrong somewhere, so that a password may be anywhere."""
    scheme, separator, _ = url.partition("://")
    return f"a URL that begins with {scheme}://" if separator else "a text without ://"
