"""The events of one body `{"ev": [...]}`, each with the bytes that the SDK wrote.

An item that no batch can carry is lost alone, and counted: were the whole body refused, its SDK would
send the good ones again for ever. msgspec finds the items of nearly every body; a slower reader those
of a body with lone surrogates, which msgspec refuses, or with an item that is no JSON. Pure: nothing
to lose.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from vwo_celery.events import MAX_EVENT_BYTES, decode, unsendable
from vwo_celery.events.bodies import SURELY_FLAT_BYTES, nests_too_deep
from vwo_celery.relay.rules.answers import NO_EVENTS, NO_USABLE_EVENT, NOT_JSON, TOO_LARGE, Refused
from vwo_celery.relay.rules.limits import MOST_EVENTS, MOST_EVENTS_OF_PHONES

#: The beginning of nearly every FME event.
_FME_START: Final = b'{"d":{'
#: Commas from which a body may hold so many items, each of some bytes, that to find them all at once
#: takes seconds and hundreds of megabytes; bodies of events have fewer.
_MANY_COMMAS: Final = 500_000
_NOTHING_LOST: Final[Mapping[str, int]] = {}


class Found(NamedTuple):
    """The events of a body.

    Attributes:
        events: The events, in their order.
        lost: Number of items that are no events, by the reason of their receipts.
    """

    events: Sequence[bytes]
    lost: Mapping[str, int]


class _Body(msgspec.Struct):
    ev: list[msgspec.Raw]


class _List(msgspec.Struct):
    ev: msgspec.Raw


_read = msgspec.json.Decoder(_Body).decode
_read_list = msgspec.json.Decoder(_List).decode


def events_of(text: bytes, *, is_fme: bool, is_phone: bool) -> Found:
    """Return the events of a batch request.

    Args:
        text: Its body, JSON in UTF-8.
        is_fme: Whether each event must have an object `d`.
        is_phone: Whether a phone sent it, which uploads what it kept offline in one request of any
            number of events.

    Raises:
        Refused: The body is not JSON, has no list "ev", has more than MOST_EVENTS items (of a phone,
            MOST_EVENTS_OF_PHONES), or holds items and not one event.
    """
    items, is_checked = _items_of(text, MOST_EVENTS_OF_PHONES if is_phone else MOST_EVENTS)
    if is_checked:
        start = _FME_START if is_fme else b"{"
        odd = [
            item for item in items if len(item) > SURELY_FLAT_BYTES or not item.startswith(start)
        ]
        if not any(_why_unusable(item, is_fme=is_fme) for item in odd):
            return Found(items, _NOTHING_LOST)
    wrong = {} if is_checked else dict(unsendable(items))
    lost: Counter[str] = Counter()
    events = []
    for number, item in enumerate(items):
        reason = "not_json" if number in wrong else _why_unusable(item, is_fme=is_fme)
        if reason:
            lost[reason] += 1
        else:
            events.append(item)
    if lost and not events:
        raise Refused(NO_USABLE_EVENT)
    return Found(events, lost)


def _items_of(text: bytes, most: int) -> tuple[list[bytes], bool]:
    """The items of the list "ev", and whether each is known to be JSON.

    Raises:
        Refused: They are more than *most*, or there is no such list.
    """
    with suppress(msgspec.DecodeError, RecursionError):
        return _all_of(text, most), True
    try:
        return _walk(text.decode(), most), False
    except (ValueError, RecursionError, IndexError) as exc:
        raise Refused(NOT_JSON) from exc


def _all_of(text: bytes, most: int) -> list[bytes]:
    try:
        if text.count(b",") >= _MANY_COMMAS:
            _check_number(bytes(_read_list(text).ev), most)
        items = _read(text).ev
    except msgspec.ValidationError as exc:
        raise Refused(NO_EVENTS) from exc
    if len(items) > most:
        raise Refused(TOO_LARGE)
    return list(map(bytes, items))


def _why_unusable(item: bytes, *, is_fme: bool) -> str:
    """The reason for which JSON text is no event, "" if it is one."""
    if len(item) > MAX_EVENT_BYTES:
        return "too_large"
    if nests_too_deep(item):
        return "not_json"
    if item.startswith(_FME_START) or (not is_fme and item.startswith(b"{")):
        return ""
    if is_fme and item.startswith(b"{"):
        event = decode(item)
        if isinstance(event, dict) and isinstance(event.get("d"), dict):
            return ""
    return "not_an_object"


def _check_number(items: bytes, most: int) -> None:
    """Refuse a list of too many items, before all of them are found at once."""
    if items.startswith(b"["):
        deque(_spans(items.decode(), 0, most), maxlen=0)


# -- the slower reader: it finds where each item begins and ends


_spaces = re.compile(r"[ \t\n\r]*").match


def _nothing(_: str) -> None:
    """Stand for a number, whose text is kept in the item."""


#: Reads one JSON value leniently; its end is all that is wanted.
_scan: Final = json.JSONDecoder(
    parse_int=_nothing, parse_float=_nothing, parse_constant=_nothing, strict=False
).raw_decode


def _walk(text: str, most: int) -> list[bytes]:
    """The items of the list "ev" of an object, found without checking them.

    Raises:
        Refused: There is no such list, or it has more than *most* items.
        ValueError, IndexError, RecursionError: The text is not JSON.
    """
    items: list[bytes] | None = None
    place = _expect(text, 0, "{")
    while text[place] != "}":
        name, place = _scan(text, place)
        place = _expect(text, place, ":")
        if name == "ev" and text[place] == "[":
            spans = list(_spans(text, place, most))
            items, place = [text[a:b].encode() for a, b in spans[:-1]], spans[-1][1]
        else:
            _, place = _scan(text, place)
        place = _next(text, place, "}")
    if _skip(text, place + 1) != len(text):
        raise ValueError("there is more after the object")
    if items is None:
        raise Refused(NO_EVENTS)
    return items


def _spans(text: str, place: int, most: int) -> Iterator[tuple[int, int]]:
    """Beginning and end of each item of a list; at last those of what closes it.

    Raises:
        Refused: It has more than *most* items.
    """
    place = _expect(text, place, "[")
    left = most
    while text[place] != "]":
        if not left:
            raise Refused(TOO_LARGE)
        left -= 1
        _, end = _scan(text, place)
        yield place, end
        place = _next(text, end, "]")
    yield place, place + 1


def _next(text: str, place: int, close: str) -> int:
    """The place of the next item after a comma, or of what closes the object or list."""
    place = _skip(text, place)
    return place if text[place] == close else _expect(text, place, ",")


def _expect(text: str, place: int, what: str) -> int:
    """The place of what follows a character that must come now."""
    place = _skip(text, place)
    if text[place] != what:
        raise ValueError(f"{what} is missing")
    return _skip(text, place + 1)


def _skip(text: str, place: int) -> int:
    match = _spaces(text, place)
    return match.end() if match else place
