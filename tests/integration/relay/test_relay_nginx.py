"""A real nginx with the configuration of compose/ in front of relays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tools.nginx import Nginx, fronting
from tools.relays import (
    ACCOUNT,
    EVENT,
    FME,
    KEY,
    RelayServer,
    all_stored,
    read_answer,
    relaying,
    request,
)
from tools.waiting import wait_until
from vwo_celery.events import MAX_BODY_BYTES
from vwo_celery.relay import counts
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

BODY = b'{"ev":[{"d":{"n":1}}]}'
STRAY = b"Connection: close\r\n\r\n"
CLIENTS = 60


@pytest.fixture
def relay(redis_url: str) -> Iterator[RelayServer]:
    """A relay that takes everybody's events."""
    with relaying(redis_url) as server:
        yield server


@pytest.fixture
def nginx(relay: RelayServer, tmp_path: Path) -> Iterator[Nginx]:
    """nginx in front of it; nothing that it has written shows a key."""
    with fronting(relay.port, folder=tmp_path) as server:
        yield server
    assert KEY not in server.process.log()


def fire(nginx: Nginx, number: int) -> None:
    """Send an event as PHP's FME SDK does: with stray bytes, closed at once, without reading."""
    with nginx.connect() as sock:
        sock.sendall(request(EVENT, b'{"d":{"n":%d}}' % number) + STRAY * (number % 2))


def test_clients_that_close_at_once_are_stored(nginx: Nginx, redis_url: str) -> None:
    """60 of 60, with stray bytes and without."""
    for number in range(CLIENTS):
        fire(nginx, number)

    wait_until(lambda: len(all_stored(redis_url)) == CLIENTS, what="all events")
    assert len(set(all_stored(redis_url))) == CLIENTS


def test_the_defaults_of_nginx_lose_them(
    relay: RelayServer, tmp_path: Path, redis_url: str
) -> None:
    """Without proxy_ignore_client_abort nginx drops requests of such clients: the line is needed."""

    def with_default(text: str) -> str:
        return text.replace("proxy_ignore_client_abort on;", "")

    with fronting(relay.port, folder=tmp_path, change=with_default) as nginx:
        for number in range(CLIENTS):
            fire(nginx, number)
        assert nginx.post(FME, BODY).status == 200
        wait_until(lambda: nginx.process.log().count(" 499 ") > CLIENTS / 2, what="lost requests")

    assert len(all_stored(redis_url)) < CLIENTS / 2


def test_a_body_of_10_mb_is_taken(nginx: Nginx, redis_url: str) -> None:
    """The relay's own bound counts; what is larger is refused in JSON, by whomever it is."""
    event = b'{"d":{"pad":"%s"}}' % (b"x" * 1_000_000)
    body = b'{"ev":[' + b",".join([event] * 9) + b"]}"
    largest = body + b" " * (MAX_BODY_BYTES - len(body))

    assert nginx.post(FME, largest).status == 200
    assert len(all_stored(redis_url)) == 9
    for size in (MAX_BODY_BYTES + 1, 11 * 1024 * 1024 + 1):
        answer = nginx.post(FME, body.ljust(size))
        assert answer.status == 413
        assert json.loads(answer.body)["error"] == "Payload size too large"


def test_targets_arrive_as_they_were_sent(nginx: Nginx, redis_url: str) -> None:
    """Node's raw quotes and braces, and the many tags of one visitor, in the target of a GET."""
    tags = json.dumps({f"tag{n}": "a%22b" for n in range(1_500)}).replace(" ", "")
    target = f"/server-side/push?account_id={ACCOUNT}&env={KEY}&u=A&sId=1&tags={tags}"
    assert len(target) > 20_000

    assert nginx.get(target).status == 200
    (event,) = all_stored(redis_url)
    assert json.loads(json.loads(event)["t"])["tag7"] == 'a"b'


