"""The relay's edge, on raw sockets: clients that are slow are refused; those that are idle are kept."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import pytest

from tools.relays import (
    EVENT,
    LEGACY,
    ONE,
    a_single,
    all_stored,
    read_answer,
    refused,
    relaying,
    request,
)
from vwo_celery.relay.rules.limits import Bounds

#: Bounds that a test reaches quickly.
QUICK: Final = Bounds(
    header_seconds=0.3, body_seconds=0.3, seconds_per_megabyte=0.3, linger_seconds=0.3
)


pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)


def test_a_slow_header_is_refused(redis_url: str) -> None:
    """A header that does not end in time is answered 408; so is a connection without any."""
    with relaying(redis_url, bounds=QUICK) as relay:
        for begun in (b"", b"POST / HTTP/1.1\r\nX-Slow: "):
            with relay.connect() as sock:
                sock.sendall(begun)
                assert refused(read_answer(sock)) == (408, "the request took too long")


def test_a_slow_body_is_refused(redis_url: str) -> None:
    """A body that does not end in time is answered 408, and nothing of it is stored."""
    with relaying(redis_url, bounds=QUICK) as relay, relay.connect() as sock:
        sock.sendall(request(EVENT, a_single(1))[:-1])
        assert refused(read_answer(sock)) == (408, "the request took too long")

    assert all_stored(redis_url) == []


@pytest.mark.parametrize(
    "begun", [b"POST / HTTP/1.1\r\nX-Slow: ", request(EVENT, b"", {"Content-Length": "10000"})]
)
def test_a_client_that_trickles_is_refused(begun: bytes, redis_url: str) -> None:
    """Single bytes now and then give a header or a body no more time."""
    with relaying(redis_url, bounds=QUICK) as relay, relay.connect() as sock:
        sock.sendall(begun)
        sock.settimeout(0.05)
        answer = b""
        for _ in range(100):
            with suppress(TimeoutError):
                answer = sock.recv(12)
                break
            sock.sendall(b"x")

    assert answer == b"HTTP/1.1 408"


def test_a_large_body_has_more_time(redis_url: str) -> None:
    """Each megabyte that has come gives a second of further time."""
    bounds = Bounds(body_seconds=0.05, seconds_per_megabyte=1000.0)
    with relaying(redis_url, bounds=bounds, relay_events_per_request=5000) as relay:
        body = b'{"d":{"x":"' + b"x" * 1_000_000 + b'"}}'
        whole = request(EVENT, body)
        with relay.connect() as first, relay.connect() as second:
            first.sendall(whole[:500_000])
            second.sendall(whole[:200])
            assert refused(read_answer(second))[0] == 408  # the time without the megabyte is over
            first.sendall(whole[500_000:])
            assert read_answer(first).status == 200


def test_an_idle_connection_is_kept(redis_url: str) -> None:
    """The time of a header begins with its first byte: between two requests a client may wait."""
    with (
        relaying(redis_url, bounds=QUICK) as relay,
        relay.connect() as sock,
        relay.connect() as other,
    ):
        sock.sendall(request(LEGACY, ONE))
        assert read_answer(sock).status == 200
        assert read_answer(other).status == 408  # a header's time is over
        sock.sendall(request(LEGACY, ONE))
        assert read_answer(sock).status == 200


def test_empty_lines_keep_no_connection_for_ever(redis_url: str) -> None:
    """A client may send an empty line after its body; the connection is idle nevertheless."""
    bounds = Bounds(idle_seconds=1)
    with relaying(redis_url, bounds=bounds) as relay, relay.connect() as sock:
        for _ in range(2):
            sock.sendall(request(LEGACY, ONE))
            assert read_answer(sock).status == 200
            sock.sendall(b"\r\n")

        assert sock.recv(1) == b""
