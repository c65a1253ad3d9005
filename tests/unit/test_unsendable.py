"""Bytes that other programs push without `encode`: the worker finds those that would break a body."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vwo_celery.errors import EventError
from vwo_celery.events import MAX_EVENT_BYTES, MAX_NESTING, body, decode, encode, unsendable

GOOD = b'{"d":{"event":{"name":"bought"}}}'


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """An object with the given number of levels, itself the first."""
    return b'{"a":' + opening * (levels - 1) + closing * (levels - 1) + b"}"


#: Valid JSON by RFC 8259, however unusual.
SENDABLE = {
    "nothing in it": b"{}",
    "white space around": b' \r\n\t{"a": 1}\n',
    "a key twice": b'{"a":1,"a":2}',
    "lone surrogates, escaped": rb'{"a":"\ud800","\uDFFF":"\ud83d\ude00\udead"}',
    "escapes that only look like surrogates": rb'{"a":"\\ud800\\\ud800"}',
    "NUL, escaped": rb'{"\u0000":"\u0000"}',
    "a number beyond a double": b'{"a":1e999,"b":' + b"9" * 5_000 + b"}",
    "brackets in a text": b'{"a":"' + b"[{" * 5_000 + rb"\"[[\\" + b'"}',
    "many arrays, side by side": b'{"a":[' + b"[]," * 5_000 + b"1]}",
    "every level there may be": nested(MAX_NESTING),
    "all the bytes there may be": b'{"a":"' + b"x" * (MAX_EVENT_BYTES - 8) + b'"}',
}

UNSENDABLE = {
    "nothing": (b"", "is not one JSON object"),
    "white space": (b"  ", "is not one JSON object"),
    "null": (b"null", "is JSON, but no object"),
    "an array": (b"[]", "is JSON, but no object"),
    "an array of objects": (b"[{}]", "is JSON, but no object"),
    "a number": (b"1", "is JSON, but no object"),
    "a text with JSON in it": (rb'"{\"a\":1}"', "is JSON, but no object"),
    "not closed": (b'{"a":1', "is not one JSON object"),
    "a text not closed": (b'{"a":"', "is not one JSON object"),
    "an escape not closed": (b'{"a":"\\', "is not one JSON object"),
    "an end of the body": (b'{"a":1}],"x":[{"b":2}', "is not one JSON object"),
    "a second body": (b'{"a":1}]}{"ev":[{"b":2}', "is not one JSON object"),
    "the body's key again": (b'{"a":1}],"ev":[{"b":2}', "is not one JSON object"),
    "two events": (b'{"a":1},{"b":2}', "is not one JSON object"),
    "two objects": (b'{"a":1}{"b":2}', "is not one JSON object"),
    "a comma after": (b"{},", "is not one JSON object"),
    "a comma before": (b",{}", "is not one JSON object"),
    "NaN": (b'{"a":NaN}', "is not one JSON object"),
    "Infinity": (b'{"a":-Infinity}', "is not one JSON object"),
    "a comment": (b'{"a":1/**/}', "is not one JSON object"),
    "Python's repr": (b"{'a': 1}", "is not one JSON object"),
    "pickle": (b"\x80\x04}\x94\x8c\x01a\x94K\x01s.", "is not"),
    "NUL": (b'{"a":"\0"}', "is not one JSON object"),
    "NUL after": (b"{}\0", "is not one JSON object"),
    "a line end in a text": (b'{"a":"\n"}', "is not one JSON object"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "is not one JSON object"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "is not UTF-8"),
    "Latin-1": ('{"a":"é"}'.encode("latin-1"), "is not UTF-8"),
    "UTF-8 cut off": ('{"a":"é'.encode()[:-1], "is not UTF-8"),
    "UTF-8 cut off, in an object": (b'{"a":"\xc3"}', "is not UTF-8"),
    "a surrogate as bytes": (b'{"a":"\xed\xa0\x80"}', "is not UTF-8"),
    "an overlong slash": (b'{"a":"\xc0\xaf"}', "is not UTF-8"),
    "random bytes": (bytes(range(256)), "is not UTF-8"),
    "one level too many": (nested(MAX_NESTING + 1), "nests deeper than 500"),
    "one object too many": (nested(MAX_NESTING + 1, b'{"a":', b"}"), "nests deeper than 500"),
    "100,000 levels": (nested(100_000), "nests deeper than 500"),
    "100,000 levels, never closed": (b'{"a":' + b"[" * 100_000, "nests deeper than 500"),
    "levels after an escaped quote": (
        rb'{"\"":' + b"[" * MAX_NESTING + b"]" * MAX_NESTING + b"}",
        "nests deeper than 500",
    ),
    "levels after an escaped backslash": (
        rb'{"\\":' + b"[" * MAX_NESTING + b"]" * MAX_NESTING + b"}",
        "nests deeper than 500",
    ),
    "a byte too many": (b'{"a":"' + b"x" * (MAX_EVENT_BYTES - 7) + b'"}', "is 9999992 bytes"),
    "50 MB": (b"x" * 50_000_000, "is 50000000 bytes"),
}


@pytest.mark.parametrize("event", SENDABLE.values(), ids=SENDABLE)
def test_what_is_one_json_object_is_sendable(event: bytes) -> None:
    """Every single JSON object is sendable: it cannot break the body, and VWO decides about it."""
    assert unsendable([GOOD, event, GOOD]) == []
    assert len(json.loads(body([event]), parse_int=str)["ev"]) == 1


@pytest.mark.parametrize(("event", "reason"), UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_is_not_one_json_object_is_found_and_named(event: bytes, reason: str) -> None:
    """The one bad event of a batch is found, with the reason in words."""
    ((index, why),) = unsendable([GOOD, event, GOOD])

    assert index == 1
    assert why.startswith(reason)
    assert len(why) < 120


@pytest.mark.parametrize(
    "events",
    [
        [b'{"a":[1', b'2]},{"b":3}'],
        [b'{"a":1},{"b":2}', b'{"c":[1', b"2]}"],
        [b'{"a":1}],"ev":[{"b":1}', b'{"c":"', b'"}'],
        [b'{"a":"\xc3', b'\xa9"}'],
        [b'{"a":"', b'"}'],
    ],
)
def test_fragments_that_fit_together_are_found(events: list[bytes]) -> None:
    """Fragments of JSON are refused one by one, even if joined they form a valid body."""
    assert [index for index, _ in unsendable(events)] == list(range(len(events)))


def test_a_reason_tells_nothing_of_the_event() -> None:
    """A reason contains nothing of the event, since reasons go to logs and signals."""
    events = [b'{"secret":"secret', b"secret", b'"secret"', b'{"a":"secret\xff"}', b'{"a":secret}']

    assert "secret" not in str(unsendable(events))
    assert len(unsendable(events)) == len(events)


def test_nothing_is_built_of_an_event() -> None:
    """The check of a hostile event of 1 MB takes a few copies of it, and builds no objects."""
    events = [b'{"a":[' + b"[]," * 330_000 + rb'"\ud800"]}', b'{"a":' + b"[" * 1_000_000]
    tracemalloc.start()
    try:
        found = unsendable(events)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert [index for index, _ in found] == [1]
    assert peak_bytes < 8_000_000


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),  # lone surrogates among them
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=8,
)
#: Pieces with a meaning for a JSON parser, joined wrongly.
garbage = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b'"', b"\\", b":", b",", b" ", b"\n", b'"a"', b"1", b"-", b".",
         b"e", b"null", b"NaN", b"\0", b"\xff", b"\xc3", b"\xa9", b"\\ud800", b"\xef\xbb\xbf"]
    )
    | st.binary(max_size=3)
    | st.just(GOOD)
).map(b"".join)  # fmt: skip
#: An object with a byte lost, added or changed.
mutants = st.tuples(values, st.integers(0, 50), st.integers(0, 2), st.binary(max_size=2)).map(
    lambda it: _spliced(json.dumps({"a": it[0]}).encode(), *it[1:])
)


def _spliced(text: bytes, at: int, removed: int, inserted: bytes) -> bytes:
    return text[:at] + inserted + text[at + removed :]


def is_one_object(event: bytes) -> bool:
    """The answer of the standard library to the same question."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        return isinstance(json.loads(event.decode(), parse_constant=refuse), dict)
    except ValueError:
        return False


