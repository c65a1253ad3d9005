"""What the sender makes of an answer, of none, and of every exception of the libraries."""

from __future__ import annotations

import gzip
import http.client
import socket
import ssl

import pytest
import requests.exceptions
import urllib3.exceptions

from tools import http_servers as servers
from tools.senders import BIG_BODY, BODY, MakeSender, send_by_deadline
from vwo_celery.sending.failures import FAILURES, explain
from vwo_celery.sending.outcomes import Failure


def test_no_more_than_the_bound_is_read_of_an_answer(make_sender: MakeSender) -> None:
    """An answer of a gigabyte is read up to the bound, and its connection closed."""
    with servers.Server(servers.answering_endlessly) as server:
        sender = make_sender(server.url)
        answers = [send_by_deadline(sender) for _ in range(2)]

        assert [answer.status for answer in answers] == [200, 200]
        assert all(connection.sent_bytes < 100_000_000 for connection in server.connections)
        assert len(server.connections) == 2


def test_a_compressed_bomb_stays_small(make_sender: MakeSender) -> None:
    """Ten megabytes of zeros, sent as ten kilobytes, are not unpacked."""
    bomb = gzip.compress(b"0" * 10_000_000)
    with servers.Server(servers.answering(500, bomb, Content_Encoding="gzip")) as server:
        answer = make_sender(server.url).send(BODY, events=1)

    assert (answer.status, answer.detail) == (500, "")


@pytest.mark.parametrize(
    ("body", "headers", "detail"),
    [
        (b'{"error":"Payload size too large"}', {}, "Payload size too large"),
        (b'{"message":"Account\\nid not found"}', {}, "Account id not found"),
        (b'{"error":{"code":7}}', {}, '{"code":7}'),
        (gzip.compress(b'{"error":"packed"}', mtime=0), {"Content_Encoding": "gzip"}, "packed"),
        (b'{"error":"' + b"long " * 1_000 + b'"}', {}, ("long " * 1_000)[:200]),
        (b"<html>no</html>", {}, ""),
        (b"[" * 60_000, {}, ""),
        (b'"text"', {}, ""),
        (b"", {}, ""),
    ],
)
def test_the_detail_is_what_vwo_says(
    make_sender: MakeSender, body: bytes, headers: dict[str, str], detail: str
) -> None:
    """The detail is the `error` or `message` of a JSON object, on one line and cut; otherwise nothing."""
    with servers.Server(servers.answering(400, body, **headers)) as server:
        answer = make_sender(server.url).send(BODY, events=1)

    assert answer.detail == detail


def test_retry_after_is_passed_on(make_sender: MakeSender) -> None:
    """The Retry-After header is passed on unchanged."""
    with servers.Server(servers.answering(429, Retry_After="17")) as server:
        assert make_sender(server.url).send(BODY, events=1).retry_after == "17"


def test_an_early_413_is_heard(make_sender: MakeSender, scheme_tls: ssl.SSLContext | None) -> None:
    """An early 413, sent before the body was read, is understood; the next batch is sent as usual."""

    def serve(connection: servers.Connection) -> None:
        request = connection.read_head()
        if request is not None:
            large = int(request.headers["content-length"]) > 1_000
            connection.send(servers.answer_bytes(413 if large else 200))

    with servers.Server(serve, tls=scheme_tls) as server:
        sender = make_sender(server.url)
        statuses = [sender.send(body, events=1).status for body in (BIG_BODY, b"")]

    assert statuses == [413, 200]


def test_an_early_200_is_no_delivery(
    make_sender: MakeSender, scheme_tls: ssl.SSLContext | None
) -> None:
    """An early 200, sent before the body was read, is no delivery; the next batch is sent as usual."""

    def serve(connection: servers.Connection) -> None:
        connection.read_head()
        connection.send(servers.answer_bytes(200))

    with servers.Server(serve, tls=scheme_tls) as server:
        sender = make_sender(server.url)
        answers = [sender.send(body, events=1) for body in (BIG_BODY, b"")]

    assert answers[0].failure is Failure.CONNECTION
    assert answers[1].status == 200


def test_a_reset_is_not_retried_by_the_sender(make_sender: MakeSender) -> None:
    """A connection that breaks after the request is one attempt; the queue makes the next one."""
    with servers.Server(servers.hanging_up) as server:
        answer = make_sender(server.url).send(BODY, events=1)

        assert answer.failure is Failure.CONNECTION
        assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_not_http_is_an_invalid_answer(make_sender: MakeSender, answer: bytes) -> None:
    """The greeting of another protocol is no status."""
    with servers.Server(servers.saying(answer)) as server:
        assert make_sender(server.url).send(BODY, events=1).failure is Failure.INVALID_ANSWER


def test_a_refused_port_is_a_connection_failure(make_sender: MakeSender) -> None:
    """If nobody listens, the detail is the operating system's error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    answer = make_sender(url).send(BODY, events=1)

    assert answer.failure is Failure.CONNECTION
    assert "refused" in answer.detail


def test_an_unknown_name_is_a_dns_failure(make_sender: MakeSender) -> None:
    """A name that cannot be resolved is a DNS failure (RFC 6761: .invalid never can)."""
    answer = make_sender("http://vwo-celery.invalid").send(BODY, events=1)

    assert answer.failure is Failure.DNS


# --- the libraries' exceptions ---------------------------------------------------------------


def subclasses(base: type[Exception]) -> set[type[Exception]]:
    """*base* and all its subclasses."""
    return {base}.union(*(subclasses(kind) for kind in base.__subclasses__()))


def of_module(module: object, base: type[Exception]) -> list[type[Exception]]:
    """The exceptions of a module that derive from *base*."""
    kinds = (kind for kind in vars(module).values() if isinstance(kind, type))
    return sorted(
        (kind for kind in kinds if issubclass(kind, base)), key=lambda kind: kind.__name__
    )


@pytest.mark.parametrize(
    "kind", of_module(requests.exceptions, requests.exceptions.RequestException)
)
def test_every_exception_of_requests_is_mapped(kind: type[Exception]) -> None:
    """Every exception of requests is mapped: a new one fails this test before an operator meets it."""
    assert kind in FAILURES


@pytest.mark.parametrize(
    "kind",
    [
        *of_module(urllib3.exceptions, urllib3.exceptions.HTTPError),
        *of_module(http.client, http.client.HTTPException),
        *sorted(subclasses(OSError), key=lambda kind: kind.__name__),
    ],
)
def test_every_exception_below_has_a_mapped_base(kind: type[Exception]) -> None:
    """Every exception of urllib3, http.client and the operating system has a mapped base."""
    assert any(base in FAILURES for base in kind.__mro__)


@pytest.mark.parametrize(
    ("exc", "failure"),
    [
        (TimeoutError("late"), Failure.TIMEOUT),
        (socket.gaierror(-2, "unknown"), Failure.DNS),
        (ssl.SSLEOFError("eof"), Failure.TLS),
        (ConnectionResetError(104, "reset"), Failure.CONNECTION),
        (http.client.RemoteDisconnected("gone"), Failure.CONNECTION),
        (http.client.BadStatusLine("x"), Failure.INVALID_ANSWER),
    ],
)
def test_a_wrapped_reason_counts(exc: Exception, failure: Failure) -> None:
    """If the libraries say only "connection error", the innermost reason decides."""
    wrapped = requests.exceptions.ConnectionError(
        urllib3.exceptions.ProtocolError("Connection aborted.", exc)
    )

    assert explain(wrapped) == (failure, str(exc))
