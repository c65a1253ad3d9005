"""The relay's edge, on raw sockets: clients that are too large are refused, and read why."""

from __future__ import annotations

import gzip

import pytest

from tools.relays import LEGACY, ONE, RelayServer, all_stored, read_answer, refused, request

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)


def test_headers_are_bounded(relay: RelayServer) -> None:
    """A header beyond the bound is refused, in one piece or many, as is an endless request line."""
    large = request(LEGACY, ONE, {"X-Large": "x" * 40_000})

    assert refused(relay.ask(large)) == (431, "the request line and headers are too large")
    assert refused(relay.ask(request(f"/{'x' * 40_000}", ONE)))[0] == 431
    assert relay.post(LEGACY, ONE, {"X-Large": "x" * 20_000}).status == 200


def test_a_header_without_end_is_bounded(relay: RelayServer) -> None:
    """It is refused while it comes, before there is memory for it."""
    with relay.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nX-Endless: " + b"x" * 2_000_000)

        assert refused(read_answer(sock))[0] == 431


def test_a_declared_body_is_refused_before_it_comes(relay: RelayServer) -> None:
    """A client that declares too much is answered at once, also where it asks first."""
    large = {"Content-Length": "10000001"}

    assert refused(relay.ask(request(LEGACY, b"", large))) == (413, "Payload size too large")
    assert refused(relay.ask(request(LEGACY, b"", {**large, "Expect": "100-continue"})))[0] == 413


def test_a_client_that_sends_on_still_reads_its_answer(relay: RelayServer) -> None:
    """The rest of a refused body is read and thrown away, so that no reset destroys the answer."""
    with relay.connect() as sock:
        sock.sendall(request(LEGACY, b"", {"Content-Length": "20000000"}))
        for _ in range(300):
            sock.sendall(b"x" * 65_536)

        assert refused(read_answer(sock)) == (413, "Payload size too large")


def test_a_chunked_body_is_bounded(relay: RelayServer) -> None:
    """A body that declares no length is refused where it exceeds the bound."""
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with relay.connect() as sock:
        sock.sendall(request(LEGACY, None, {"Transfer-Encoding": "chunked"}))
        for _ in range(160):
            sock.sendall(chunk)

        assert refused(read_answer(sock)) == (413, "Payload size too large")


def test_a_bomb_does_not_inflate(relay: RelayServer) -> None:
    """A body that would be five times the bound stops there, as do members without end."""
    bomb = gzip.compress(b" " * 50_000_000)
    many = gzip.compress(b"") * 400_000

    assert relay.post(LEGACY, bomb, {"Content-Encoding": "gzip"}).status == 413
    assert relay.post(LEGACY, many, {"Content-Encoding": "gzip"}).status == 400
    assert relay.post(LEGACY, ONE).status == 200


def test_the_largest_body(relay: RelayServer, redis_url: str) -> None:
    """Ten megabytes exactly are taken."""
    body = b'{"ev":[{"x":"' + b"x" * (10_000_000 - 17) + b'"}]}'
    assert len(body) == 10_000_000

    assert relay.post(LEGACY, body).status == 200
    assert all_stored(redis_url) == [body[7:-2]]
