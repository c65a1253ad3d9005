"""Events as people see them: the SDK key masked, one line each, decoded for JSON.

Pure functions, nothing to lose.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from vwo_celery.text.masking import mask

#: Most characters of one event in a table; --json prints all of them.
_SHOWN_CHARACTERS = 4_000


def masked(event: bytes, sdk_key: str) -> str:
    """Return an event's text with the SDK key, which SDKs write into some of them, masked."""
    text = event.decode("utf-8", "replace")
    for spelled in {sdk_key, json.dumps(sdk_key)[1:-1]}:
        text = text.replace(spelled, mask(sdk_key))
    return text


def cut(text: str) -> str:
    """Return the beginning of a long text, and how much of it is left out."""
    rest = len(text) - _SHOWN_CHARACTERS
    return f"{text[:_SHOWN_CHARACTERS]}… and {rest:,} further characters" if rest > 0 else text


def decoded(text: str) -> Any:
    """Return an event, decoded, or its text if another program pushed something that is no JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
