"""Values that events may hold: what JSON can carry, what it cannot, and what raises while it is read."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import msgspec

HUGE = 2**200


class Text(str):
    """A string like Django's SafeString, whose str() is itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


class Count(int):
    pass


class Ratio(float):
    pass


class Plan(enum.Enum):
    GOLD = "gold"


class Level(enum.IntEnum):
    HIGH = 3


class Broken(enum.Enum):
    NOTHING = float("nan")


class Pair(msgspec.Struct):
    left: Any
    right: Any = msgspec.UNSET


class Row(msgspec.Struct, array_like=True):
    left: int


@dataclasses.dataclass
class Point:
    x: Any
    y: float = 1.5


Named = collections.namedtuple("Named", "a b")

CARRIED: list[tuple[Any, Any]] = [
    ("text", "text"),
    ("Zürich \u2028 \U0001f600 \x00", "Zürich \u2028 \U0001f600 \x00"),
    ("null", "null"),
    ("NaN", "NaN"),
    (None, None),
    (True, True),
    (0, 0),
    (-0.5, -0.5),
    (1e300, 1e300),
    (2**63, 2**63),
    (HUGE, HUGE),
    (-HUGE, -HUGE),
    ([1, [2, None]], [1, [2, None]]),
    ((1, 2), [1, 2]),
    (Named(1, 2), [1, 2]),
    ({7}, [7]),
    (frozenset({7}), [7]),
    (collections.deque([1, 2]), [1, 2]),
    (range(3), [0, 1, 2]),
    ({"a": 1}.keys(), ["a"]),
    ({"b": 1, "a": 2}, {"b": 1, "a": 2}),
    (collections.UserString("abc"), "abc"),
    ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
    ({Decimal("1.50"): Decimal("0.10")}, {"1.50": 0.1}),
    ({True: "a", None: "b"}, {"true": "a", "null": "b"}),
    ({Count(1): "a"}, {"1": "a"}),
    (MappingProxyType({"a": None}), {"a": None}),
    (collections.UserDict({"a": 1}), {"a": 1}),
    (collections.OrderedDict(a=1), {"a": 1}),
    (Text("text"), "text"),
    ({Text("key"): Text("value")}, {"key": "value"}),
    (Count(3), 3),
    (Ratio(0.5), 0.5),
    (Fraction(1, 2), 0.5),
    (Decimal("49.99"), 49.99),
    (Decimal("1E+2"), 100),
    (Decimal(-0), 0),
    (dt.datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006"),
    (dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc), "2026-01-02T00:00:00Z"),
    (
        dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        "2026-01-02T00:00:00+02:00",
    ),
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.time(3, 4), "03:04:00"),
    (dt.timedelta(seconds=90), "PT90S"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ({uuid.UUID(int=1): 1}, {"00000000-0000-0000-0000-000000000001": 1}),
    (Plan.GOLD, "gold"),
    (Level.HIGH, 3),
    (b"abc", "YWJj"),
    (bytearray(b"abc"), "YWJj"),
    (Pair(1), {"left": 1}),
    (Pair(1, None), {"left": 1, "right": None}),
    (Point(None), {"x": None, "y": 1.5}),
    ("\ud800", "\ud800"),
    ({"\udfff": [HUGE, Decimal("1.5"), Decimal(2), Pair(Decimal("0.5"))]},
     {"\udfff": [HUGE, 1.5, 2, {"left": 0.5}]}),
]  # fmt: skip


class Raising:
    """A mapping that fails at every read."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__

    def __iter__(self) -> Iterator[str]:
        raise KeyError("no keys")


class RaisingMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise OSError("gone")

    def __iter__(self) -> Iterator[str]:
        raise OSError("gone")

    def __len__(self) -> int:
        raise SystemError("gone")


class Lying:
    """Fails when asked for its class."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no attributes")


def deep(levels: int) -> dict[str, Any]:
    """An event with the given number of nested objects."""
    event: dict[str, Any] = {}
    inner = event
    for _ in range(levels):
        inner["a"] = inner = {}
    return event


def circular() -> dict[str, Any]:
    """An event that contains itself."""
    event: dict[str, Any] = {"a": [None]}
    event["a"].append(event)
    return event


def endless() -> collections.UserDict[str, Any]:
    """An endless mapping, of a class that msgspec does not know."""
    event: collections.UserDict[str, Any] = collections.UserDict()
    event["a"] = event
    return event


NAN, INFINITY = float("nan"), float("inf")
NOT_JSON: list[Any] = [
    NAN,
    INFINITY,
    -INFINITY,
    [None, NAN],
    Ratio(NAN),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("-Infinity"),
    [HUGE, "\ud800", Decimal("NaN")],
    ["\ud800", Decimal("sNaN")],
    ["\ud800", Decimal("Infinity")],
    ["\ud800", Decimal("1E+999999999")],
    ["\ud800", NAN],
    Broken.NOTHING,
    Point(NAN),
    Pair(NAN),
    {(1, 2): 1},
    {object(): 1},
    object(),
    object,
    print,
    1j,
    (each for each in (1, 2)),
    msgspec.Raw(b"{"),
    msgspec.Raw(b""),
    msgspec.UNSET,
    10**5000,
]
HOSTILE: list[Callable[[], Any]] = [
    Raising, RaisingMapping, Lying, circular, endless, lambda: deep(20_000),
]  # fmt: skip
