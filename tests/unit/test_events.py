"""Encoding: an event is carried unchanged, or refused with one word as the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.event_values import (
    CARRIED,
    HOSTILE,
    HUGE,
    NAN,
    NOT_JSON,
    Pair,
    Point,
    Row,
)
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


@pytest.mark.parametrize(("value", "expected"), CARRIED, ids=lambda value: ascii(value)[:40])
def test_what_json_can_carry_is_carried(value: Any, expected: Any) -> None:
    """Each kind of value has one defined JSON form, at the top of an event and inside it."""
    event = {"value": value, "nested": [{"value": value}]}

    encoded = encode(event)

    assert json.loads(encoded) == {"value": expected, "nested": [{"value": expected}]}


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
