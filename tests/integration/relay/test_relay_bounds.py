"""The relay's edge, on raw sockets: clients that are slow, large, many, broken, or gone.

These tests also hold our subclass of uvicorn's protocol against each of its releases.
"""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final

import pytest

from tools.relays import (
    EVENT,
    LEGACY,
    Answer,
    RelayServer,
    all_stored,
    read_answer,
    relaying,
    request,
)
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.relay.rules.limits import Bounds
from vwo_celery.relay.telling.counts import counted
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

#: Bounds that a test reaches quickly.
QUICK: Final = Bounds(
    header_seconds=0.3, body_seconds=0.3, seconds_per_megabyte=0.3, linger_seconds=0.3
)
ONE: Final = b'{"ev":[{"u":"A"}]}'
STRAY: Final = b"Connection: close\r\n\r\n"
LOOPS: Final = ("uvloop", "asyncio")


@pytest.fixture(params=LOOPS)
def relay(request: pytest.FixtureRequest, redis_url: str) -> Iterator[RelayServer]:
    """A relay with its real bounds, in each event loop."""
    with relaying(redis_url, loop=request.param, relay_events_per_request=5000) as running:
        yield running


def refused(answer: Answer) -> tuple[int, str]:
    """Status and message; the connection ends after a refusal by a bound."""
    assert answer.headers["connection"] == "close"
    return answer.status, json.loads(answer.body)["message"]


def event(number: int) -> bytes:
    """A single FME event."""
    return b'{"d":{"n":%d}}' % number


# -- clients that are gone


@pytest.mark.parametrize("stray", [STRAY, b""], ids=["stray bytes", "plain close"])
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_client_that_closes_at_once_loses_nothing(
    stray: bytes, pieces: int, relay: RelayServer, redis_url: str
) -> None:
    """PHP's FME SDK sends stray bytes after its body, and closes without reading: 60 of 60 are stored."""
    for number in range(60):
        parts = [request(EVENT, event(number)), stray]
        if pieces == 1:
            parts = [b"".join(parts)]
        if pieces == 3:
            parts = [parts[0][:-7], parts[0][-7:], stray]
        with relay.connect() as sock:
            for part in parts:
                sock.sendall(part)

    wait_until(lambda: len(all_stored(redis_url)) == 60, what="60 events")
    assert sorted(all_stored(redis_url)) == sorted(event(number) for number in range(60))


def test_a_large_body_of_a_client_that_closes_at_once(relay: RelayServer, redis_url: str) -> None:
    """A body of three megabytes arrives whole before the end of the connection is seen."""
    body = b'{"d":{"x":"' + b"x" * 3_000_000 + b'"}}'
    for _ in range(6):
        with relay.connect() as sock:
            sock.sendall(request(EVENT, body) + STRAY)

    wait_until(lambda: all_stored(redis_url) == [body] * 6, what="6 events")


def test_a_client_that_reads_gets_its_answer_in_spite_of_stray_bytes(relay: RelayServer) -> None:
    """What was stored is answered 200, or the client would send it again; then the connection ends."""
    with relay.connect() as sock:
        sock.sendall(request(EVENT, event(1)) + STRAY)

        assert read_answer(sock).status == 200
        assert sock.recv(1) == b""


def test_a_body_that_does_not_end_is_not_stored(relay: RelayServer, redis_url: str) -> None:
    """A client that closes within its body has sent nothing."""
    before = counted.requests
    with relay.connect() as sock:
        sock.sendall(request(EVENT, event(1))[:-1])
    assert relay.post(LEGACY, ONE).status == 200

    assert all_stored(redis_url) == [b'{"u":"A"}']
    assert counted.requests - before == 1


