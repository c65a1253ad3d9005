"""Encoded events: the bytes that go on the wire, and the body of a batch made of them.

Used at stages 1 and 4; pure. An event is encoded once, before `enqueue` asks Redis anything; from
then on nothing parses its bytes, and a body is such bytes joined. `encode` accepts only one JSON
object within VWO's limit. Other programs push events that it has not seen: `unsendable` finds those
that would break a body. If the process dies here, the event was not yet accepted, or is stored
unchanged.
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

#: Limits of one request; VWO answers 413 beyond either (vendor's page "Configure Event Batching",
#: Maximum Limits). The page does not say which megabyte it means; this is the smaller one.
MAX_EVENTS_PER_REQUEST = 5000
MAX_BODY_BYTES = 10_000_000

_BODY_START = b'{"ev":['
_BODY_END = b"]}"
_SEPARATOR = b","
#: Size of a body besides its events and the separators between them.
BODY_OVERHEAD_BYTES = len(_BODY_START) + len(_BODY_END)
#: Largest size of an event that fits into a body of its own.
MAX_EVENT_BYTES = MAX_BODY_BYTES - BODY_OVERHEAD_BYTES

#: Most levels of objects and arrays in one event. Python's own readers stop a little under 1000,
#: less the depth of the call stack; so every accepted event is readable.
MAX_NESTING = 500
#: Size up to which no JSON can nest too deep, since brackets come in pairs.
_NEVER_TOO_DEEP_BYTES = 2 * MAX_NESTING

#: Most digits of a Decimal that is written as an integer; a huge exponent would be gigabytes of
#: zeros.
_MAX_INTEGER_DIGITS = 300


def encode(event: object) -> bytes:
    """Encode one event as compact JSON in UTF-8, with its keys in the order given.

    Values without a JSON form of their own are converted: datetime, date, time and timedelta to ISO
    8601 text; UUID to text; Enum to its value; Decimal to a number with all its digits; tuple, set
    and deque to an array; other mappings, dataclasses and Structs to an object; bytes to Base64
    text; numpy's scalars to numbers; a key that is no text to its text. Integers of any size and
    lone surrogates are kept.

    Args:
        event: A mapping, a Struct or a dataclass; or bytes (or a `msgspec.Raw`) of one JSON object,
            which are returned unchanged.

    Returns:
        One JSON object of at most MAX_EVENT_BYTES.

    Raises:
        EventError: "not_json" (NaN or Infinity, circular or too deep, a type without JSON form, a
            value that raises while it is read), "not_an_object" or "too_large". No other error is
            raised, since this runs inside an application's request.
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
    """Join encoded events into the body of one batch request; nothing is parsed."""
    return _BODY_START + _SEPARATOR.join(events) + _BODY_END


def unsendable(events: Sequence[bytes]) -> list[tuple[int, str]]:
    """Find the events that must not go into a body, each with the reason; never raises.

    Other programs can push anything into Redis. Each remaining event is exactly one JSON object in
    UTF-8 (RFC 8259), so a body of them is one array of as many objects, whatever they contain.
    Events from `encode` are always sendable. Costs about 0.5 µs for an event of 700 bytes.

    Args:
        events: The events as read from Redis.

    Returns:
        Index and reason of each event that is not sendable, in order. A reason shows no part of the
        event, and completes a sentence that begins with "the event".
    """
    if _all_sendable(events):
        return []
    reasons = ((index, _why_unsendable(event)) for index, event in enumerate(events))
    return [(index, reason) for index, reason in reasons if reason]


def decode(text: bytes) -> Any:
    """Decode a stored event to a dict, for receivers and callbacks; never raises.

    An event of another program that is not one JSON object is returned as text.
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
    """Whether all events are sendable; quick, since they usually are."""
    try:
        for event in events:
            if len(event) > _NEVER_TOO_DEEP_BYTES and _beyond_bounds(event):
                return False
            _read_syntax(event)  # checks everything but the UTF-8 inside strings
        if not all(map(bytes.isascii, events)):
            _SEPARATOR.join(events).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _why_unsendable(event: bytes) -> str:
    """Reason why one event is not sendable, "" if it is."""
    beyond = _beyond_bounds(event)
    if beyond:
        return beyond
    try:
        event.decode()
        # Lone surrogates are valid JSON, but msgspec rejects them; other digits keep the syntax.
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
    # Measured: `replace` is six times as fast as `count`.
    if len(text) - len(text.replace(b"{", b"").replace(b"[", b"")) <= MAX_NESTING:
        return False
    outside_strings = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside_strings).translate(None, delete=_NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_NESTING


def _encode(event: object) -> bytes:
    if type(event) is not dict and isinstance(event, _READY_MADE):
        return _checked(bytes(event))
    try:
        encoded = _write(event)
    except (TypeError, ValueError, OverflowError):
        return _write_leniently(event)
    # The writer does not check a Decimal that is NaN or a key, nor a Raw inside the event.
    try:
        _read_syntax(encoded)
    except msgspec.ValidationError:
        raise _not_an_object() from None
    if not encoded.isascii():
        encoded.decode()  # the reader skips strings, and a Raw may contain any bytes
    # The writer also writes null for NaN. (Measured: rfind is twice as fast as `in` on events.)
    if encoded.rfind(b"null") >= 0:
        _refuse_non_finite(event)
    return encoded


def _write_leniently(event: object) -> bytes:
    """Encode as the SDKs do: json.dumps also takes lone surrogates, and True or None as keys."""
    text = _write_as_sdk(event)
    if not text.startswith("{"):
        raise _not_an_object()
    return text.encode("ascii")


def _refuse_non_finite(event: object) -> None:
    _write_as_sdk(msgspec.to_builtins(event, str_keys=True, enc_hook=_plain))


def _checked(encoded: bytes) -> bytes:
    """Return *encoded* if it is one JSON object in UTF-8."""
    try:
        _read(encoded)
    except msgspec.DecodeError:
        # Lone surrogates are valid JSON, but msgspec rejects them.
        value = json.loads(encoded.decode(), parse_constant=_refuse, parse_float=_finite)
        if not isinstance(value, dict):
            raise _not_an_object() from None
    return encoded


def _plain(value: Any) -> Any:
    """Convert a value that msgspec cannot write to a plain Python value."""
    if isinstance(value, str):
        return str.__str__(value)  # str() may return the subclass itself
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
    """Convert a value that the standard library cannot write to a plain Python value."""
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
    """Any JSON object: msgspec checks its syntax and keeps nothing."""


_READY_MADE = (bytes, bytearray, memoryview, msgspec.Raw)
_write = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain).encode
_write_as_sdk = json.JSONEncoder(
    allow_nan=False, separators=(",", ":"), default=_plain_inside
).encode
_read_syntax = msgspec.json.Decoder(_AnyObject).decode
_read = msgspec.json.Decoder(dict[str, Any]).decode
