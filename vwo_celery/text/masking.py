"""Masks for what must not be shown: SDK keys, passwords, and URLs that hold one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote

_VISIBLE_KEY_CHARACTERS = 4


def mask(secret: str) -> str:
    """The last characters of *secret*, enough to tell two keys apart and too few to use."""
    if len(secret) < 3 * _VISIBLE_KEY_CHARACTERS:
        return "…"
    return "…" + secret[-_VISIBLE_KEY_CHARACTERS:]


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


#: Shorter pieces of a password are no secret, and in too many words.
_SHORTEST_SECRET: Final = 3


def secrets_of(url: str) -> list[str]:
    """What an error about *url* must not show: its password, whole and in the pieces it may break into.

    A URL of Celery's may be several, with ";" between them. The longest comes first, so that none is
    left over where one is a part of another.
    """
    whole = [secret for each in re.split(r";(?=[a-z0-9+]+://)", url) for secret in _passwords(each)]
    pieces = {piece for each in whole for piece in (each, *re.split(r"[/?#@:;\s]", each))}
    return sorted((each for each in pieces if len(each) >= _SHORTEST_SECRET), key=len, reverse=True)


def _passwords(url: str) -> list[str]:
    user_and_password = re.match(r"(?s)(?:[^/]*://)?(.*)@", url)
    password = user_and_password[1].partition(":")[2] if user_and_password else ""
    query = [value for name, value in parse_qsl(url.partition("?")[2]) if "password" in name]
    return [password, unquote(password), *query]
