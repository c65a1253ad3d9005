"""Requests that are one event, turned into an item of a batch, or kept whole.

`POST events/t` of an FME SDK has the same `d` as an item, and stays as it is; that of a legacy SDK has
no form in a batch, and becomes an envelope. The GETs of the legacy
SDKs map one to one to items, with the names, the order and the types of the Python SDK's
`build_event_payload`. The query of `events/t` is not trusted for the visitor (Node writes
`visitor_ua=undefined`, Go encodes it twice): the body has what counts. Pure: nothing to lose.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.errors import EventError
from vwo_celery.events import ENVELOPE_HEADERS, MAX_EVENT_BYTES, decode, encode, unsendable
from vwo_celery.events.bodies import nests_too_deep
from vwo_celery.producing.singles import envelope
from vwo_celery.relay.reading.paths import EVENT, PUSH, TRACK_GOAL
from vwo_celery.relay.reading.request import Request
from vwo_celery.relay.rules.answers import (
    NO_EVENT,
    NOT_FORWARDABLE,
    NOT_JSON,
    TOO_LARGE,
    Refused,
    missing,
)

_MOST_DIGITS: Final = 18
#: Type of a body that declared its charset; `text_of` has made UTF-8 of it.
_UTF_8: Final = "application/json; charset=utf-8"


class _Event(msgspec.Struct):
    d: msgspec.Raw


class _Properties(msgspec.Struct):
    vwo_sdkName: str = ""  # noqa: N815  (the vendor's name)


class _Inner(msgspec.Struct):
    props: _Properties


class _Outer(msgspec.Struct):
    event: _Inner


_read = msgspec.json.Decoder(_Event).decode
_read_name = msgspec.json.Decoder(_Outer).decode


# -- events/t


def event_of(text: bytes) -> bytes:
    """Return the item of a body of `events/t`, its bytes unchanged.

    Args:
        text: The body, JSON in UTF-8.

    Raises:
        Refused: It is no object with an object `d`, or too large for a batch.
    """
    item = text.strip(b" \t\r\n")
    if len(item) > MAX_EVENT_BYTES:
        raise Refused(TOO_LARGE)
    try:
        is_event = bytes(_read(item).d).startswith(b"{")
    except (msgspec.MsgspecError, RecursionError):
        is_event = False
    if is_event and not nests_too_deep(item):
        return item
    if unsendable([item]):
        raise Refused(NOT_JSON)
    if not isinstance(_inner(item), dict):  # msgspec reads no lone surrogates
        raise Refused(NO_EVENT)
    return item


def _inner(item: bytes) -> Any:
    event = decode(item)
    return event.get("d") if isinstance(event, dict) else None


def is_fme(request: Request, item: bytes) -> bool:
    """Whether an event comes from an FME SDK, by the SDK's name in the query, else in the event."""
    name = request.query.get("sn", "")
    if not name:
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            name = _read_name(_read(item).d).event.props.vwo_sdkName
    return "fme" in name


def envelope_of(request: Request, item: bytes, destination: Destination) -> bytes:
    """Return the event of a request that is sent on as it came.

    Args:
        request: The request.
        item: Its body as `event_of` returns it.
        destination: Where it goes, of the generation "single".

    Raises:
        Refused: Its query cannot be sent on, or names another account or key.
    """
    query = request.raw_query.decode("latin-1")
    headers = {
        name: request.header(name.lower().encode())
        for name in ENVELOPE_HEADERS
        if name.lower().encode() in request.headers
    }
    if "charset" in headers.get("Content-Type", "").lower():
        headers["Content-Type"] = _UTF_8  # by now
    try:
        return envelope(destination, f"{EVENT}?{query}" if query else EVENT, headers, item)
    except EventError as exc:
        raise Refused(TOO_LARGE if exc.reason == "too_large" else NOT_FORWARDABLE) from exc


def with_visitor(item: bytes, user_agent: str, address: str) -> bytes:
    """Add a browser's user agent and address to an item that lacks them; all else is unchanged."""
    inner = _inner(item)
    given = {"visitor_ua": user_agent, "visitor_ip": address}
    lacking = {name: value for name, value in given.items() if value and name not in inner}
    if not lacking:
        return item
    try:
        rest = bytes(_read(item).d)[1:]
    except msgspec.MsgspecError:  # it has lone surrogates
        return encode({"d": {**lacking, **inner}})
    added = encode(lacking)[:-1]
    comma = b"" if rest.lstrip(b" \t\r\n").startswith(b"}") else b","
    return b'{"d":' + added + comma + rest + b"}"


# -- the legacy SDKs' GETs


def item_of(request: Request, path: str) -> bytes:
    """Return the item of a GET of `track-user`, `track-goal` or `push`.

    Raises:
        Refused: A field is missing, or is no whole number where one is needed.
    """
    item: dict[str, Any] = {"u": _text(request, "u"), "sId": _number(request, "sId")}
    if path == PUSH:
        item["t"] = _tags(request)
        item["eT"] = 3
        return encode(item)
    item["visitor_ua"] = request.query.get("visitor_ua", "")
    item["visitor_ip"] = request.query.get("visitor_ip", "")
    item["c"] = _number(request, "combination")
    item["e"] = _number(request, "experiment_id")
    if path == TRACK_GOAL:
        item["g"] = _number(request, "goal_id")
        item["eT"] = 2
        if "r" in request.query:
            item["r"] = request.query["r"]
    else:
        item["eT"] = 1
    return encode(item)


def _text(request: Request, name: str) -> str:
    text = request.query.get(name, "")
    if not text:
        raise missing(name)
    return text


def _number(request: Request, name: str) -> int:
    text = _text(request, name)
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise missing(name)
    return int(text)


def _tags(request: Request) -> str:
    """The tags as JSON text.

    Node leaves the JSON raw and encodes the texts inside, so that decoding first would break those
    with quotes; the other SDKs encode the JSON as a whole.
    """
    raw = request.raw_value(b"tags").decode("latin-1")
    if "{" in raw:
        with suppress(ValueError, RecursionError):
            return json.dumps(_unquoted(json.loads(raw)))
    text = _text(request, "tags")
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise missing("tags")
    return text


def _unquoted(value: Any) -> Any:
    """A JSON value with each text in it decoded."""
    if isinstance(value, str):
        return unquote(value)
    if isinstance(value, list):
        return [_unquoted(each) for each in value]
    if isinstance(value, dict):
        return {unquote(name): _unquoted(each) for name, each in value.items()}
    return value