def test_slow_clients_occupy_nginx_and_not_the_relay(
    relay: RelayServer, nginx: Nginx, redis_url: str
) -> None:
    """More half-sent requests than the relay has connections, and the relay sees none of them."""
    slow = 600
    whole = request(FME, BODY)
    with ExitStack() as opened:
        socks = [opened.enter_context(nginx.connect()) for _ in range(slow)]
        for sock in socks:
            sock.sendall(whole[:-1])

        assert nginx.post(FME, BODY).status == 200
        assert len(relay.server.server_state.connections) <= 2
        for sock in socks[:20]:
            sock.sendall(whole[-1:])
        assert [read_answer(sock).status for sock in socks[:20]] == [200] * 20

    assert len(all_stored(redis_url)) == 21


def test_connections_to_the_relay_are_kept(relay: RelayServer, nginx: Nginx) -> None:
    """Requests of many clients share a few connections to the relay."""
    before = relay.server.server_state.total_requests
    for _ in range(50):
        assert nginx.post(FME, BODY).status == 200

    assert relay.server.server_state.total_requests - before == 50
    assert len(relay.server.server_state.connections) <= 8


def test_a_relay_that_is_away_is_503(nginx: Nginx, relay: RelayServer) -> None:
    """An SDK is told to send again, in JSON; nginx' log says so without query."""
    away = free_port()
    with fronting(away, folder=nginx.process.log_path.parent / "away") as other:
        answer = other.post(FME, BODY)
        other.process.wait_for_log(" 503 upstream=502")

    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert json.loads(answer.body)["message"] == "no relay answers; send it again"
    assert KEY not in other.process.log()
    assert "env=" not in other.process.log()


def test_a_relay_that_restarts_is_unnoticed_beside_another(redis_url: str, tmp_path: Path) -> None:
    """Clients that close at once do not repeat; with a second relay behind nginx all are stored."""
    with ExitStack() as ending, relaying(redis_url) as second:
        first = ending.enter_context(relaying(redis_url))
        with fronting(first.port, second.port, folder=tmp_path) as nginx:
            for number in range(CLIENTS):
                if number == CLIENTS // 3:
                    ending.close()  # as SIGTERM does
                fire(nginx, number)
            wait_until(lambda: len(all_stored(redis_url)) >= CLIENTS, what="all events")

    assert len(set(all_stored(redis_url))) == CLIENTS


def test_a_relay_without_room_hands_over_to_another(redis_url: str, tmp_path: Path) -> None:
    """A 503 of one relay is not the client's while another takes the events."""
    with (
        relaying("redis://127.0.0.1:9/0", spool_dir="") as full,
        relaying(redis_url) as other,
        fronting(full.port, other.port, folder=tmp_path) as nginx,
    ):
        assert full.post(FME, BODY).status == 503
        assert [nginx.post(FME, BODY).status for _ in range(6)] == [200] * 6
    assert len(all_stored(redis_url)) == 6


def test_a_client_cannot_choose_its_address(redis_url: str, tmp_path: Path) -> None:
    """X-Forwarded-For is the address that nginx sees, whatever the client says of itself."""
    with (
        relaying(redis_url, relay_allowed_origins=["https://shop.example"]) as relay,
        fronting(relay.port, folder=tmp_path) as nginx,
    ):
        headers = {"Origin": "https://shop.example", "User-Agent": "Browser"}
        headers["X-Forwarded-For"] = "6.6.6.6"
        assert nginx.post(f"{EVENT}&dh=1", b'{"d":{"n":1}}', headers).status == 200

    (event,) = all_stored(redis_url)
    assert json.loads(event)["d"]["visitor_ip"] == "127.0.0.1"


def test_a_client_that_leaves_is_none_to_the_relay(nginx: Nginx, redis_url: str) -> None:
    """The relay counts no client that left before its answer, since nginx waits for it."""
    left = counts()["left"]
    for number in range(CLIENTS):
        fire(nginx, number)

    wait_until(lambda: len(all_stored(redis_url)) == CLIENTS, what="all events")
    assert counts()["left"] == left


def test_nothing_of_nginx_names_a_query(nginx: Nginx) -> None:
    """Refused requests are logged by their path."""
    assert nginx.post("/nothing?env=" + KEY, BODY).status == 404
    nginx.process.wait_for_log("POST /nothing 404 upstream=404")
    nginx.ask(b"GET /?env=" + KEY.encode() + b"\x00 HTTP/1.1\r\nHost: a\r\n\r\n")

    assert "env=" not in nginx.process.log()
