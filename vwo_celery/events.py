"""An event as the bytes that go on the wire, and a batch's body made of such bytes.

Place: words, no I/O. An event is encoded once, before `enqueue` asks Redis anything; from there on
it is bytes that nobody has to parse, and a body is those bytes joined. `encode` lets through only
one JSON object within VWO's limit, and refuses the rest before it is accepted. Other programs push
past it: `unsendable` finds what of theirs would break a body. If the process dies in here, the
event was never accepted, or is as it was.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from decimal import Decimal
from itertools import accumulate
from numbers import Integral, Real
from typing import Any

import msgspec

from vwo_celery.errors import EventError

#: VWO answers 413 beyond either (vendor's page "Configure Event Batching", Maximum Limits). The
#: page does not say which megabyte it means; this is the smaller one.
MAX_EVENTS_PER_REQUEST = 5000
MAX_BODY_BYTES = 10_000_000

_BODY_START = b'{"ev":['
_BODY_END = b"]}"
_SEPARATOR = b","
#: What a body needs besides its events and the separator between every two of them.
BODY_OVERHEAD_BYTES = len(_BODY_START) + len(_BODY_END)
SEPARATOR_BYTES = len(_SEPARATOR)
#: An event of this size still fits into a body of its own.
MAX_EVENT_BYTES = MAX_BODY_BYTES - BODY_OVERHEAD_BYTES

#: Objects and arrays inside one another in one event. Python's own readers give up a little under
#: 1000, less what the call stack already holds; so an accepted event is readable everywhere.
MAX_NESTING = 500
#: Brackets come in pairs: no JSON of this size nests any deeper.
_NEVER_TOO_DEEP_BYTES = 2 * MAX_NESTING

#: A Decimal of more digits is no quantity; as an integer it would be gigabytes of zeros.
_MAX_INTEGER_DIGITS = 300


def encode(event: object) -> bytes:
    """The JSON of one event, compact, in UTF-8, with its keys in the order given.

    Values that JSON has no form of its own for become: datetime, date, time, timedelta ISO 8601
    text; UUID text; Enum its value; Decimal a number, digit by digit; tuple, set and deque an
    array; other mappings, dataclasses and Structs an object; bytes Base64 text; numpy's scalars
    numbers; a key that is no text, its text. Integers of any size and lone surrogates are carried.

    Args:
        event: A mapping, a Struct or a dataclass; or bytes (or a `msgspec.Raw`) that hold one JSON
            object already, which come back unchanged.

    Returns:
        One JSON object of at most MAX_EVENT_BYTES.

    Raises:
        EventError: "not_json" (NaN or Infinity, circular or too deep, a type without JSON form, a
            value that raises while it is read), "not_an_object" or "too_large". No other error
            gets out, since this runs inside an application's request.
    """
    try:
        encoded = _encode(event)
    except EventError:
        raise
    except Exception as exc:
        raise EventError("not_json", f"the event has no JSON form ({type(exc).__name__})") from exc
    if len(encoded) > MAX_EVENT_BYTES:
        raise EventError(
            "too_large",
            f"the event is {len(encoded)} bytes of JSON; VWO takes at most {MAX_EVENT_BYTES}",
        )
    if _nests_too_deep(encoded):
        raise EventError("not_json", f"the event {_TOO_DEEP}")
    return encoded


def body(events: Iterable[bytes]) -> bytes:
    """The body of one batch request, of events that `encode` returned; nothing is parsed."""
    return _BODY_START + _SEPARATOR.join(events) + _BODY_END


def unsendable(events: Sequence[bytes]) -> list[tuple[int, str]]:
    """Which events must not go into a body, each with the reason in words; it never raises.

    Whoever can write to Redis can push anything. Of what is left, each event is exactly one JSON
    object in UTF-8 (RFC 8259), so that a body of them is one array of as many objects, whatever
    they hold. Whatever `encode` returned is sendable. Costs about 0.5 µs for an event of 700 bytes.

    Args:
        events: As they were read from Redis.

    Returns:
        Index and reason of each that is not sendable, in order; the reason shows nothing of the
        event and completes a sentence that begins with "the event".
    """
    if _all_sendable(events):
        return []
    reasons = ((index, _why_unsendable(event)) for index, event in enumerate(events))
    return [(index, reason) for index, reason in reasons if reason]


def decode(text: bytes) -> Any:
    """A stored event as a dict, for receivers and callbacks; it never raises.

    What another program pushed need not be one JSON object: such an event comes back as text.
    """
    try:
        return _read(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if not _why_unsendable(text):  # msgspec reads neither lone surrogates nor huge numbers
        with suppress(ValueError, RecursionError):  # nor does Python a number of 5,000 digits
            return json.loads(text)
    return text.decode("utf-8", "replace")


def _all_sendable(events: Sequence[bytes]) -> bool:
    """Whether nothing is wrong with any: the usual case, with as little as possible for each."""
    try:
        for event in events:
            if len(event) > _NEVER_TOO_DEEP_BYTES and _beyond_bounds(event):
                return False
            _read_syntax(event)  # checks everything but the UTF-8 inside of texts
        if not all(map(bytes.isascii, events)):
            _SEPARATOR.join(events).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _why_unsendable(event: bytes) -> str:
    """What is wrong with one event, "" if nothing."""
    beyond = _beyond_bounds(event)
    if beyond:
        return beyond
    try:
        event.decode()
        # Lone surrogates are JSON, though msgspec reads none; other digits change no syntax.
        _read_syntax(_SURROGATE.sub(rb"\\u0041", event))
    except msgspec.ValidationError:
        return "is JSON, but no object"
    except msgspec.DecodeError as exc:
        return f"is not one JSON object ({exc})"
    except UnicodeDecodeError as exc:
        return f"is not UTF-8 ({exc.reason}, byte {exc.start})"
    except RecursionError:
        return _TOO_DEEP
    return ""


def _beyond_bounds(event: bytes) -> str:
    if len(event) > MAX_EVENT_BYTES:
        return f"is {len(event)} bytes; VWO takes at most {MAX_EVENT_BYTES}"
    return _TOO_DEEP if _nests_too_deep(event) else ""


def _nests_too_deep(text: bytes) -> bool:
    if len(text) <= _NEVER_TOO_DEEP_BYTES:
        return False
    # A replacement by nothing measured six times as fast as `count`.
    if len(text) - len(text.replace(b"{", b"").replace(b"[", b"")) <= MAX_NESTING:
        return False
    outside_texts = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside_texts).translate(None, delete=_NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_NESTING


def _encode(event: object) -> bytes:
    if type(event) is not dict and isinstance(event, _READY_MADE):
        return _checked(bytes(event))
    try:
        encoded = _write(event)
    except (TypeError, ValueError, OverflowError):
        return _write_leniently(event)
    # The writer vouches neither for a Decimal that is NaN or a key, nor for a Raw inside the event.
    try:
        _read_syntax(encoded)
    except msgspec.ValidationError:
        raise _not_an_object() from None
    if not encoded.isascii():
        encoded.decode()  # the reader skips over texts, and a Raw may hold any bytes
    # It also writes null for NaN. (rfind measured twice as fast as `in` on events.)
    if encoded.rfind(b"null") >= 0:
        _refuse_non_finite(event)
    return encoded


def _write_leniently(event: object) -> bytes:
    """As the SDKs write it: json.dumps also carries lone surrogates, and True or None as keys."""
    text = _write_as_sdk(event)
    if not text.startswith("{"):
        raise _not_an_object()
    return text.encode("ascii")


def _refuse_non_finite(event: object) -> None:
    _write_as_sdk(msgspec.to_builtins(event, str_keys=True, enc_hook=_plain))


def _checked(encoded: bytes) -> bytes:
    """*encoded*, if it is one JSON object in UTF-8."""
    try:
        _read(encoded)
    except msgspec.DecodeError:
        # msgspec reads no lone surrogates, which are JSON all the same.
        value = json.loads(encoded.decode(), parse_constant=_refuse, parse_float=_finite)
        if not isinstance(value, dict):
            raise _not_an_object() from None
    return encoded


def _plain(value: Any) -> Any:
    """A plain Python value in place of one that msgspec cannot write."""
    if isinstance(value, str):
        return str.__str__(value)  # str() may answer with the subclass itself
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Sequence, Set)):
        return list(value)
    raise EventError("not_json", f"the event holds a {type(value).__name__}: it has no JSON form")


def _plain_inside(value: Any) -> Any:
    """A plain Python value in place of one that the standard library cannot write."""
    if isinstance(value, Decimal):
        return _number(value)
    return msgspec.to_builtins(value, builtin_types=(Decimal,), str_keys=True, enc_hook=_plain)


def _number(value: Decimal) -> int | float:
    whole = value.is_finite() and value == value.to_integral_value()
    return int(value) if whole and value.adjusted() < _MAX_INTEGER_DIGITS else float(value)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _refuse(text: str) -> float:
    raise EventError("not_json", f"the event holds {text[:20]}, which is no number of JSON's")


def _not_an_object() -> EventError:
    return EventError("not_an_object", "an event must be one JSON object, such as a dict")


_TOO_DEEP = f"nests deeper than {MAX_NESTING} objects and arrays"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_STEPS = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEPS))


class _AnyObject(msgspec.Struct):
    """Reads any JSON object: its syntax is checked, nothing of it is kept."""


_READY_MADE = (bytes, bytearray, memoryview, msgspec.Raw)
_write = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain).encode
_write_as_sdk = json.JSONEncoder(
    allow_nan=False, separators=(",", ":"), default=_plain_inside
).encode
_read_syntax = msgspec.json.Decoder(_AnyObject).decode
_read = msgspec.json.Decoder(dict[str, Any]).decode