@given(st.dictionaries(st.text(st.characters()), values))
def test_whatever_encode_returned_is_sendable(event: dict[str, Any]) -> None:
    """An event that the producer accepted is never called bad by the worker."""
    assert unsendable([encode(event)]) == []


@given(st.lists(garbage | mutants | st.just(GOOD), max_size=6))
@example([b'{"a":1}],"ev":[{"b":1}', GOOD])
def test_what_is_left_makes_a_body_of_as_many_objects(events: list[bytes]) -> None:
    """The sendable events of any batch form a body of exactly as many objects."""
    found = dict(unsendable(events))

    assert found.keys() == {i for i, event in enumerate(events) if not is_one_object(event)}
    left = [event for i, event in enumerate(events) if i not in found]
    whole = json.loads(body(left))
    assert list(whole) == ["ev"]
    assert whole["ev"] == [json.loads(event) for event in left]


def test_an_event_that_nests_too_deep_is_refused_by_the_producer_as_well() -> None:
    """Producer and worker have the same limit for nesting: no accepted event is dead on arrival."""
    deep: Any = {}
    for _ in range(MAX_NESTING - 1):
        deep = {"a": deep}
    assert unsendable([encode(deep)]) == []

    for event in ({"a": deep}, nested(MAX_NESTING + 1), {"a": [0] * 600, "b": deep}):
        with pytest.raises(EventError) as caught:
            encode(event)
        assert caught.value.reason == "not_json"


@pytest.mark.parametrize("raw", [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc3'])
def test_ready_made_parts_of_an_event_are_utf8(raw: bytes) -> None:
    """A Raw inside an event must be UTF-8, like the body."""
    with pytest.raises(EventError) as caught:
        encode({"a": msgspec.Raw(raw)})

    assert caught.value.reason == "not_json"


def test_every_code_point_comes_through_as_it_was() -> None:
    """Every code point, lone surrogates included, is the same after encode, body and decode."""
    planes = [  # backwards, since a high surrogate before a low one is another code point
        {"text": "".join(map(chr, reversed(range(start, start + 0x8000))))}
        for start in range(0, 0x110000, 0x8000)
    ]
    encoded = [encode(event) for event in planes]

    assert unsendable(encoded) == []
    assert [decode(event) for event in encoded] == planes
    assert json.loads(body(encoded))["ev"] == planes
