"""Each batch ends at its deadline, whatever part of the exchange the server delays."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from tools import http_servers as servers
from tools.senders import (
    BIG_BODY,
    BODY,
    DEADLINE_SECONDS,
    ENDED_BY_SECONDS,
    MakeSender,
    send_by_deadline,
)
from vwo_celery.sending.outcomes import Failure


def test_trickled_headers_end_at_the_deadline(
    make_sender: MakeSender, scheme_tls: ssl.SSLContext | None
) -> None:
    """Headers that arrive byte by byte end at the deadline, although no single byte is late."""
    head = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 1_000
    with servers.Server(servers.trickling(head), tls=scheme_tls) as server:
        answer = send_by_deadline(make_sender(server.url, seconds=DEADLINE_SECONDS))

    assert answer.failure is Failure.TIMEOUT
    assert DEADLINE_SECONDS <= answer.elapsed_seconds < ENDED_BY_SECONDS


@pytest.mark.parametrize("status", [200, 503])
def test_a_trickled_body_ends_at_the_deadline_and_the_status_stands(
    make_sender: MakeSender, scheme_tls: ssl.SSLContext | None, status: int
) -> None:
    """Once the status is there, a late body changes nothing; the connection is not used again."""
    head, body = servers.answer_bytes(status, b"x" * 1_000).split(b"\r\n\r\n")
    script = servers.trickling(body, at_once=head + b"\r\n\r\n")
    with servers.Server(script, tls=scheme_tls) as server:
        sender = make_sender(server.url, seconds=DEADLINE_SECONDS)
        answers = [send_by_deadline(sender) for _ in range(2)]

        assert [answer.status for answer in answers] == [status, status]
        assert len(server.connections) == 2


@pytest.mark.parametrize("script", [servers.reading_nothing, servers.reading_slowly])
def test_a_server_that_hardly_reads_ends_at_the_deadline(
    make_sender: MakeSender, scheme_tls: ssl.SSLContext | None, script: servers.Script
) -> None:
    """A server that reads the body slowly or not at all is cut off at the deadline."""
    with servers.Server(script, tls=scheme_tls) as server:
        answer = send_by_deadline(make_sender(server.url, seconds=DEADLINE_SECONDS), BIG_BODY)

    assert answer.failure is Failure.TIMEOUT
    assert answer.elapsed_seconds < DEADLINE_SECONDS + 2.0  # by then, half of it would be read


def test_a_host_that_does_not_accept_ends_at_the_deadline(make_sender: MakeSender) -> None:
    """Connecting counts towards the deadline."""
    with servers.black_hole() as port:
        sender = make_sender(f"http://127.0.0.1:{port}", seconds=DEADLINE_SECONDS)
        answer = send_by_deadline(sender)

    assert answer.failure is Failure.TIMEOUT


def test_an_address_that_does_not_accept_leaves_time_for_the_next(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the first of a host's two addresses is dead, the second is reached in time."""
    resolve = socket.getaddrinfo

    def both(host: str, *args: Any) -> list[Any]:
        hosts = ["127.0.0.1", "127.0.0.2"] if host == "vwo-celery.invalid" else [host]
        return [found for name in hosts for found in resolve(name, *args)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with (
        servers.black_hole() as port,
        servers.Server(servers.answering(), address=("127.0.0.2", port)),
    ):
        sender = make_sender(f"http://vwo-celery.invalid:{port}", seconds=2.0)
        answer = sender.send(BODY, events=1)

    assert answer.status == 200


def test_a_tls_handshake_that_hangs_ends_at_the_deadline(make_sender: MakeSender) -> None:
    """The handshake counts towards the deadline."""
    with servers.Server(servers.reading_nothing) as server:
        url = server.url.replace("http:", "https:")
        answer = send_by_deadline(make_sender(url, seconds=DEADLINE_SECONDS))

    assert answer.failure is Failure.TIMEOUT


def test_a_proxy_that_trickles_ends_at_the_deadline(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's answer to CONNECT counts towards the deadline."""
    head = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 1_000

    def serve(connection: servers.Connection) -> None:
        connection.read_head()
        connection.trickle(head)

    with servers.Server(serve) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        answer = send_by_deadline(make_sender("https://127.0.0.1:9", seconds=DEADLINE_SECONDS))

    assert answer.failure in (Failure.TIMEOUT, Failure.PROXY)  # by the release of urllib3
    assert "timed out" in answer.detail


@pytest.mark.parametrize("hangs_in", ["handshake", "answer"])
def test_time_spent_in_the_proxy_is_not_given_again(
    make_sender: MakeSender,
    monkeypatch: pytest.MonkeyPatch,
    tls: ssl.SSLContext,
    trusted: None,
    hangs_in: str,
) -> None:
    """CONNECT, handshake and answer share one deadline, however it is spread over them."""

    def slow_tunnel(connection: servers.Connection) -> None:
        connection.stopped.wait(1.8)
        servers.tunnelling(connection)

    with (
        servers.Server(
            servers.reading_nothing, tls=tls if hangs_in == "answer" else None
        ) as server,
        servers.Server(slow_tunnel) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        sender = make_sender(f"https://127.0.0.1:{server.port}", seconds=2.0)
        answer = sender.send(BODY, events=1)

    assert answer.failure in (Failure.TIMEOUT, Failure.PROXY)  # by the release of urllib3
    assert "timed out" in answer.detail
    assert answer.elapsed_seconds < 3.5


def test_a_kept_connection_begins_each_batch_with_a_full_deadline(make_sender: MakeSender) -> None:
    """Each batch on a kept connection has the full deadline: the time of earlier ones does not count."""

    def serve(connection: servers.Connection) -> None:
        while connection.read_request():
            connection.stopped.wait(0.3)
            connection.send(servers.answer_bytes())

    with servers.Server(serve) as server:
        sender = make_sender(server.url, seconds=1.0)
        answers = [sender.send(BODY, events=1) for _ in range(4)]

        assert [answer.status for answer in answers] == [200] * 4
        assert len(server.connections) == 1
