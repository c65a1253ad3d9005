"""The relay's edge, on raw sockets: clients that are gone lose nothing that they have sent whole."""

from __future__ import annotations

import pytest

from tools.relays import (
    EVENT,
    LEGACY,
    ONE,
    STRAY,
    RelayServer,
    a_single,
    all_stored,
    read_answer,
    relaying,
    request,
)
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.relay.telling.counts import counted
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)


@pytest.mark.parametrize("stray", [STRAY, b""], ids=["stray bytes", "plain close"])
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_client_that_closes_at_once_loses_nothing(
    stray: bytes, pieces: int, relay: RelayServer, redis_url: str
) -> None:
    """PHP's FME SDK sends stray bytes after its body, and closes without reading: 60 of 60 are stored."""
    for number in range(60):
        parts = [request(EVENT, a_single(number)), stray]
        if pieces == 1:
            parts = [b"".join(parts)]
        if pieces == 3:
            parts = [parts[0][:-7], parts[0][-7:], stray]
        with relay.connect() as sock:
            for part in parts:
                sock.sendall(part)

    wait_until(lambda: len(all_stored(redis_url)) == 60, what="60 events")
    assert sorted(all_stored(redis_url)) == sorted(a_single(number) for number in range(60))


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
        sock.sendall(request(EVENT, a_single(1)) + STRAY)

        assert read_answer(sock).status == 200
        assert sock.recv(1) == b""


def test_a_body_that_does_not_end_is_not_stored(relay: RelayServer, redis_url: str) -> None:
    """A client that closes within its body has sent nothing."""
    before = counted.requests
    with relay.connect() as sock:
        sock.sendall(request(EVENT, a_single(1))[:-1])
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
        assert relay.post(EVENT, a_single(0)).status == 200
        proxy.delay(60)
        for number, stray in ((1, b""), (2, STRAY)):
            with relay.connect() as sock:
                sock.sendall(request(EVENT, a_single(number)) + stray)
        wait_until(lambda: not relay.server.server_state.connections, what="no client")
        proxy.pass_through()
        wait_until(lambda: len(all_stored(redis_url)) == 3, what="the events")

    assert counted.left - before == 1