def test_clients_that_left_before_the_answer_are_counted(
    redis_server: RedisServer, redis_url: str
) -> None:
    """A proxy that closes for its client shows in a number; PHP's stray bytes do not. All is stored."""
    before = counted.left
    with (
        TcpProxy(redis_server.port) as proxy,
        relaying(proxy.url(), enqueue_timeout_seconds=20.0) as relay,
    ):
        assert relay.post(EVENT, event(0)).status == 200
        proxy.delay(60)
        for number, stray in ((1, b""), (2, STRAY)):
            with relay.connect() as sock:
                sock.sendall(request(EVENT, event(number)) + stray)
        wait_until(lambda: not relay.server.server_state.connections, what="no client")
        proxy.pass_through()
        wait_until(lambda: len(all_stored(redis_url)) == 3, what="the events")

    assert counted.left - before == 1


# -- what a request may look like


def test_raw_quotes_and_braces_in_the_target(relay: RelayServer, redis_url: str) -> None:
    """Node's legacy SDK leaves JSON raw in its target."""
    answer = relay.get(
        f'/server-side/push?account_id=888888&env={"b" * 32}&u=A&sId=1&tags={{"u":{{"a":"%22"}}}}&'
    )

    assert answer.status == 200
    assert json.loads(json.loads(all_stored(redis_url)[0])["t"]) == {"u": {"a": '"'}}


def test_a_chunked_body(relay: RelayServer, redis_url: str) -> None:
    """A body in chunks is one body; what follows it as headers is of no use."""
    chunks = b"".join(b"%x;name=value\r\n%c\r\n" % (1, byte) for byte in ONE)
    end = b"0\r\nContent-Encoding: br\r\n\r\n"
    head = request(LEGACY, None, {"Transfer-Encoding": "chunked"})

    assert relay.ask(head + chunks + end).status == 200
    assert all_stored(redis_url) == [b'{"u":"A"}']


def test_expect_100_continue(relay: RelayServer, redis_url: str) -> None:
    """A client that asks first is told to go on before it sends its body."""
    head, body = request(LEGACY, ONE, {"Expect": "100-continue"}).split(ONE)[0], ONE
    with relay.connect() as sock:
        sock.sendall(head)
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert read_answer(sock).status == 200

    assert len(all_stored(redis_url)) == 1


def test_an_upgrade_to_http2_is_not_taken_up(relay: RelayServer, redis_url: str) -> None:
    """uvicorn's parser would leave the body unread: the client is told why nothing was stored."""
    offer = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABk",
    }

    status, said = refused(relay.post(LEGACY, ONE, offer))
    assert (status, said) == (400, "the relay speaks HTTP/1.1: send a body without Upgrade")
    assert relay.get("/healthz", offer).status == 200
    assert all_stored(redis_url) == []


def test_several_requests_on_one_connection(relay: RelayServer, redis_url: str) -> None:
    """Also where they are sent before the first answer, each is answered, in its order."""
    bodies = [b'{"d":{"n":%d}}' % number for number in range(20)]
    with relay.connect() as sock:
        sock.sendall(b"".join(request(EVENT, body) for body in bodies) + request("/", b""))
        found = b""
        while found.count(b"HTTP/1.1 ") < 21 or not found.endswith(b"}"):
            found += sock.recv(65_536)

    assert found.count(b"HTTP/1.1 200") == 20
    assert found.rindex(b"200 OK") < found.index(b"404 Not Found")
    assert all_stored(redis_url) == bodies


@pytest.mark.parametrize(
    "text", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"POST /\xe9 HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_answered_in_json(text: bytes, relay: RelayServer) -> None:
    """TLS on the wrong port, and targets that are not ASCII, get an answer that SDKs can read."""
    assert refused(relay.ask(text)) == (400, "this is no HTTP request")


def test_a_websocket_is_not_opened(relay: RelayServer) -> None:
    """A request to upgrade is an ordinary request of that path."""
    offer = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x" * 22 + "==",
        "Sec-WebSocket-Version": "13",
    }  # fmt: skip

    assert relay.get("/healthz", offer).status == 200


# -- clients that are too large


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


