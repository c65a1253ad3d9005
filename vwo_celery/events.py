"""An event as the bytes that go on the wire, and a batch's body made of such bytes.

Place: words, no I/O. An event is encoded once, before `enqueue` asks Redis anything; from there on
it is bytes that nobody has to parse, and a body is those bytes joined. Whatever gets past `encode`
will be sent, so it lets through only one JSON object within VWO's limit, and refuses the rest
before it is accepted. If the process dies in here, the event was never accepted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from decimal import Decimal
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
    return encoded


def body(events: Iterable[bytes]) -> bytes:
    """The body of one batch request, of events that `encode` returned; nothing is parsed."""
    return _BODY_START + _SEPARATOR.join(events) + _BODY_END


def decode(text: bytes) -> Any:
    """A stored event as Python objects, for receivers and callbacks; it never raises.

    What another program pushed need not be JSON: such an event comes back as text.
    """
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return json.loads(text)  # msgspec reads neither lone surrogates nor numbers beyond a double
    except (ValueError, RecursionError):
        return text.decode("utf-8", "replace")


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


_decode = msgspec.json.Decoder().decode


class _AnyObject(msgspec.Struct):
    """Reads any JSON object: its syntax is checked, nothing of it is kept."""


_READY_MADE = (bytes, bytearray, memoryview, msgspec.Raw)
_write = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain).encode
_write_as_sdk = json.JSONEncoder(
    allow_nan=False, separators=(",", ":"), default=_plain_inside
).encode
_read_syntax = msgspec.json.Decoder(_AnyObject).decode
_read = msgspec.json.Decoder(dict[str, Any]).decode
