"""The sender against real servers: its request, the answer, and the deadline."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests.exceptions
import trustme
import urllib3.exceptions

from tools import http_servers as servers
from vwo_celery.destinations import Destination, Generation
from vwo_celery.errors import DestinationError, HostRefused
from vwo_celery.events import MAX_BODY_BYTES, MAX_EVENTS_PER_REQUEST
from vwo_celery.sending import sender as sender_module
from vwo_celery.sending.failures import FAILURES, explain
from vwo_celery.sending.hosts import host_allowed
from vwo_celery.sending.outcomes import Answer, Failure
from vwo_celery.sending.sender import Sender, Senders

#: Has characters that a URL must encode, and some special to regular expressions.
KEY = r"0123456789abcdef/+.*0123456789ABC\1F"
BODY = b'{"ev":[{"d":{}}]}'
BIG_BODY = b"x" * (MAX_BODY_BYTES - 1)
DEADLINE_SECONDS = 0.5
#: Generous limit in seconds for busy machines; without a deadline these tests would take 30
#: seconds.
ENDED_BY_SECONDS = 5.0

MakeSender = Callable[..., Sender]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no CA bundle except those a test sets."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts by default."""
    return trustme.CA()


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS, for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Make the sender trust the authority, as an operator does."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    return


@pytest.fixture(params=["http", "https"])
def scheme_tls(
    request: pytest.FixtureRequest, tls: ssl.SSLContext, trusted: None
) -> ssl.SSLContext | None:
    """None for http, a context for https."""
    return tls if request.param == "https" else None


@pytest.fixture
def make_sender() -> Iterator[MakeSender]:
    """Make senders that are closed after the test."""
    made: list[Sender] = []

    def make(base_url: str, *, seconds: float = 20.0, generation: Generation = "fme") -> Sender:
        destination = Destination(
            account_id=1, sdk_key=KEY, generation=generation, base_url=base_url
        )
        hosts = ["127.0.0.1", "localhost", "vwo-celery.invalid"]
        made.append(Sender(destination, request_timeout_seconds=seconds, allowed_hosts=hosts))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def send_by_deadline(sender: Sender, body: bytes = BODY) -> Answer:
    """Send, and check by a generous clock that it took no longer than the deadline."""
    began = time.monotonic()
    answer = sender.send(body, events=1)
    assert time.monotonic() - began < ENDED_BY_SECONDS
    return answer


# --- the request -----------------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["fme", "legacy"])
def test_the_request_is_the_sdks(make_sender: MakeSender, generation: Generation) -> None:
    """Path, query, key, content type and body are those of the destination."""
    with servers.Server(servers.answering()) as server:
        sender = make_sender(server.url, generation=generation)
        answer = sender.send(BODY, events=1)

        (request,) = server.requests
        assert answer.status == 200
        assert request.line == f"POST {sender.destination.url.removeprefix(server.url)} HTTP/1.1"
        assert request.headers["authorization"] == KEY
        assert request.headers["content-type"] == "application/json"
        assert request.headers["content-length"] == str(len(BODY))
        assert request.headers["user-agent"].startswith(
            "vwo-python-sdk" if generation == "legacy" else "python-requests/"
        )
        assert request.body == BODY


