"""Encoding: an event is carried unchanged, or refused with one word as the reason."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vwo_celery.errors import EventError
from vwo_celery.events import (
    BODY_OVERHEAD_BYTES,
    MAX_BODY_BYTES,
    MAX_EVENT_BYTES,
    body,
    decode,
    encode,
)

CAPTURES = sorted(
    path
    for path in (Path(__file__).parents[1] / "data" / "captures").glob("*_*.json")
    if not path.name.startswith("settings_")
)
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


@pytest.mark.parametrize(("value", "expected"), CARRIED, ids=lambda value: ascii(value)[:40])
def test_what_json_can_carry_is_carried(value: Any, expected: Any) -> None:
    """Each kind of value has one defined JSON form, at the top of an event and inside it."""
    event = {"value": value, "nested": [{"value": value}]}

    encoded = encode(event)

    assert json.loads(encoded) == {"value": expected, "nested": [{"value": expected}]}


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


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: type(value).__name__)
def test_what_json_cannot_carry_is_refused(value: Any) -> None:
    """A value without a JSON form is refused as "not_json", whatever error it raises."""
    with pytest.raises(EventError) as refused:
        encode({"before": None, "value": value})

    assert refused.value.reason == "not_json"


@pytest.mark.parametrize("make", HOSTILE)
@pytest.mark.parametrize("place", [lambda it: it, lambda it: {"a": None, "b": [it]}])
def test_a_hostile_event_is_refused_and_nothing_else_is_raised(
    make: Callable[[], Any], place: Callable[[Any], Any]
) -> None:
    """An event that raises at every access, or never ends, is refused; nothing else is raised."""
    event = place(make())

    with pytest.raises(EventError) as refused:
        encode(event)

    assert refused.value.reason == "not_json"


@pytest.mark.parametrize(
    "event",
    [None, 1, 1.5, True, NAN, "text", '{"a":1}', "\ud800", [], [{}], (), set(), Row(1), HUGE],
)
def test_only_an_object_is_an_event(event: Any) -> None:
    """Anything but one JSON object is refused; a string is not read as JSON."""
    with pytest.raises(EventError) as refused:
        encode(event)

    assert refused.value.reason == "not_an_object"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, b"{}"),
        ({"b": 1, "a": [1.5, None, "ü"]}, '{"b":1,"a":[1.5,null,"ü"]}'.encode()),
        ({"d": Decimal("49.90")}, b'{"d":49.90}'),
        ({"d": Decimal("12345678901234567890.123456789"), "n": None},
         b'{"d":12345678901234567890.123456789,"n":null}'),
        ({"s": "\ud800", "ü": 1}, b'{"s":"\\ud800","\\u00fc":1}'),
        (Pair(1, 2), b'{"left":1,"right":2}'),
        (Point(1), b'{"x":1,"y":1.5}'),
    ],
)  # fmt: skip
def test_the_bytes_are_compact_and_in_order(event: Any, expected: bytes) -> None:
    """The encoding has no spaces, keys in the given order, UTF-8, and every digit of a Decimal."""
    assert encode(event) == expected


@pytest.mark.parametrize(
    "ready_made",
    [
        b"{}",
        b' {"a" : [1, null]}\n',
        '{"a":"ü"}'.encode(),
        b'{"a":"\\ud800"}',
        b'{"a":123456789012345678901234567890}',
        b'{"a":1,"a":2}',
    ],
)
def test_bytes_that_hold_an_object_come_back_unchanged(ready_made: bytes) -> None:
    """Events that are JSON bytes already, as in a relay, are passed on without any change."""
    forms = (ready_made, bytearray(ready_made), memoryview(ready_made), msgspec.Raw(ready_made))

    encoded = [encode(form) for form in forms]

    assert encoded == [ready_made] * len(forms)
    assert {type(each) for each in encoded} == {bytes}


@pytest.mark.parametrize(
    ("ready_made", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"a":NaN}', "not_json"),
        (b'{"a":-Infinity}', "not_json"),
        (b'{"a":1e400}', "not_json"),
        (b'{"a":"\xff"}', "not_json"),
        (b'{"\xff":1}', "not_json"),
        (b'{"a":1}{"b":2}', "not_json"),
        (b'{"a":1},{"b":2}', "not_json"),
        (b'{"a":1}]}', "not_json"),
        (b"{'a':1}", "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        ('{"a":1}'.encode("utf-16"), "not_json"),
        (b'{"a":' * 20_000, "not_json"),
        (b"[]", "not_an_object"),
        (b'"\\ud800"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"1", "not_an_object"),
    ],
    ids=lambda part: repr(part)[:30],
)
def test_bytes_that_hold_no_object_are_refused(ready_made: bytes, reason: str) -> None:
    """Bytes are checked completely, since they go into a batch unchanged."""
    with pytest.raises(EventError) as refused:
        encode(ready_made)

    assert refused.value.reason == reason


def test_an_event_may_be_as_large_as_a_body_allows() -> None:
    """A batch of one event of the largest size is exactly VWO's limit; one byte more is refused."""
    frame = len(b'{"a":""}')
    largest = {"a": "x" * (MAX_EVENT_BYTES - frame)}

    encoded = encode(largest)
    largest["a"] += "x"
    with pytest.raises(EventError) as refused:
        encode(largest)

    assert len(body([encoded])) == MAX_BODY_BYTES
    assert refused.value.reason == "too_large"


def test_an_error_tells_nothing_of_the_event() -> None:
    """The message may be logged: it names places, types and sizes, and no value of the event."""
    with pytest.raises(EventError) as refused:
        encode({"vwo_envKey": "secret", "value": {"price": ["secret", object()]}})

    assert "value.price[1]" in str(refused.value)
    assert "type object" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_body_is_its_events_joined(count: int) -> None:
    """A body holds the events' bytes unchanged, and its length is known before it is made."""
    events = [encode({"n": n}) for n in range(count)]

    whole = body(iter(events))

    assert json.loads(whole) == {"ev": [{"n": n} for n in range(count)]}
    separators = len(b",") * max(count - 1, 0)
    assert len(whole) == BODY_OVERHEAD_BYTES + sum(map(len, events)) + separators


def test_events_of_the_sdks_keep_content_and_order() -> None:
    """Events that an SDK gives as dicts leave as the same JSON, key order included."""
    assert CAPTURES
    for capture in CAPTURES:
        recorded = json.loads(capture.read_text())["body_json"]

        sent = body(encode(event) for event in recorded["ev"])

        assert json.dumps(json.loads(sent)) == json.dumps(recorded), capture.stem


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=15)
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_any_json_object_comes_back_equal(event: dict[str, Any]) -> None:
    """Every JSON object of the standard library is equal after our encoding."""
    assert json.loads(encode(event)) == json.loads(json.dumps(event))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"a":1}', {"a": 1}),
        (rb'{"a":"\ud800"}', {"a": "\ud800"}),
        (b'{"a":1e999}', {"a": float("inf")}),
        (b"no JSON \xff", "no JSON �"),
        (b"[" * 100_000, "[" * 100_000),
    ],
    ids=["plain", "surrogate", "huge", "garbage", "deep"],
)
def test_whatever_is_stored_can_be_shown(text: bytes, expected: object) -> None:
    """Receivers and callbacks get every stored event, even one that is no JSON."""
    assert decode(text) == expected