# -- clients that are slow


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
        sock.sendall(request(EVENT, event(1))[:-1])
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


# -- many clients


def test_more_connections_than_the_bound_are_told_so(redis_url: str) -> None:
    """A connection too many gets 503, with a time after which to come back; the others are served."""
    bounds = Bounds(connections=4)
    with relaying(redis_url, bounds=bounds) as relay, ExitStack() as opened:
        socks = [opened.enter_context(relay.connect()) for _ in range(4)]
        for sock in socks:
            sock.sendall(request(LEGACY, ONE)[:-1])
        wait_until(lambda: len(relay.server.server_state.connections) == 4, what="4 connections")
        busy = relay.post(LEGACY, ONE)
        for sock in socks:
            sock.sendall(ONE[-1:])
        answers = [read_answer(sock).status for sock in socks]

    assert (busy.status, busy.headers["retry-after"]) == (503, "2")
    assert answers == [200] * 4
    assert len(all_stored(redis_url)) == 4


def test_idle_connections_make_room(redis_url: str) -> None:
    """Where the bound is reached, a connection that waits for nothing is closed for a new one."""
    with relaying(redis_url, bounds=Bounds(connections=4)) as relay, ExitStack() as opened:
        for _ in range(20):
            sock = opened.enter_context(relay.connect())
            sock.sendall(request(LEGACY, ONE))
            assert read_answer(sock).status == 200

    assert len(all_stored(redis_url)) == 20


def test_512_connections_at_once(relay: RelayServer, redis_url: str) -> None:
    """As many as the bound are served at once, and none loses its event."""
    with ExitStack() as opened:
        socks = [opened.enter_context(relay.connect()) for _ in range(512)]
        for number, sock in enumerate(socks):
            sock.sendall(request(EVENT, event(number)))
        answers = {read_answer(sock).status for sock in socks}

    assert answers == {200}
    assert len(set(all_stored(redis_url))) == 512


def test_all_bodies_together_are_bounded(redis_url: str) -> None:
    """What all connections hold has a bound, and is let go when they are answered, or gone."""
    bounds = Bounds(held_bytes=1_000_000)
    body = b'{"d":{"x":"' + b"x" * 700_000 + b'"}}'
    with relaying(redis_url, bounds=bounds) as relay:
        with relay.connect() as first:
            first.sendall(request(EVENT, body)[:-1])
            full = wait_until(lambda: _first_refusal(relay, body), what="a refusal")
            first.sendall(body[-1:])
            assert read_answer(first).status == 200
        with relay.connect() as gone:
            gone.sendall(request(EVENT, body)[:-1])
        statuses = wait_until(
            lambda: [relay.post(EVENT, body).status for _ in range(3)] == [200] * 3, what="room"
        )

    assert full.status == 503
    assert statuses
    assert set(all_stored(redis_url)) == {body}


def _first_refusal(relay: RelayServer, body: bytes) -> Answer | None:
    answer = relay.post(EVENT, body)
    return answer if answer.status != 200 else None


def test_long_queries_are_not_remembered(redis_url: str) -> None:
    """Request lines are remembered, since those of batches repeat; long ones would fill the memory."""
    with relaying(redis_url) as relay:
        assert relay.post(LEGACY, ONE).status == 200
        tracemalloc.start()
        try:
            for number in range(100):
                assert relay.post(f"{LEGACY}&x={number}{'y' * 30_000}", ONE).status == 200
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert kept < 1_000_000


def test_a_refused_connection_takes_no_place(redis_url: str) -> None:
    """One that is read on for a moment, so that its client gets the answer, makes room for another."""
    bounds = Bounds(connections=1, linger_seconds=60.0)
    with relaying(redis_url, bounds=bounds) as relay, relay.connect() as refused:
        refused.sendall(b"GARBAGE\r\n\r\n")
        assert read_answer(refused).status == 400

        assert relay.post(LEGACY, ONE).status == 200
