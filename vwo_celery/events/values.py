"""Values: what becomes of those that have no JSON form, one level at a time.

Stage 1 of an event's way. msgspec writes the plain types of the standard library; an application's
values are often of a subclass, or of a class that only acts like one of them: numpy's numbers, the
times of pandas, pendulum and freezegun, lazy texts, URLs. Each class is known by its ancestors, by a
protocol, or by name: nothing is imported for it. docs/reference/values.md has the table. Pure:
nothing to lose.
"""

from __future__ import annotations

import datetime as dt
import os
from collections import UserString
from collections.abc import Callable, Mapping, Sequence, Set, ValuesView
from decimal import Decimal
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

Converter = Callable[[Any], Any]

#: Units of numpy's times that have no time of day.
_UNITS_OF_DAYS = ("Y", "M", "W", "D")
#: Most classes of which the converter is remembered.
_MOST_CLASSES = 512
# Methods of the real classes: freezegun replaces the classes themselves.
_datetime_text, _date_text, _time_text = (
    dt.datetime.isoformat, dt.date.isoformat, dt.time.isoformat
)  # fmt: skip
_year_of = dt.datetime.year.__get__
_days_of = dt.timedelta.days.__get__
_seconds_of = dt.timedelta.seconds.__get__
_microseconds_of = dt.timedelta.microseconds.__get__


class NoForm(TypeError):
    """A value has no JSON form; the message completes "a value of type T …"."""


def plain(value: Any) -> Any:
    """Convert a value that msgspec cannot write to one that is closer to plain JSON.

    What it returns may hold, or be, another such value.

    Raises:
        NoForm: The value has no JSON form.
        Exception: The value's own code raised.
    """
    return _converter_of(type(value))(value)


def _find_converter(kind: type) -> Converter:
    """The converter for values of a class."""
    for base, convert in _SUBCLASSES:
        if issubclass(kind, base):
            return convert
    for ancestor in kind.__mro__:
        named = _NAMED.get(f"{ancestor.__module__}.{ancestor.__qualname__}")
        if named is not None:
            return named
    if any("__class__" in vars(ancestor) for ancestor in kind.__mro__[:-1]):
        return _unwrapped
    for base, convert in _PROTOCOLS:
        if issubclass(kind, base):
            return convert
    if hasattr(kind, "__array__") and hasattr(kind, "tolist"):
        return _listed
    return _refuse


_converter_of: Callable[[type], Converter] = lru_cache(_MOST_CLASSES)(_find_converter)


def _refuse(_: Any) -> Any:
    raise NoForm("has no JSON form")


# -- times: as msgspec writes the plain ones


def _datetime(value: Any) -> str:
    _check_time(value)
    if value.year != _year_of(value):  # one of pandas that the standard library has no year for
        raise NoForm("is outside the years 1 to 9999")
    return _utc(_datetime_text(value))


def _time(value: Any) -> str:
    return _utc(_time_text(value))


def _utc(text: str) -> str:
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _timedelta(value: Any) -> dt.timedelta:
    return dt.timedelta(_days_of(value), _seconds_of(value), _microseconds_of(value))


def _check_time(value: Any) -> None:
    if value != value:  # noqa: PLR0124  (pandas' NaT)
        raise NoForm("is no time (NaT)")


# -- numpy and what is like it


def _numpy_scalar(value: Any) -> Any:
    kind = value.dtype.kind
    if kind == "b":
        return bool(value)
    if kind in "iu":
        return int(value)
    if kind == "f":
        return float(value)
    return _to_microseconds(value).item() if kind in "mM" else _refuse(value)


def _numpy_array(value: Any) -> Any:
    return (_to_microseconds(value) if value.dtype.kind in "mM" else value).tolist()


def _to_microseconds(value: Any) -> Any:
    """A time, or an array of them, in a unit that numpy converts to the standard library's."""
    unit, kind = str(value.dtype).partition("[")[2].rstrip("]"), value.dtype.kind
    if (value != value).any():  # noqa: PLR0124
        raise NoForm("is no time (NaT)")
    if kind == "m" and unit in ("", "Y", "M"):
        raise NoForm("is a span of time without a fixed length")
    if kind == "m":
        return value.astype("timedelta64[us]")
    years = value.astype("datetime64[Y]").astype(int)  # from 1970 on
    if ((years < dt.MINYEAR - 1970) | (years > dt.MAXYEAR - 1970)).any():
        raise NoForm("is outside the years 1 to 9999")
    return value.astype(f"datetime64[{'D' if unit in _UNITS_OF_DAYS else 'us'}]")


def _listed(value: Any) -> Any:
    return value.tolist()


# -- what stands for another value


def _lazy_object(value: Any) -> Any:
    """The object behind one of Django's lazy objects, made now if need be."""
    _ = value.__class__
    return object.__getattribute__(value, "_wrapped")


def _unwrapped(value: Any) -> Any:
    """The value behind an object that claims another class, as proxies do."""
    claimed: type = value.__class__
    for base in (str, bool, int, float):
        if issubclass(claimed, base):
            return base(value)
    wrapped = getattr(value, "__wrapped__", None)
    return wrapped if type(wrapped) is claimed else _refuse(value)


def _model(value: Any) -> Any:
    """The fields of one of pydantic's models, of version 1 or 2, under their names."""
    dump = getattr(value, "model_dump", None) or value.dict
    return dump()


def _secret(_: Any) -> Any:
    raise NoForm("is a secret")


_SUBCLASSES: tuple[tuple[type, Converter], ...] = (
    (str, str.__str__),  # str() may return the subclass itself
    (bytes, lambda value: memoryview(value).tobytes()),
    (bytearray, lambda value: memoryview(value).tobytes()),
    (dt.datetime, _datetime),
    (dt.date, _date_text),
    (dt.time, _time),
    (dt.timedelta, _timedelta),
    (Decimal, Decimal),
    (int, int.__int__),
    (float, float.__float__),
)
#: Classes by module and name: those of libraries that may not be installed.
_NAMED: dict[str, Converter] = {
    "numpy.generic": _numpy_scalar,
    "numpy.ndarray": _numpy_array,
    "django.utils.functional.Promise": str,
    "django.utils.functional.LazyObject": _lazy_object,
    "django.db.models.base.Model": lambda value: value.pk,
    "pydantic.main.BaseModel": _model,
    "pydantic.v1.main.BaseModel": _model,
    "pydantic.types.SecretStr": _secret,
    "pydantic.networks._BaseUrl": str,
    "pydantic.networks._BaseMultiHostUrl": str,
    "pydantic_core._pydantic_core.Url": str,
    "pydantic_core._pydantic_core.MultiHostUrl": str,
    "yarl.URL": str,
    "yarl._url.URL": str,
    "httpx.URL": str,
    "httpx._urls.URL": str,
    "starlette.datastructures.URL": str,
    "ipaddress._IPAddressBase": str,
}
_PROTOCOLS: tuple[tuple[type, Converter], ...] = (
    (os.PathLike, os.fspath),
    (UserString, lambda value: str.__str__(value.data)),
    (Integral, int),
    (Real, float),
    (Mapping, dict),
    (ValuesView, list),
    (Sequence, list),
    (Set, list),
)
