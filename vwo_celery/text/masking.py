"""Masks for SDK keys, passwords, and URLs that hold one.

Pure functions, nothing to lose. They read text with patterns, not with a parser: a
secret must be masked also in a URL that cannot be parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote

_VISIBLE_KEY_CHARACTERS = 4


def mask(secret: str) -> str:
    """Return the last characters of *secret*: enough to tell two keys apart, too few to use."""
    if len(secret) < 3 * _VISIBLE_KEY_CHARACTERS:
        return "…"
    return "…" + secret[-_VISIBLE_KEY_CHARACTERS:]


def mask_url(url: str) -> str:
    """Return *url* without its user, password and query, all of which may be secrets."""
    masked = re.sub(r"(?s)^([^/]*://)?.*@", r"\1…@", url)
    return re.sub(r"(?s)\?.*", "?…", masked)


def scheme_only(url: str) -> str:
    """Return the scheme only: in a URL that cannot be parsed, any other part may be the password."""
    scheme = re.match(r"[A-Za-z0-9+.-]+://", url)
    return f"a URL that begins with {scheme[0]}" if scheme else "a text without a scheme and ://"


def without_secrets(text: str, masks: Mapping[str, str]) -> str:
    """Mask each secret in *text*, whether it is spelled plainly, as in a URL or as in a repr.

    Args:
        text: An error or a log line of another program.
        masks: Each secret, none empty, and its mask.
    """
    for secret, mask in masks.items():
        pattern = re.compile(_spellings(secret), re.IGNORECASE)
        text = mask.join(pattern.split(text))
    return text


def _spellings(secret: str) -> str:
    """Make a pattern for *secret* with each character plain, as in a URL or as in a repr."""
    either = ({c, quote(c, safe=""), quote_plus(c), repr(c)[1:-1]} for c in secret)
    return "".join(f"(?:{'|'.join(map(re.escape, ways))})" for ways in either)


#: Shortest piece of a password that is masked; shorter ones are in too many words.
_SHORTEST_SECRET: Final = 3


def secrets_of(url: str) -> list[str]:
    """List the texts that an error about *url* must not show: its passwords and their pieces.

    A library that misreads a URL quotes a piece of the password. A broker's URL may be several, joined
    by ";". The longest text comes first, since one may contain another.
    """
    whole = [secret for each in re.split(r";(?=[a-z0-9+]+://)", url) for secret in _passwords(each)]
    pieces = {piece for each in whole for piece in (each, *re.split(r"[/?#@:;\s]", each))}
    return sorted((each for each in pieces if len(each) >= _SHORTEST_SECRET), key=len, reverse=True)


def _passwords(url: str) -> list[str]:
    user_and_password = re.match(r"(?s)(?:[^/]*://)?(.*)@", url)
    password = user_and_password[1].partition(":")[2] if user_and_password else ""
    query = [value for name, value in parse_qsl(url.partition("?")[2]) if "password" in name]
    return [password, unquote(password), *query]
