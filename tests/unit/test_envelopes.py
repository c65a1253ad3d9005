"""Envelopes: a request that is sent singly comes out as it went in, and shows no key meanwhile."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest

from vwo_celery.destinations import Destination
from vwo_celery.errors import DestinationError, EventError
from vwo_celery.events import MAX_EVENT_BYTES, decode, unsendable, unwrap, wrap
from vwo_celery.events.envelopes import KEY_MARK, NOT_SINGLE, SINGLE_PATH
from vwo_celery.producing.singles import encoder_of, envelope

KEY = "0123456789abcdef0123456789abcdef"
WHOSE: dict[str, Any] = {"account_id": 888888, "sdk_key": KEY}
TARGET = f"{SINGLE_PATH}?en=purchase&a=888888&env={KEY}&eTime=1795703439146&random=0.68&p=FS"
HEADERS = {"x-device-user-agent": "Mozilla/5.0", "VWO-X-Forwarded-For": "203.0.113.7"}
BODY = b'{"d": {"msgId":"m", "n":1e2,  "event":{"name":"purchase","props":{"price":49.90}}}}'


@pytest.mark.parametrize(
    "target",
    [
        TARGET,
        SINGLE_PATH,
        f"{SINGLE_PATH}?",
        f"{SINGLE_PATH}?env={KEY}&x=%252F&ua=&b=%2f+%20",
        f"{SINGLE_PATH}?a=777&en=vwo_sdkUsageStats",
        f"{SINGLE_PATH}?a=777&en=vwo_sdkUsageStats&env={KEY}",
        f'{SINGLE_PATH}?ed={{"p":"server"}}&a=888888',
        f"{SINGLE_PATH}?url=https%3A%2F%2Fx%3Fenv%3D{KEY}&env={KEY}&a=888888",
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        BODY,
        b"{}",
        b'{"a":"\\ud83d","b":"}"}',
        '{"d":"ü😀"}'.encode(),
        b'{"a":12345678901234567890123}',
    ],
    ids=str,
)
def test_a_request_comes_out_as_it_went_in(target: str, body: bytes) -> None:
    """Target, headers and body keep every byte; the event in between is JSON that shows no key."""
    event = wrap(target, HEADERS, body, **WHOSE)

    found = unwrap(event, **WHOSE)
    assert (found.target, found.body) == (target, body)
    assert found.headers == {
        "X-Device-User-Agent": "Mozilla/5.0", "VWO-X-Forwarded-For": "203.0.113.7"
    }  # fmt: skip
    assert KEY.encode() not in event
    assert unsendable([event]) == []
    assert set(decode(event)) == {"target", "headers", "body"}


def test_only_headers_that_say_something_of_the_event_are_kept() -> None:
    """The SDK's name, the type and the visitor are kept, also empty; no login and nothing of the hop."""
    given = {
        "user-agent": "wingify-fme-go-sdk", "Content-Type": "text/plain", "x-device-user-agent": "",
        "Authorization": KEY, "Host": "relay", "Connection": "close", "Content-Length": "2",
        "Cookie": "x", "X-Forwarded-For": "10.0.0.1",
    }  # fmt: skip

    found = unwrap(wrap(TARGET, given, b"{}", **WHOSE), **WHOSE)

    assert found.headers == {
        "User-Agent": "wingify-fme-go-sdk", "Content-Type": "text/plain", "X-Device-User-Agent": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("/server-side/batch-events?a=888888", {}, b"{}"),
        ("/events/t/../../x", {}, b"{}"),
        ("/events/tt", {}, b"{}"),
        ("//events/t", {}, b"{}"),
        ("https://host/events/t", {}, b"{}"),
        (f"{SINGLE_PATH}?a=1 HTTP/1.1", {}, b"{}"),
        (f"{SINGLE_PATH}?a=1\r\nHost: x", {}, b"{}"),
        (f"{SINGLE_PATH}?a=ü", {}, b"{}"),
        (f"{SINGLE_PATH}?env={KEY}&a=888889", {}, b"{}"),
        (f"{SINGLE_PATH}?env={KEY}&a=888888&a=888889", {}, b"{}"),
        (f"{SINGLE_PATH}?env=another&a=888888", {}, b"{}"),
        (f"{SINGLE_PATH}?env=another&a=777&en=vwo_sdkUsageStats", {}, b"{}"),
        (f"{SINGLE_PATH}?env={KEY}&a=777&en=vwo_sdkUsageStats&en=purchase", {}, b"{}"),
        (f"{SINGLE_PATH}?env={KEY}&env=another", {}, b"{}"),
        (f"{SINGLE_PATH}?env=&a=888888", {}, b"{}"),
        (TARGET, {"User-Agent": "x\r\nHost: y"}, b"{}"),
        (TARGET, {"User-Agent": "x\0"}, b"{}"),
        (TARGET, {"User-Agent": "€"}, b"{}"),
        (TARGET, {}, b"[]"),
        (TARGET, {}, b""),
    ],
    ids=lambda part: ascii(part)[:40],
)
def test_what_cannot_be_sent_as_it_is_or_belongs_to_another_is_refused(
    target: str, headers: dict[str, str], body: bytes
) -> None:
    """Another path, account or key, and what would break a request, is refused when it enters, and
    again when it comes out of Redis, where any program could have put it.
    """
    with pytest.raises(EventError) as refused:
        wrap(target, headers, body, **WHOSE)
    stored = {"target": target, "headers": headers, "body": json.loads(body or b"null")}
    with pytest.raises(EventError) as again:
        unwrap(json.dumps(stored).encode(), **WHOSE)

    assert (refused.value.reason, again.value.reason) == (NOT_SINGLE, NOT_SINGLE)
    assert "another," not in str(refused.value)
    assert KEY not in str(refused.value) + str(again.value)


