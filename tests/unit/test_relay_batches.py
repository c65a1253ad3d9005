"""The events of a batch's body: the same by both readers, each with its own bytes."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vwo_celery.relay.reading.batches import events_of
from vwo_celery.relay.rules.answers import Refused

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
#: Ways in which programs write JSON.
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", " :\r\n")])


def body(items: list[Any], separators: tuple[str, str], *more: str) -> tuple[bytes, list[bytes]]:
    """A body, and its items as they are written in it."""
    comma, colon = separators
    texts = [json.dumps(item, separators=separators, ensure_ascii=False) for item in items]
    members = [f'"ev"{colon}[{comma.join(texts)}]', *more]
    return f"{{{comma.join(members)}}}".encode(), [text.encode() for text in texts]


@given(st.lists(OBJECTS, max_size=5), SEPARATORS, TEXTS, VALUES)
def test_each_event_keeps_its_bytes(
    items: list[Any], separators: tuple[str, str], name: str, value: Any
) -> None:
    """Whatever else the body holds, the events are the items, byte for byte, in their order."""
    other = f"{json.dumps(f'x{name}')}:{json.dumps(value)}"
    text, written = body(items, separators, other)

    found = events_of(text, is_fme=False, is_phone=False)

    assert list(found.events) == written
    assert not found.lost


@given(st.lists(OBJECTS, max_size=5), SEPARATORS, st.sampled_from(['"x":"\\udead"', '"x":[NaN]']))
def test_the_slower_reader_finds_the_same(
    items: list[Any], separators: tuple[str, str], odd: str
) -> None:
    """A body that msgspec refuses has the same events, before and after what it refuses."""
    text, written = body(items, separators, odd)
    turned = b"{" + odd.encode() + b"," + text[1:].replace(odd.encode(), b'"y":1')

    for each in (text, turned):
        found = events_of(each, is_fme=False, is_phone=False)
        assert list(found.events) == written


@given(st.lists(VALUES, max_size=6))
def test_what_is_no_event_is_counted(items: list[Any]) -> None:
    """Of any list, the objects are taken, and all else is counted; nothing but that is refused."""
    text, written = body(items, (",", ":"))
    good = [text for item, text in zip(items, written, strict=True) if isinstance(item, dict)]

    if items and not good:
        with pytest.raises(Refused):
            events_of(text, is_fme=False, is_phone=False)
        return
    found = events_of(text, is_fme=False, is_phone=False)
    assert list(found.events) == good
    assert sum(found.lost.values()) == len(items) - len(good)


@given(st.lists(st.dictionaries(st.sampled_from(["d", "e"]), VALUES, max_size=2), max_size=6))
def test_an_fme_event_has_an_object_d(items: list[Any]) -> None:
    """The items with an object d are events of the FME path, and no others."""
    text, written = body(items, (", ", ": "))
    good = [
        text for item, text in zip(items, written, strict=True) if isinstance(item.get("d"), dict)
    ]

    if items and not good:
        with pytest.raises(Refused):
            events_of(text, is_fme=True, is_phone=False)
        return
    assert list(events_of(text, is_fme=True, is_phone=False).events) == good


@given(st.binary(max_size=60) | st.text('{}[]",:ev1 \\u', max_size=40).map(str.encode))
def test_any_bytes_are_events_or_refused(text: bytes) -> None:
    """Nothing in a body raises anything else; what is found is JSON objects in UTF-8."""
    try:
        text.decode()  # as `text_of` has made sure
        found = events_of(text, is_fme=False, is_phone=False)
    except (Refused, UnicodeDecodeError):
        return

    assert all(isinstance(json.loads(event), dict) for event in found.events)


def test_the_last_of_two_lists_counts() -> None:
    """Both readers take a name that comes twice as JSON readers do."""
    for more in ("", ',"x":"\\ud800"'):
        text = f'{{"ev":[{{"a":1}}],"ev":[{{"b":2}}]{more}}}'.encode()
        assert list(events_of(text, is_fme=False, is_phone=False).events) == [b'{"b":2}']


@pytest.mark.parametrize("more", ['"x":1', '"x":"\\udead"'])
@pytest.mark.parametrize("is_phone", [False, True])
def test_a_body_of_countless_items_is_refused_before_they_are_found(
    more: str, is_phone: bool
) -> None:
    """A few kilobytes, deflated, may hold millions of items; they take hardly more than the body."""
    text = f'{{{more},"ev":[{"1," * 600_000}1]}}'.encode()

    tracemalloc.start()
    try:
        with pytest.raises(Refused) as refused:
            events_of(text, is_fme=False, is_phone=is_phone)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert refused.value.answer.status == 413
    assert most < 15 * len(text)


@pytest.mark.parametrize(("is_phone", "most"), [(False, 5_000), (True, 100_000)])
def test_a_body_has_a_greatest_number_of_items(is_phone: bool, most: int) -> None:
    """So many and no more, by both readers; a phone may upload what it kept for long."""
    for more in ("", ',"x":"\\ud800"'):
        text = f'{{"ev":[{"{}," * (most - 1)}{{}}]{more}}}'.encode()
        assert len(events_of(text, is_fme=False, is_phone=is_phone).events) == most
        with pytest.raises(Refused) as refused:
            events_of(text.replace(b"[", b"[{},"), is_fme=False, is_phone=is_phone)
        assert refused.value.answer.status == 413