@pytest.mark.parametrize(
    "answer",
    [
        servers.answer_bytes(),
        servers.answer_bytes(status=500, body=b'{"message":"no"}'),
        servers.answer_bytes(status=204, body=b""),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_batches_share_a_connection(
    make_sender: MakeSender, answer: bytes, scheme_tls: ssl.SSLContext | None
) -> None:
    """The second batch uses the connection of the first, whatever the first answer was."""
    with servers.Server(servers.saying(answer), tls=scheme_tls) as server:
        sender = make_sender(server.url)
        statuses = [sender.send(BODY, events=1).status for _ in range(2)]

        assert statuses[0] == statuses[1] is not None
        assert [len(connection.requests) for connection in server.connections] == [2]


def test_a_closed_connection_is_not_reused(make_sender: MakeSender) -> None:
    """An answer with "Connection: close" is read to its end; the next batch opens a new connection."""
    with servers.Server(servers.answering(503, b'{"message":"m"}', Connection="close")) as server:
        sender = make_sender(server.url)
        answers = [sender.send(BODY, events=1) for _ in range(2)]

        assert [answer.detail for answer in answers] == ["m", "m"]
        assert len(server.connections) == 2


def test_an_interim_answer_is_never_taken_for_the_next(make_sender: MakeSender) -> None:
    """After a 103 without its final answer, the next batch opens a new connection."""
    with servers.Server(servers.saying(b"HTTP/1.1 103 Early Hints\r\n\r\n")) as server:
        sender = make_sender(server.url)
        statuses = [sender.send(BODY, events=1).status for _ in range(2)]

        assert statuses == [103, 103]
        assert [len(connection.requests) for connection in server.connections] == [1, 1]


@pytest.mark.parametrize(
    ("body", "events", "failure"),
    [
        (b"x" * (MAX_BODY_BYTES + 1), 1, Failure.BODY_TOO_LARGE),
        (BODY, MAX_EVENTS_PER_REQUEST + 1, Failure.TOO_MANY_EVENTS),
    ],
)
def test_a_body_over_the_bounds_is_not_sent(
    make_sender: MakeSender, body: bytes, events: int, failure: Failure
) -> None:
    """A body that VWO would certainly answer with 413 is not sent."""
    with servers.Server(servers.answering()) as server:
        answer = make_sender(server.url).send(body, events=events)

        assert answer.failure is failure
        assert server.connections == []


def test_a_body_at_the_bounds_is_sent(make_sender: MakeSender) -> None:
    """The largest batch that VWO accepts is sent."""
    body = b"x" * MAX_BODY_BYTES
    with servers.Server(servers.answering()) as server:
        answer = make_sender(server.url).send(body, events=MAX_EVENTS_PER_REQUEST)

        assert answer.status == 200
        assert server.requests[0].body == body


def test_netrc_does_not_replace_the_key(
    make_sender: MakeSender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for the host in ~/.netrc does not replace the Authorization header."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with servers.Server(servers.answering()) as server:
        make_sender(server.url).send(BODY, events=1)

        assert server.requests[0].headers["authorization"] == KEY


def test_a_redirect_is_not_followed(make_sender: MakeSender) -> None:
    """A redirect is not followed: its target gets no request, and never sees the key."""
    with servers.Server(servers.answering()) as elsewhere:
        redirect = servers.answering(307, Location=f"{elsewhere.url}/x")
        with servers.Server(redirect) as server:
            answer = make_sender(server.url).send(BODY, events=1)

        assert answer.status == 307
        assert elsewhere.connections == []


# --- the deadline ----------------------------------------------------------------------------


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


# --- the answer ------------------------------------------------------------------------------


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


# --- TLS and proxies -------------------------------------------------------------------------


def test_an_unknown_certificate_is_refused(make_sender: MakeSender, tls: ssl.SSLContext) -> None:
    """Without its authority in the bundle, a server gets nothing of the batch."""
    with servers.Server(servers.answering(), tls=tls) as server:
        answer = make_sender(server.url).send(BODY, events=1)

        assert answer.failure is Failure.TLS
        assert "certificate verify failed" in answer.detail
        assert server.requests == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_own_ca_bundle_is_used(
    make_sender: MakeSender,
    tls: ssl.SSLContext,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    """A company's own authority is accepted once requests is configured with it."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    with servers.Server(servers.answering(), tls=tls) as server:
        assert make_sender(server.url).send(BODY, events=1).status == 200


def test_https_goes_through_the_proxy(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext, trusted: None
) -> None:
    """HTTPS_PROXY is used by CONNECT: it learns host and port, never the key; the connection is kept."""
    with (
        servers.Server(servers.answering(), tls=tls) as server,
        servers.Server(servers.tunnelling) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//someone:secret@"))
        sender = make_sender(server.url)
        statuses = [sender.send(BODY, events=1).status for _ in range(2)]

        (request,) = proxy.requests
        assert statuses == [200, 200]
        assert request.line.startswith(f"CONNECT 127.0.0.1:{server.port} ")
        assert request.headers["proxy-authorization"].startswith("Basic ")
        assert KEY not in str(request)


def test_http_goes_through_the_proxy(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY gets the whole URL."""
    with servers.Server(servers.answering()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        answer = make_sender("http://127.0.0.1:9").send(BODY, events=1)

        assert answer.status == 200
        assert proxy.requests[0].line.startswith("POST http://127.0.0.1:9/server-side/")


def test_no_proxy_is_obeyed(make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in NO_PROXY is connected to directly."""
    with (
        servers.Server(servers.answering()) as server,
        servers.Server(servers.answering()) as proxy,
    ):
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
        answer = make_sender(server.url).send(BODY, events=1)

        assert answer.status == 200
        assert (len(server.requests), len(proxy.requests)) == (1, 0)


def refusing(connection: servers.Connection) -> None:
    """A proxy that refuses every request."""
    connection.read_head()
    connection.send(servers.answer_bytes(407))


def test_a_refusing_proxy_is_a_proxy_failure(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused CONNECT is a proxy failure and not VWO's answer; the proxy's password is not shown."""
    with servers.Server(refusing) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//someone:secret@"))
        answer = make_sender("https://127.0.0.1:9").send(BODY, events=1)

    assert answer.failure is Failure.PROXY
    assert "407" in answer.detail
    assert "secret" not in answer.detail


@pytest.mark.parametrize(
    "proxy",
    [
        "http://a:secret@127.0.0.1:1",
        "http://a:secret@127.0.0.1:99999",
        "socks5h://a:secret@127.0.0.1:1",
        "http://",
    ],
)
def test_a_proxy_that_is_not_there_is_a_proxy_failure(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """An unreachable proxy is a proxy failure, not one of the destination."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    answer = make_sender("https://127.0.0.1:9").send(BODY, events=1)

    assert answer.failure is Failure.PROXY
    assert "secret" not in answer.detail


def unreaching(connection: servers.Connection) -> None:
    """A proxy that does not reach the host."""
    connection.read_head()
    connection.send(servers.answer_bytes(503))


def test_a_proxy_that_does_not_reach_the_host_is_the_hosts_failure(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that works and answers CONNECT with 5xx tells of the host: all workers would get it."""
    with servers.Server(unreaching) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        answer = make_sender("https://127.0.0.1:9").send(BODY, events=1)

    assert answer.failure is Failure.CONNECTION
    assert "503" in answer.detail


@pytest.mark.parametrize("content", [None, "", "no certificate"], ids=["missing", "empty", "other"])
def test_a_ca_bundle_that_cannot_be_loaded_is_named(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    """A CA bundle that is missing or no bundle is this worker's own trouble; nothing is sent."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with servers.Server(servers.answering()) as server:
        answer = make_sender(server.url.replace("http:", "https:")).send(BODY, events=1)

    assert answer.failure is Failure.CA_BUNDLE
    assert str(bundle) in answer.detail
    assert server.requests == []


# --- the key stays here ----------------------------------------------------------------------


def test_an_echoed_key_is_masked(make_sender: MakeSender) -> None:
    """A key that a server repeats, plain or URL-encoded, is masked in our logs."""
    echo = {"message": f"bad {KEY} in ?env={quote(KEY)} and {quote_plus(KEY).lower()}"}
    with servers.Server(servers.answering(401, json.dumps(echo).encode())) as server:
        sender = make_sender(server.url)
        answer = sender.send(BODY, events=1)

    assert answer.detail.startswith("bad …")
    assert "456789" not in answer.detail
    assert "456789" not in repr(sender)


@pytest.mark.parametrize("answer", [servers.answer_bytes(), b"HTTP/1.1 200 OK\r\n oops\r\n\r\n"])
def test_urllib3_does_not_log_the_key(
    make_sender: MakeSender, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    """urllib3 logs URLs at DEBUG, and at WARNING for unusual headers; the key in them is masked."""
    caplog.set_level(logging.DEBUG)
    with servers.Server(servers.saying(answer)) as server:
        sender = make_sender(server.url, seconds=DEADLINE_SECONDS)
        sender.send(BODY, events=1)

    assert "env=***" in caplog.text
    assert "456789" not in caplog.text


@pytest.mark.parametrize(
    ("key", "base_url"),
    [
        (f" {KEY}", ""),  # requests' error for this header would quote its value
        (f"\N{GREEK SMALL LETTER ALPHA}{KEY}", ""),
        (KEY, f"http://{'a' * 64}"),
    ],
)
def test_what_http_cannot_carry_reaches_no_sender(key: str, base_url: str) -> None:
    """A key or host that HTTP cannot carry is refused as a destination, without showing the key."""
    with pytest.raises(DestinationError) as refused:
        Destination(account_id=1, sdk_key=key, generation="fme", base_url=base_url)

    assert "456789" not in str(refused.value)


# --- allowed hosts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "allowed_hosts", "allowed"),
    [
        ("", [], True),
        ("https://collect.wingify.net", [], True),
        ("https://DEV.visualwebsiteoptimizer.com:443", [], True),
        ("https://dev.visualwebsiteoptimizer.com:8443", [], False),
        ("http://dev.visualwebsiteoptimizer.com", [], False),
        ("http://dev.visualwebsiteoptimizer.com", ["dev.visualwebsiteoptimizer.com"], True),
        ("https://evil.dev.visualwebsiteoptimizer.com", [], False),
        ("https://dev.visualwebsiteoptimizer.com.evil.example", [], False),
        ("https://evil.example", ["other.example"], False),
        ("https://evil.example", ["vil.example"], False),
        ("https://ours.example", ["OURS.example "], True),
        ("https://ours.example:8443", ["ours.example"], True),
        ("https://ours.example:8443", ["ours.example:8443"], True),
        ("https://ours.example:8444", ["ours.example:8443"], False),
        ("https://ours.example", ["ours.example:443"], True),
        ("http://ours.example", ["ours.example:443"], False),
        ("http://[::1]:8080", ["[::1]:8080"], True),
        ("http://[::1]:8080", ["::1"], True),
        ("http://[::1]:8080", [], False),
    ],
)
def test_only_allowed_hosts_are_sent_to(
    base_url: str, allowed_hosts: list[str], allowed: bool
) -> None:
    """Events go to VWO's hosts by https and to those in this worker's settings, to no similar ones."""
    destination = Destination(account_id=1, sdk_key=KEY, generation="fme", base_url=base_url)

    assert host_allowed(destination, allowed_hosts) is allowed


@pytest.mark.parametrize(
    "base_url",
    [
        "https://dev.visualwebsiteoptimizer.com\\.evil.example",
        "https://:x@dev.visualwebsiteoptimizer.com@evil.example",
        "http://ours.example:99999",
    ],
)
def test_a_url_made_to_deceive_is_no_destination(base_url: str) -> None:
    """A URL of which two parsers read different hosts, or no port, is refused before a sender sees it."""
    with pytest.raises(DestinationError):
        Destination(account_id=1, sdk_key=KEY, generation="fme", base_url=base_url)


def test_a_refused_host_is_named_with_the_remedy() -> None:
    """The error names the refused host and the setting that would allow it."""
    destination = Destination(
        account_id=1, sdk_key=KEY, generation="fme", base_url="https://evil.example:1"
    )

    with pytest.raises(HostRefused, match=r"evil\.example:1.*allowed_hosts") as caught:
        Sender(destination, request_timeout_seconds=20)
    assert "456789" not in str(caught.value)


# --- many destinations, processes, threads and greenlets ---------------------------------------


def destination_of_account(account_id: int) -> Destination:
    """A destination that no test sends to."""
    return Destination(account_id=account_id, sdk_key=KEY, generation="fme")


def test_senders_keeps_one_for_each_destination() -> None:
    """Equal destinations share a sender; others have their own."""
    kept = Senders(request_timeout_seconds=20)

    first = kept.get(destination_of_account(1))

    assert kept.get(destination_of_account(1)) is first
    assert kept.get(destination_of_account(2)) is not first


def test_senders_forgets_the_one_used_longest_ago() -> None:
    """Ten thousand queues do not keep ten thousand senders, and a busy one is not forgotten."""
    kept = Senders(request_timeout_seconds=20)
    busy, idle = kept.get(destination_of_account(1)), kept.get(destination_of_account(2))

    for number in range(3, 1_500):
        kept.get(destination_of_account(number))
        assert kept.get(destination_of_account(1)) is busy

    assert kept.get(destination_of_account(2)) is not idle


def test_accounts_at_one_host_share_its_connection() -> None:
    """A hundred accounts at one host, each sent to twice, use one connection."""
    with servers.Server(servers.answering()) as server:
        kept = Senders(request_timeout_seconds=20, allowed_hosts=["127.0.0.1"])
        accounts = [
            Destination(account_id=number, sdk_key=KEY, generation="fme", base_url=server.url)
            for number in range(1, 101)
        ]
        for destination in accounts * 2:
            assert kept.get(destination).send(BODY, events=1).status == 200

        assert [len(connection.requests) for connection in server.connections] == [200]
        kept.close()


def test_each_of_many_hosts_keeps_its_connection() -> None:
    """Sent to in turn, each of 70 hosts gets its second batch over the connection of its first."""
    with ExitStack() as stack:
        hosts = [stack.enter_context(servers.Server(servers.answering())) for _ in range(70)]
        kept = Senders(request_timeout_seconds=20, allowed_hosts=["127.0.0.1"])
        stack.callback(kept.close)
        for server in hosts * 2:
            destination = Destination(
                account_id=1, sdk_key=KEY, generation="fme", base_url=server.url
            )
            assert kept.get(destination).send(BODY, events=1).status == 200

        assert [len(server.connections) for server in hosts] == [1] * 70


def test_idle_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound, the connection to the host used longest ago is closed."""
    monkeypatch.setattr(sender_module, "_MOST_HOSTS", 2)
    with ExitStack() as stack:
        hosts = [stack.enter_context(servers.Server(servers.answering())) for _ in range(3)]
        kept = Senders(request_timeout_seconds=20, allowed_hosts=["127.0.0.1"])
        stack.callback(kept.close)
        for server in (hosts[0], hosts[1], hosts[0], hosts[2], hosts[0], hosts[1]):
            destination = Destination(
                account_id=1, sdk_key=KEY, generation="fme", base_url=server.url
            )
            assert kept.get(destination).send(BODY, events=1).status == 200

        assert [len(server.connections) for server in hosts] == [1, 2, 1]


def test_senders_refuses_hosts() -> None:
    """A registration cannot make a worker send elsewhere."""
    elsewhere = Destination(
        account_id=1, sdk_key=KEY, generation="fme", base_url="https://evil.example"
    )

    with pytest.raises(HostRefused):
        Senders(request_timeout_seconds=20).get(elsewhere)


def test_threads_share_a_sender(make_sender: MakeSender) -> None:
    """Threads of one process may send at once; each keeps its own connection."""
    together = threading.Barrier(4)
    answers: list[Answer] = []

    def serve(connection: servers.Connection) -> None:
        while connection.read_request():
            together.wait(servers.LONGEST_WAIT_SECONDS)
            connection.send(servers.answer_bytes())

    with servers.Server(serve) as server:
        sender = make_sender(server.url)

        def send() -> None:
            answers.extend(sender.send(BODY, events=1) for _ in range(3))

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(servers.LONGEST_WAIT_SECONDS)

        assert [answer.status for answer in answers] == [200] * 12
        assert len(server.connections) == 4


def run_python(program: str, *arguments: str) -> str:
    """The output of a program in its own process, with `sender` to the server of its first argument."""
    made = f"""
        import sys
        from vwo_celery.destinations import Destination
        from vwo_celery.sending.sender import Sender
        destination = Destination(
            account_id=1, sdk_key={KEY!r}, generation="fme", base_url=sys.argv[1])
        sender = Sender(
            destination, request_timeout_seconds={DEADLINE_SECONDS}, allowed_hosts=["127.0.0.1"])
    """
    source = textwrap.dedent(program).replace("MAKE_SENDER", textwrap.dedent(made))
    ran = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", source, *arguments],
        capture_output=True, text=True, check=False, timeout=servers.LONGEST_WAIT_SECONDS,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_forked_child_has_its_own_connection() -> None:
    """A child never writes into its parent's connection, which the parent can still use."""
    program = """
        import os
        MAKE_SENDER
        before = sender.send(b"{}", events=1).status
        child = os.fork()
        if child == 0:
            os._exit(sender.send(b"{}", events=1).status == 200)
        _, status = os.waitpid(child, 0)
        print(before, os.waitstatus_to_exitcode(status), sender.send(b"{}", events=1).status)
    """
    with servers.Server(servers.answering()) as server:
        printed = run_python(program, server.url)

        assert printed == "200 1 200"
        assert [len(connection.requests) for connection in server.connections] == [2, 1]


def test_greenlets_keep_their_deadlines_at_once() -> None:
    """Under gevent the deadline holds as well, and a slow server delays no other greenlet."""
    program = """
        from gevent import monkey; monkey.patch_all()
        import gevent, time
        MAKE_SENDER
        began = time.monotonic()
        sent = [gevent.spawn(sender.send, b"{}", events=1) for _ in range(10)]
        gevent.joinall(sent)
        print({greenlet.value.failure.value for greenlet in sent}, time.monotonic() - began < 4)
    """
    with servers.Server(servers.trickling(b"HTTP/1.1 200 OK\r\n" + b"y" * 1_000)) as server:
        assert run_python(program, server.url) == "{'timeout'} True"


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