@pytest.mark.parametrize("body", [b'{"a":', b'{"a":NaN}', b'{"a":"\xe9"}', b'{"a":1}{}'], ids=str)
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    """A body is checked as an event is."""
    with pytest.raises(EventError):
        wrap(TARGET, HEADERS, body, **WHOSE)


def test_an_envelope_over_vwos_limit_is_refused() -> None:
    """The envelope is not larger than an event may be."""
    body = b'{"a":"%b"}' % (b"x" * (MAX_EVENT_BYTES - 20))

    with pytest.raises(EventError) as refused:
        wrap(TARGET, HEADERS, body, **WHOSE)

    assert refused.value.reason == "too_large"


@pytest.mark.parametrize(
    "event",
    [
        b"[]", b"{}", b'{"d":{}}', b"not json", b'{"target":1,"headers":{},"body":{}}',
        b'{"target":"/events/t","body":{}}',
        b'{"target":"/events/t","headers":{"User-Agent":1},"body":{}}',
        b'{"target":"/events/t","headers":{"User-Agent":"\\ud800"},"body":{}}',
        b'{"target":"/events/t?\\ud800","headers":{},"body":{}}',
        b'{"body":{"a":"\\ud800"},"target":"/events/t","headers":{}}',
    ],
    ids=str,
)  # fmt: skip
def test_what_another_program_pushed_is_no_envelope(event: bytes) -> None:
    """An event that is no envelope of our form is told as such; nothing else is raised."""
    with pytest.raises(EventError) as refused:
        unwrap(event, **WHOSE)

    assert refused.value.reason == NOT_SINGLE


def test_the_key_of_the_queue_goes_where_the_sdk_wrote_its_own() -> None:
    """An operator may have moved the event to the key that replaced the old one."""
    event = wrap(TARGET, HEADERS, BODY, **WHOSE)

    found = unwrap(event, account_id=888888, sdk_key="new/key")

    assert found.target == TARGET.replace(KEY, "new%2Fkey")
    assert KEY_MARK in json.loads(event)["target"]


def test_a_queue_of_single_events_takes_envelopes_only() -> None:
    """Its encoder refuses an event that a worker could not send; that of another queue does not ask."""
    single = Destination(**WHOSE, generation="single", region="eu01")
    event = envelope(single, TARGET, HEADERS, BODY)

    assert encoder_of(single)(event) == event
    assert encoder_of(Destination(**WHOSE, generation="fme"))({"d": {}}) == b'{"d":{}}'
    with pytest.raises(EventError) as refused:
        encoder_of(single)({"d": {}})
    assert refused.value.reason == NOT_SINGLE


def test_a_destination_of_single_events_has_no_query() -> None:
    """Its URL holds no key and names no SDK: each event says what its SDK said."""
    single = Destination(**WHOSE, generation="single", region="eu01", base_url="http://h:1")

    assert single.url == "http://h:1/eu01/events/t"
    assert single.queue.startswith("single-888888-")
    assert Destination(**WHOSE, generation="single", query=()) == Destination(
        **WHOSE, generation="single"
    )
    assert (single.sdk, single.sdk_words) == (("", ""), "each event says it")
    for part in ({"sdk_name": "x"}, {"sdk_version": "1"}, {"usage_stats": (("eb", "1"),)},
                 {"query": (("sn", "x"),)}):  # fmt: skip
        with pytest.raises(DestinationError, match='where generation is "single"'):
            Destination(**WHOSE, generation="single", **part)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "spelled"),
    [(KEY, f"%30{KEY[1:]}"), ("a/b", "a%2fb"), ("/", "%2F"), ("e", "%65"), ("SDK", "S%44K")],
)
def test_a_key_of_any_kind_in_any_spelling(key: str, spelled: str) -> None:
    """The key is marked however it is spelled, and what is stored can be sent."""
    whose: dict[str, Any] = {"account_id": 888888, "sdk_key": key}
    event = wrap(f"{SINGLE_PATH}?a=888888&env={spelled}&n=1", {}, BODY, **whose)

    sent = unwrap(event, **whose).target
    assert sent == f"{SINGLE_PATH}?a=888888&env={quote_plus(key)}&n=1"
    assert f"env={KEY_MARK}&".encode() in event
