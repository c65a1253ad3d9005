"""The relay's edge, on raw sockets: many clients, and what all of them hold."""

from __future__ import annotations

import tracemalloc
from contextlib import ExitStack

import pytest

from tools.relays import (
    EVENT,
    LEGACY,
    ONE,
    Answer,
    RelayServer,
    a_single,
    all_stored,
    read_answer,
    relaying,
    request,
)
from tools.waiting import wait_until
from vwo_celery.relay.rules.limits import Bounds

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)


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
            sock.sendall(request(EVENT, a_single(number)))
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
