"""Whatever requests come on one connection, in whatever pieces: what a simple model says."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
import redis as redis_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.any_requests import ALLOWED, OTHER_ACCOUNT, OTHER_KEY, Sent, conversations
from tools.relay_model import model
from tools.relays import ACCOUNT, KEY, LEGACY, RelayServer, read_answers, relaying, stored
from vwo_celery.destinations import Destination
from vwo_celery.testing import RedisServer


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A Redis of this module's own."""
    with RedisServer() as server:
        yield server.url


@pytest.fixture(scope="module")
def relay(url: str) -> Iterator[RelayServer]:
    """One relay for all examples."""
    with relaying(url, accounts=ALLOWED, spool_dir="") as running:
        yield running


@given(conversations(), st.lists(st.integers(min_value=0), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_requests(
    relay: RelayServer, url: str, sent: Sequence[Sent], cuts: Sequence[int]
) -> None:
    """Requests that follow one another at once, cut anywhere, are answered as the model says."""
    with redis_py.Redis.from_url(url) as client:
        client.flushall()
    data = b"".join(map(bytes, sent))
    places = [0, *sorted(cut % len(data) for cut in cuts), len(data)]

    with relay.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise(places):
            sock.sendall(data[start:end])
        answers = read_answers(sock, len(sent))

    expected: dict[Destination | None, list[bytes]] = {}
    for _, destination, events in map(model, sent):
        expected.setdefault(destination, []).extend(events)
    assert [answer.status for answer in answers] == [model(each)[0] for each in sent]
    assert {whose: events for whose, events in stored(url).items() if events} == {
        whose: events for whose, events in expected.items() if events
    }


def test_a_known_line_is_no_key(relay: RelayServer) -> None:
    """A request line that was taken before is refused if the header names another key."""
    assert relay.post(LEGACY, b'{"ev":[]}').status == 200
    assert relay.post(LEGACY, b'{"ev":[]}', {"Authorization": "d" * 32}).status == 400
    assert relay.post(LEGACY, b'{"ev":[]}', {"Authorization": KEY}).status == 200


def test_of_a_name_that_comes_twice_the_first_counts(relay: RelayServer, url: str) -> None:
    """No later name of the query moves an event to another account."""
    with redis_py.Redis.from_url(url) as client:
        client.flushall()

    relay.post(f"{LEGACY}&a={OTHER_ACCOUNT}&env={OTHER_KEY}", b'{"ev":[{"u":1}]}')

    found = [whose for whose, events in stored(url).items() if events]
    assert [(each.account_id, each.sdk_key) for each in found] == [(ACCOUNT, KEY)]
