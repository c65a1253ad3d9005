"""How errors and log lines name what they were given, without raising and without secrets.

Place: words, no I/O.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from urllib.parse import quote, quote_plus


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
    scheme = re.match(r"[A-Za-z0-9+.-]+://", url)
    return f"a URL that begins with {scheme[0]}" if scheme else "a text without a scheme and ://"


def without_secrets(text: str, masks: Mapping[str, str]) -> str:
    """*text* with a mask for each secret, however it is spelled: as it is, as in a URL or in a repr.

    Args:
        text: What another program said.
        masks: For each secret, none empty, what to show instead.
    """
    for secret, mask in masks.items():
        pattern = re.compile(_spellings(secret), re.IGNORECASE)
        text = mask.join(pattern.split(text))
    return text


def _spellings(secret: str) -> str:
    """A pattern for *secret*, each of its characters as it is, as in a URL or as in a repr."""
    either = ({c, quote(c, safe=""), quote_plus(c), repr(c)[1:-1]} for c in secret)
    return "".join(f"(?:{'|'.join(map(re.escape, ways))})" for ways in either)
