"""The careful writer: it writes what msgspec refuses, or tells what is in the way, and where.

Stage 1 of an event's way, for the few events that msgspec cannot write: those with lone surrogates,
integers beyond 64 bits, or keys of other types than text; and those that no JSON can carry. Some
twenty times slower than msgspec. Pure: nothing to lose.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
import re
import uuid
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, NoReturn

import msgspec

from vwo_celery.errors import EventError
from vwo_celery.events.bodies import MAX_NESTING, TOO_DEEP
from vwo_celery.events.values import NoForm, plain
from vwo_celery.text.lines import one_line

#: Most steps of a path, and most characters of a name in it, that an error shows.
_MOST_STEPS = 12
_MOST_NAME_CHARACTERS = 40
_NAME = re.compile(r"[^\W\d][\w$-]*")


def write_carefully(event: object) -> str:
    """Write any value as compact JSON in ASCII, objects with their keys in order.

    Raises:
        EventError: "not_json": something in it has no JSON form. The message names its place and its
            type, never a value.
    """
    writer = _Writer()
    try:
        writer.write(event, 0)
    except EventError:
        raise
    except NoForm as exc:
        raise writer.refusal(str(exc)) from exc
    except RecursionError as exc:
        raise EventError("not_json", f"the event {TOO_DEEP}") from exc
    except Exception as exc:
        raise writer.refusal(f"cannot be read ({type(exc).__name__})") from exc
    return "".join(writer.parts)


class _Writer:
    """Writes one value.

    Attributes:
        parts: The JSON so far.
        path: Names and numbers that lead from the event to the value that is written now.
        value: That value, or the key that is written now.
        is_key: Whether it is a key.
    """

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.path: list[str] = []
        self.value: Any = None
        self.is_key = False

    def write(self, value: Any, depth: int) -> None:
        """Write one value and what is in it; one frame of the stack for each level."""
        self.value, kind, parts = value, type(value), self.parts
        if depth > 2 * MAX_NESTING:
            raise EventError("not_json", f"the event {TOO_DEEP}")
        if value is None or kind is bool or kind is int or kind is float or kind is Decimal:
            parts.append(_scalar(value))
        elif kind is str:
            parts.append(_quoted(value))
        elif kind is msgspec.Raw:
            parts.append(_raw(value))
        elif issubclass(kind, dict):
            parts.append("{")
            for key, inner in value.items():
                name = self._key(key)
                self.path.append(_step(name))
                parts.append(f"{_quoted(name)}:")
                self.write(inner, depth + 1)
                parts.append(",")
                self.path.pop()
            self._close("}")
        elif issubclass(kind, _ARRAYS):
            parts.append("[")
            for number, inner in enumerate(value):
                self.path.append(f"[{number}]")
                self.write(inner, depth + 1)
                parts.append(",")
                self.path.pop()
            self._close("]")
        else:
            self.write(self._simpler(value), depth + 1)

    def _close(self, bracket: str) -> None:
        if self.parts[-1] == ",":
            self.parts[-1] = bracket
        else:
            self.parts.append(bracket)

    def _simpler(self, value: Any) -> Any:
        """Convert one level of a value that is neither a plain one nor an object or array."""
        kind = type(value)
        if kind in _LEAVES or issubclass(kind, (uuid.UUID, enum.Enum)):
            return msgspec.to_builtins(value, builtin_types=(Decimal,), enc_hook=plain)
        if not _is_record(kind):
            return plain(value)
        try:
            return msgspec.to_builtins(value, builtin_types=(Decimal,), enc_hook=plain)
        except Exception:
            return _fields(value)  # to find the one that is in the way

    def _key(self, key: Any) -> str:
        """The text of a key, as msgspec and the SDKs write it."""
        for _ in range(_MOST_STEPS):
            kind = type(key)
            if kind is str:
                return str(key)
            if key is None or kind is bool or kind is int:
                return _scalar(key)
            if kind is float or kind is Decimal:
                return str(key)
            self.value, self.is_key = key, True
            if isinstance(key, (*_ARRAYS, Mapping)) or _is_record(kind):
                raise NoForm("cannot be a key")
            key = self._simpler(key)
            self.is_key = False
        raise NoForm("cannot be a key")

    def refusal(self, why: str) -> EventError:
        """The error for the value that is written now."""
        kind = type(self.value)
        name = kind.__qualname__
        if kind.__module__ != "builtins":
            name = f"{kind.__module__}.{name}"
        what = "a key" if self.is_key else "a value"
        where = f"holds at {_shown(self.path)}" if self.path else "holds" if self.is_key else "is"
        return EventError(
            "not_json", one_line(f"the event {where} {what} of type {name}, which {why}")
        )


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NoForm("is not finite (NaN or Infinity)")
        return float.__repr__(value)
    if isinstance(value, Decimal):
        if not value.is_finite() or math.isinf(float(value)):
            raise NoForm("is not finite, or too large for a number")
        return str(value)
    return json.dumps(value)


def _raw(value: Any) -> str:
    text = bytes(value).decode()
    json.loads(text, parse_constant=_refuse)
    return text


def _refuse(_: str) -> NoReturn:
    raise NoForm("holds a number that is not finite")


def _is_record(kind: type) -> bool:
    """Whether msgspec writes values of a class field by field."""
    return (
        issubclass(kind, msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
    )


def _fields(record: Any) -> dict[str, Any]:
    kind = type(record)
    if issubclass(kind, msgspec.Struct):
        names = list(kind.__struct_fields__)
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    else:
        names = [attribute.name for attribute in kind.__attrs_attrs__]
    return {name: getattr(record, name) for name in names}


def _step(key: str) -> str:
    """How a key appears in a path."""
    name = key if len(key) <= _MOST_NAME_CHARACTERS else key[:_MOST_NAME_CHARACTERS] + "…"
    return f".{name}" if _NAME.fullmatch(name) else f"[{name!r}]"


def _shown(path: list[str]) -> str:
    """A path such as "d.event.props.cart[2]"; of a long one the end."""
    cut = len(path) > _MOST_STEPS
    return ("…" if cut else "") + "".join(path[-_MOST_STEPS:]).removeprefix(".")


_ARRAYS = (list, tuple, set, frozenset, deque)
#: Classes of which msgspec writes a value as one text.
_LEAVES = frozenset(
    (dt.datetime, dt.date, dt.time, dt.timedelta, bytes, bytearray, memoryview)
)  # fmt: skip
