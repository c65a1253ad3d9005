"""The parts of a destination: each reader returns the plain value to keep, or refuses what is given.

A reader takes the part's name, which its error names, and any value. None stands for a part that is
left out. Pure: nothing to lose.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from vwo_celery.errors import DestinationError
from vwo_celery.text.masking import mask
from vwo_celery.text.plain import plain_integer, plain_text
from vwo_celery.text.wording import shown

Generation = Literal["legacy", "fme", "single"]

#: Most digits of an account id: as many as any integer of 64 bits.
_MOST_ACCOUNT_DIGITS = 18
#: Length in characters from which a text is masked in errors.
_LONG_TEXT = 20
_PRINTABLE_ASCII = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_WORD = re.compile(r"[!-~]+")
_REGION = re.compile(r"/?(?!\.)[\w~.-]+(?:/(?!\.)[\w~.-]+)*/?", re.ASCII)
_LABEL = r"[\w-]{1,63}"
_HOST = re.compile(
    rf"(?:{_LABEL}\.)*{_LABEL}\.?|[0-9a-f.]*:[0-9a-f:.]*(?:%25[\w.~-]+)?", re.ASCII | re.IGNORECASE
)
_PATH = re.compile(r"(?:/[\w.~!$&'()*+,;=:@%-]*)*", re.ASCII)


def read_generation(name: str, given: Any) -> str:
    """Return a generation."""
    text = plain_text(given)
    if text is None or text not in get_args(Generation):
        raise _wrong(name, '"legacy", "fme" or "single"', given)
    return text


def read_account(name: str, given: Any) -> int | str:
    """Return an account id, a number or its digits."""
    number, text = plain_integer(given), plain_text(given)
    if number is not None and 0 <= number < 10**_MOST_ACCOUNT_DIGITS:
        return number
    if text and text.isascii() and text.isdecimal() and len(text) <= _MOST_ACCOUNT_DIGITS:
        return text
    raise _wrong(name, "a whole number, or its digits 0 to 9", given)


def read_key(name: str, given: Any) -> str:
    """Return an SDK key."""
    text = plain_text(given)
    if not text or not _WORD.fullmatch(text):
        # The key itself must not show, nor a slip of the keyboard beside it.
        raise DestinationError(
            f"{name} must be the environment's SDK key, visible ASCII characters without spaces; "
            f"a value of type {type(given).__name__} was given that is not"
        )
    return text


def is_label(text: str) -> bool:
    """Whether a text is printable ASCII, without spaces at its ends, or empty."""
    return text == "" or _PRINTABLE_ASCII.fullmatch(text) is not None


def read_label(name: str, given: Any) -> str:
    """Return a name or version; None is ""."""
    text = "" if given is None else plain_text(given)
    if text is None or not is_label(text):
        raise _wrong(name, 'a text of printable ASCII characters, such as "1.65.0"', given)
    return text


def read_region(name: str, given: Any) -> str:
    """Return a region; None is ""."""
    text = "" if given is None else plain_text(given)
    if text is None or not (text == "" or _REGION.fullmatch(text)):
        raise _wrong(name, 'a collection prefix such as "eu01"', given)
    return text


def read_base_url(name: str, given: Any) -> str:
    """Return a base URL; None is ""."""
    text = "" if given is None else plain_text(given)
    if text is None:  # what was given may hold a password
        raise DestinationError(
            f"{name} must be a text, http://HOST or https://HOST; a value of type "
            f"{type(given).__name__} was given"
        )
    if text:
        _check_base_url(name, text)
    return text


def _check_base_url(name: str, url: str) -> None:
    needed = f"{name} must be http://HOST or https://HOST, without a user name"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise DestinationError(f"{needed}; host or port cannot be read") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise DestinationError(
            f"{needed}; its scheme is {shown(parts.scheme)} and its host {shown(parts.hostname)}"
        )
    if parts.query or parts.fragment:
        raise DestinationError(f"{name} must have no query and no fragment")
    if not _HOST.fullmatch(parts.hostname) or port == 0:
        raise DestinationError(
            f"{needed}; its host {shown(parts.hostname)} or its port cannot be used (a name with "
            "letters beyond ASCII has a form in ASCII that begins with xn--)"
        )
    if not _WORD.fullmatch(url) or not _PATH.fullmatch(parts.path):
        raise DestinationError(f"{name} must have a path that needs no further quoting (%20)")


def read_usage_stats(name: str, given: Any) -> tuple[tuple[str, str], ...]:
    """Return usage statistics; None is none."""
    if given is None:
        return ()
    pairs = [read_pair(each) for each in given] if isinstance(given, list | tuple) else [None]
    kept = tuple(pair for pair in pairs if pair is not None)
    if len(kept) < len(pairs):
        raise _wrong(name, 'pairs of printable texts, such as (("eb", "1"), ("_l", "1"))', given)
    return kept


def read_pair(given: Any) -> tuple[str, str] | None:
    """Return a pair of printable texts; None for anything else."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        return None
    first, second = plain_text(given[0]), plain_text(given[1])
    if first is None or second is None or not (first + second).isprintable():
        return None
    return first, second


def _wrong(name: str, needed: str, given: Any) -> DestinationError:
    text = plain_text(given)
    # A long text may be an SDK key at the wrong place.
    what = shown(given) if text is None or len(text) < _LONG_TEXT else repr(mask(text))
    return DestinationError(
        f"{name} must be {needed}; {what} of type {type(given).__name__} was given"
    )
