"""Events encoded in one go are the bytes that each would be alone, and are refused as it would be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.event_values import CARRIED, HOSTILE, NOT_JSON, deep
from vwo_celery.errors import EventError
from vwo_celery.events import MAX_EVENT_BYTES, encode, encode_all

PLAIN = {"d": {"event": {"name": "n", "props": {"id": 1, "ü": "€"}}}}


def raw(text: str) -> dict[str, Any]:
    """An event with bytes of its own inside, which msgspec writes as they are."""
    return {"a": msgspec.Raw(text.encode())}


def what_becomes_of(events: Sequence[Any], each: bool) -> list[bytes] | str:
    """The bytes of all events, or the reason of the first that is refused."""
    try:
        return [encode(event) for event in events] if each else encode_all(events)
    except EventError as exc:
        return exc.reason


@pytest.mark.parametrize("value", [value for value, _ in CARRIED], ids=lambda v: ascii(v)[:40])
def test_events_encoded_together_are_what_each_is_alone(value: Any) -> None:
    """Whatever a value becomes in an event alone, it becomes among others, which it changes not."""
    events = [PLAIN, {"value": value}, PLAIN, {"nested": [{"value": value}]}]

    assert encode_all(events) == [encode(event) for event in events]


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: type(value).__name__)
def test_what_cannot_be_encoded_is_refused_among_others_too(value: Any) -> None:
    """A value without a JSON form is refused, wherever its event stands."""
    for events in ([PLAIN, {"v": value}], [{"v": value}, PLAIN], [PLAIN, value, PLAIN]):
        assert what_becomes_of(events, each=False) == what_becomes_of(events, each=True) != []


@pytest.mark.parametrize("make", HOSTILE)
def test_a_hostile_event_among_others_is_refused_and_nothing_else_is_raised(
    make: Callable[[], Any],
) -> None:
    """An event that raises at every access is refused among others as well."""
    with pytest.raises(EventError) as refused:
        encode_all([PLAIN, {"a": make()}, PLAIN])

    assert refused.value.reason == "not_json"


@pytest.mark.parametrize(
    "events",
    [
        [raw('1}\n{"b":2'), raw('"'), raw("1")],
        [raw('1}{"b":2'), PLAIN],
        [raw('1},{"b":2'), PLAIN],
        [raw('[1}\n{"b":2]'), raw("]")],
        [raw('{"x":1'), {"b": 1}, raw('1}\n{"c":2')],
        [raw('"abc'), {",": msgspec.Raw(b'":1')}, raw('1}\n{"b":2')],
        [raw('"abc'), {",": msgspec.Raw(b'":1')}, raw('1},{"b":2')],
        [raw("\n1\n"), raw(" [ 1 ] "), PLAIN],
        [raw('"\xff"'), PLAIN],
        [{"a": msgspec.Raw(b'"\xc3"')}, {"a": msgspec.Raw(b'"\xbc"')}],
        [{"a": Decimal("NaN")}, PLAIN],
        [{"a": float("nan")}, {"a": None}, PLAIN],
        [{"a": None}, {"null": 1}, PLAIN, {"a": "null"}],
        [b' {"a" : 1}\n', {"a": 1}],
        [{"a": 1}, bytearray(b'{"a":1}'), msgspec.Raw(b"{}")],
        [PLAIN, b"{}{}", PLAIN],
        [PLAIN, [], PLAIN],
        [PLAIN, deep(501)],
        [PLAIN, deep(500)],
        [{"a": "x" * MAX_EVENT_BYTES}, PLAIN],
        [{"a": "x" * (MAX_EVENT_BYTES - 8)}, PLAIN],
        [],
        [PLAIN],
        [PLAIN] * 1_001,
    ],
)
def test_many_events_have_the_fate_of_each(events: list[Any]) -> None:
    """Bytes inside events that look like events' bounds change nothing of what becomes of any event."""
    assert what_becomes_of(events, each=False) == what_becomes_of(events, each=True)


FRAGMENTS = st.lists(
    st.sampled_from(['"', "{", "}", "[", "]", ",", ":", "\n", " ", "1", "null", '"a"', '"b":'])
).map("".join)


@given(st.lists(st.one_of(st.builds(raw, FRAGMENTS), st.just(PLAIN)), max_size=4))
def test_no_bytes_inside_an_event_reach_into_another(events: list[dict[str, Any]]) -> None:
    """Whatever bytes an application puts into an event, events together are what each is alone."""
    found = what_becomes_of(events, each=False)

    assert found == what_becomes_of(events, each=True)
    if not isinstance(found, str):
        assert all(type(json.loads(text)) is dict for text in found)
