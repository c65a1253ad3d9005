"""Encoding: from an event, as an application has it, to the bytes that go on the wire.

Stage 1 of an event's way. An event is encoded once, before `enqueue` asks Redis anything. msgspec
writes nearly every event in a microsecond or two; what it cannot write goes to the slower writer, which
either can or tells what is in the way, and where. Many events are written and checked in one go. If the
process dies here, the event was not yet accepted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from vwo_celery.errors import EventError
from vwo_celery.events.bodies import (
    MAX_EVENT_BYTES,
    SURELY_FLAT_BYTES,
    TOO_DEEP,
    nests_too_deep,
    read,
    read_syntax,
)
from vwo_celery.events.values import plain
from vwo_celery.events.writing import write_carefully

#: Most events written in one go, which bounds the memory for it.
_EVENTS_IN_ONE_GO = 100


def encode_all(events: Sequence[object]) -> list[bytes]:
    """Encode events exactly as `encode` does each of them; dicts in two thirds of its time.

    Raises:
        EventError: `encode` refuses at least one of them.
    """
    if len(events) == 1:
        return [encode(events[0])]
    encoded: list[bytes] = []
    for start in range(0, len(events), _EVENTS_IN_ONE_GO):
        some = events[start : start + _EVENTS_IN_ONE_GO]
        encoded += _written_in_one_go(some) or map(encode, some)
    return encoded


def _written_in_one_go(events: Sequence[object]) -> list[bytes] | None:
    """Encode dicts by one call of msgspec; None where only `encode` can tell what becomes of one.

    A Raw in an event may hold any bytes. Nevertheless as many values as events are one value for each
    event: the text of each begins with "{", ends with "}" and a line's end, which no string may hold,
    and between "}" and "{" a value always ends.
    """
    if set(map(type, events)) != {dict}:
        return None
    try:
        lines = _write_lines(events)
        values = _read_lines(lines)
        if len(values) != len(events):
            return None
        if not lines.isascii():
            lines.decode()
    except Exception:
        return None
    found = list(map(bytes, values))
    if lines.rfind(b"null") < 0 and max(map(len, found)) <= SURELY_FLAT_BYTES:
        return found
    return [
        text if text.rfind(b"null") < 0 and len(text) <= MAX_EVENT_BYTES and not nests_too_deep(text)
        else encode(event)
        for text, event in zip(found, events, strict=True)
    ]  # fmt: skip


def encode(event: object) -> bytes:
    """Encode one event as compact JSON in UTF-8, with its keys in the order given.

    Values without a JSON form of their own are converted as the table in docs/reference/values.md
    says. Integers of any size and lone surrogates are kept.

    Args:
        event: A mapping, a Struct, a dataclass or a model of pydantic; or bytes (or a `msgspec.Raw`)
            of one JSON object, which are returned unchanged.

    Returns:
        One JSON object of at most MAX_EVENT_BYTES.

    Raises:
        EventError: "not_json" (NaN or Infinity, circular or too deep, a type without JSON form, a
            value that raises while it is read), "not_an_object" or "too_large". The message names the
            place in the event and the type there, and no value. No other error is raised, since
            this runs inside an application's request.
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
    if nests_too_deep(encoded):
        raise EventError("not_json", f"the event {TOO_DEEP}")
    return encoded


def _encode(event: object) -> bytes:
    if type(event) is not dict and isinstance(event, _READY_MADE):
        return _checked(bytes(event))
    try:
        encoded = _write(event)
    except Exception:
        return _carefully(event)
    # The writer does not check a Decimal that is NaN or a key, nor a Raw inside the event.
    try:
        read_syntax(encoded)
    except msgspec.ValidationError:
        raise _not_an_object() from None
    except msgspec.DecodeError:
        return _carefully(event)
    if not encoded.isascii():
        encoded.decode()  # the reader skips strings, and a Raw may contain any bytes
    # The writer also writes null for NaN. (Measured: rfind is twice as fast as `in` on events.)
    if encoded.rfind(b"null") >= 0 and _may_be_not_finite(event):
        return _carefully(event)
    return encoded


def _carefully(event: object) -> bytes:
    """Write what msgspec cannot, or raise with the place of the value that is in the way."""
    text = write_carefully(event)
    if not text.startswith("{"):
        raise _not_an_object()
    return text.encode()


def _may_be_not_finite(event: object) -> bool:
    """Whether a null that was written may be a NaN or an Infinity."""
    try:
        _write_finite(msgspec.to_builtins(event, str_keys=True, enc_hook=plain))
    except (TypeError, ValueError):
        return True
    return False


def _checked(encoded: bytes) -> bytes:
    """Return *encoded* if it is one JSON object in UTF-8."""
    try:
        read(encoded)
    except msgspec.DecodeError:
        # Lone surrogates are valid JSON, but msgspec rejects them.
        value = json.loads(encoded.decode(), parse_constant=_refuse, parse_float=_finite)
        if not isinstance(value, dict):
            raise _not_an_object() from None
    return encoded


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _refuse(text: str) -> Any:
    raise EventError("not_json", f"the event holds {text[:20]}, which is no number of JSON's")


def _not_an_object() -> EventError:
    return EventError("not_an_object", "an event must be one JSON object, such as a dict")


_READY_MADE = (bytes, bytearray, memoryview, msgspec.Raw)
_writer = msgspec.json.Encoder(decimal_format="number", enc_hook=plain)
_write, _write_lines = _writer.encode, _writer.encode_lines
_read_lines = msgspec.json.Decoder(msgspec.Raw).decode_lines
_write_finite = json.JSONEncoder(allow_nan=False, check_circular=False).encode
