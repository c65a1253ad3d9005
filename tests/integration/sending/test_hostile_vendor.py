"""Malicious answers from VWO's address cost bounded memory, and never learn the key."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import gzip
import logging
import ssl
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tools import http_servers as servers
from tools.waiting import wait_until
from vwo_celery.destinations import Destination
from vwo_celery.sending.outcomes import OUTCOMES, Answer, Failure, Verdict, judge
from vwo_celery.sending.sender import MAX_ANSWER_BYTES, Sender
from vwo_celery.settings import Settings

KEY = "0123456789abcdef0123456789ABCDEF"
BODY = b'{"ev":[{"d":{}}]}'
DEADLINE_SECONDS = 0.5
#: Generous limit in seconds for busy machines; without a deadline these servers would never end.
ENDED_BY_SECONDS = 5.0
#: Most memory that one answer may cost in bytes, including the server's buffers in this process.
MOST_MEMORY_BYTES = 16_000_000


@contextlib.contextmanager
def sender_to(base_url: str, seconds: float = 20.0) -> Iterator[Sender]:
    """A sender to a server on this host."""
    destination = Destination(account_id=1, sdk_key=KEY, generation="fme", base_url=base_url)
    sender = Sender(
        destination, request_timeout_seconds=seconds, allowed_hosts=["127.0.0.1", "localhost"]
    )
    with contextlib.closing(sender):
        yield sender


def answer_of(script: servers.Script, seconds: float = DEADLINE_SECONDS) -> Answer:
    """The answer to one batch, in bounded time and bounded memory."""
    with servers.Server(script) as server, sender_to(server.url, seconds) as sender:
        tracemalloc.start()
        try:
            answer = sender.send(BODY, events=1)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert answer.elapsed_seconds < ENDED_BY_SECONDS
    assert peak_bytes < MOST_MEMORY_BYTES
    return answer


def flooding(first: bytes, again: bytes) -> servers.Script:
    """Answer with *first*, then with *again* until the client closes the connection."""

    def serve(connection: servers.Connection) -> None:
        connection.read_request()
        connection.send(first)
        chunk = again * (65_536 // len(again) + 1)
        while not connection.stopped.is_set():
            connection.send(chunk)

    return serve


def once(answer: bytes) -> servers.Script:
    """Read a request, answer with exactly these bytes, and close the connection."""

    def serve(connection: servers.Connection) -> None:
        connection.read_request()
        connection.send(answer)

    return serve


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
#: Endless answers, each with its result: a status that was received counts, everything else is a
#: failure.
FLOODS = {
    "a body of known length": (OK + b"Content-Length: 1000000000\r\n\r\n", b"x", 200),
    "a body without a length": (OK + b"\r\n", b"x", 200),
    "a body of chunks": (CHUNKED, b"1\r\nx\r\n", 200),
    "a chunk": (CHUNKED + b"40000000\r\n", b"x", 200),
    "a chunk's size": (CHUNKED, b"1", 200),
    "a chunk's extension": (CHUNKED + b"1;", b"x", 200),
    "trailers": (CHUNKED + b"0\r\n", b"X-More: x\r\n", 200),
    "a trailer": (CHUNKED + b"0\r\nX-More: ", b"x", 200),
    "a bomb": (OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"0" * 1_000_000), 200),
    "headers": (OK, b"X-More: x\r\n", Failure.INVALID_ANSWER),
    "a header": (OK + b"X-More: ", b"x", Failure.INVALID_ANSWER),
    "a folded header": (OK + b"X-More: x\r\n", b" x\r\n", Failure.INVALID_ANSWER),
    "a status line": (b"HTTP/1.1 200 ", b"x", Failure.INVALID_ANSWER),
    "nothing but line ends": (b"", b"\r\n", Failure.INVALID_ANSWER),
    "no HTTP": (b"", b"\0\xff", Failure.INVALID_ANSWER),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", Failure.TIMEOUT),
    "100 Continue's headers": (b"HTTP/1.1 100 Go\r\n", b"X-M: x\r\n", Failure.INVALID_ANSWER),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 103),
}


@pytest.mark.parametrize(("first", "again", "expected"), FLOODS.values(), ids=FLOODS)
def test_what_never_ends_is_cut_off(first: bytes, again: bytes, expected: int | Failure) -> None:
    """An endless answer ends at the deadline, costs little memory, and means no more than its status."""
    answer = answer_of(flooding(first, again))

    assert expected in (answer.status, answer.failure)


@pytest.mark.parametrize("status", [200, 400, 503])
def test_the_connection_of_an_endless_body_is_closed(status: int) -> None:
    """The connection of an endless body is closed at once; the next batch uses a new one."""
    head = b"HTTP/1.1 %d As Told\r\nContent-Length: 1000000000\r\n\r\n" % status
    noticed = threading.Event()

    def serve(connection: servers.Connection) -> None:
        try:
            flooding(head, b"x")(connection)
        finally:
            noticed.set()

    with servers.Server(serve) as server, sender_to(server.url) as sender:
        first = sender.send(BODY, events=1).status
        assert noticed.wait(ENDED_BY_SECONDS)
        second = sender.send(BODY, events=1).status

        assert (first, second) == (status, status)
        assert len(server.connections) == 2
        assert all(
            connection.sent_bytes < 100 * MAX_ANSWER_BYTES for connection in server.connections
        )


#: 2xx answers unlike VWO's: the whole batch was read and accepted, so the status counts.
ACCEPTED = {
    "HTML": servers.answer_bytes(200, b"<html>hello</html>", Content_Type="text/html"),
    "nothing": servers.answer_bytes(204, b""),
    "nothing, and no length": OK + b"\r\n",
    "less than announced": OK + b"Content-Length: 100\r\n\r\n{}",
    "more than announced": OK + b"Content-Length: 2\r\n\r\n{}{}{}",
    "a negative length": OK + b"Content-Length: -5\r\n\r\n{}",
    "no number for a length": OK + b"Content-Length: two\r\n\r\n{}",
    "a length beyond all bounds": OK + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n{}",
    "chunks that are none": CHUNKED + b"zz\r\n{}\r\n",
    "a chunk of negative size": CHUNKED + b"-5\r\n{}\r\n",
    "a chunk that breaks off": CHUNKED + b"ff\r\n{}",
    "both length and chunks": OK
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip that is none": OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "an encoding nobody knows": OK
    + b"Content-Encoding: br, zstd, x\r\nContent-Length: 2\r\n\r\n{}",
    "headers that are none": OK + b"no header\r\nContent-Length: 2\r\n\r\n{}",
    "headers of all bytes": OK
    + b"X: "
    + bytes(range(32, 256))
    + b"\r\nContent-Length: 2\r\n\r\n{}",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", ACCEPTED.values(), ids=ACCEPTED)
def test_a_2xx_stands_whatever_comes_with_it(answer: bytes) -> None:
    """A 2xx counts even if its body is unusual, broken off or missing: sending again would duplicate."""
    got = answer_of(once(answer), seconds=5.0)

    assert judge(got, now=0).verdict is Verdict.DELIVERED


#: Answers without a valid status: the batch is kept for another attempt.
NOT_HTTP = {
    "nothing": b"",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a negative status": b"HTTP/1.1 -200 OK\r\n\r\n",
    "a status of words": b"HTTP/1.1 OK 200\r\n\r\n",
    "another protocol": b"HTTQ/1.1 200 OK\r\n\r\n",
    "a status cut off": b"HTTP/1.1 2",
    "headers cut off": b"HTTP/1.1 503 No\r\nRetry-",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "a 100 and then nothing": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("answer", NOT_HTTP.values(), ids=NOT_HTTP)
def test_garbage_for_a_status_keeps_the_batch(answer: bytes) -> None:
    """If the status is unreadable or unknown to HTTP, the batch is kept for another attempt."""
    got = answer_of(once(answer), seconds=5.0)

    assert judge(got, now=0).verdict is Verdict.RELEASE
    assert got.failure in (None, Failure.INVALID_ANSWER, Failure.CONNECTION)


def test_two_lengths_are_no_fault_of_the_destination() -> None:
    """Headers that contradict each other are named in the error, and pause nothing."""
    got = answer_of(once(NOT_HTTP["two lengths"]), seconds=5.0)

    assert got.failure is Failure.INVALID_ANSWER


@pytest.mark.parametrize("status", [0, 1, 99, 199, 299, 399, 600, 999])
def test_odd_statuses_have_an_outcome(status: int) -> None:
    """Any three digits are looked up in the table, and only 2xx is a delivery."""
    got = answer_of(once(b"HTTP/1.1 %03d Odd\r\nContent-Length: 0\r\n\r\n" % status), seconds=5.0)

    verdict = judge(got, now=0).verdict
    assert (verdict is Verdict.DELIVERED) == (status == 299)
    assert verdict in {row.verdict for row in OUTCOMES.values()}


def test_an_answer_nobody_asked_for_is_not_the_next_batchs() -> None:
    """A second answer to the first batch, sent at once or later, settles no other batch."""

    def serve(connection: servers.Connection) -> None:
        connection.read_request()
        connection.send(servers.answer_bytes(500) + servers.answer_bytes(200))
        connection.send(servers.answer_bytes(200))
        while connection.read_request():
            connection.send(servers.answer_bytes(503))

    with servers.Server(serve) as server, sender_to(server.url) as sender:
        first = sender.send(BODY, events=1)
        with contextlib.suppress(TimeoutError):  # let the rest arrive
            wait_until(lambda: server.connections[0].sent_bytes > 150, 5)
        second = sender.send(BODY, events=1)

        assert first.status == 500
        assert second.status in (500, 503)  # 500 if it used a new connection


def test_what_is_deflated_twice_or_badly_is_not_unpacked() -> None:
    """A refusal's body that is packed twice, broken or beyond the bound gives no detail."""
    inner = gzip.compress(b'{"error":"' + b"0" * 50_000_000 + b'"}', 9)
    for packed, encoding in [
        (inner, "gzip"),
        (gzip.compress(inner), "gzip, gzip"),
        (zlib.compress(b'{"error":"no"}'), "deflate"),
        (inner[:-9], "gzip"),
    ]:
        answer = answer_of(
            once(servers.answer_bytes(400, packed, Content_Encoding=encoding)), seconds=5.0
        )

        assert (answer.status, answer.detail) == (400, "")


# --- the key goes nowhere else ---------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 307, 308, 399])
@pytest.mark.parametrize("to", ["http://127.0.0.1:{port}/x", "//127.0.0.1:{port}/x", "/elsewhere"])
def test_no_redirect_is_followed(status: int, to: str) -> None:
    """No redirect is followed: whatever its status and target, the other server sees no connection."""
    with servers.Server(servers.answering()) as elsewhere:
        where = to.format(port=elsewhere.port)
        script = servers.answering(status, Location=where, Refresh=f"0; url={where}")
        with servers.Server(script) as server, sender_to(server.url) as sender:
            answer = sender.send(BODY, events=1)

            assert answer.status == status
            assert judge(answer, now=0).verdict is Verdict.REFUSED
            assert len(server.requests) == 1
        assert elsewhere.connections == []


def test_no_redirect_is_followed_from_https_to_http(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No redirect from https to http is followed: the key is never sent in the clear."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with servers.Server(servers.answering()) as plain:
        redirect = servers.answering(308, Location=f"{plain.url}/x")
        with (
            servers.Server(redirect, tls=tls_of(authority.issue_cert("127.0.0.1"))) as server,
            sender_to(server.url) as sender,
        ):
            assert sender.send(BODY, events=1).status == 308
        assert plain.connections == []


def test_nothing_that_a_server_sets_comes_back() -> None:
    """No cookie is kept and no challenge is answered: each batch has only its destination's headers."""
    script = servers.answering(
        401, Set_Cookie="id=1; Path=/", WWW_Authenticate='Basic realm="x"', Connection="keep-alive"
    )
    with servers.Server(script) as server, sender_to(server.url) as sender:
        for _ in range(2):
            sender.send(BODY, events=1)

        first, second = server.requests
        assert "cookie" not in second.headers
        assert first == second


# --- TLS cannot be switched off ----------------------------------------------------------------


def tls_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def sent_over_tls(context: ssl.SSLContext) -> tuple[Answer, int]:
    """The answer to one batch from a server with this certificate, and the requests that it received."""
    with (
        servers.Server(servers.answering(), tls=context) as server,
        sender_to(server.url, 5.0) as sender,
    ):
        return sender.send(BODY, events=1), len(server.requests)


@pytest.mark.parametrize("wrong", ["host", "expired", "authority", "self-signed"])
def test_a_certificate_that_is_wrong_is_refused(
    wrong: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A certificate of another host, expired, from a stranger or self-signed: the server gets
    nothing of the batch.
    """
    trusted, stranger = trustme.CA(), trustme.CA()
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    context = {
        "host": lambda: tls_of(trusted.issue_cert("vwo.example")),
        "expired": lambda: tls_of(
            trusted.issue_cert(
                "127.0.0.1", not_before=yesterday - dt.timedelta(days=9), not_after=yesterday
            )
        ),
        "authority": lambda: tls_of(stranger.issue_cert("127.0.0.1")),
        "self-signed": lambda: tls_of(stranger.issue_cert("127.0.0.1")),
    }[wrong]()
    bundle = tmp_path / "ca.pem"
    trusted.cert_pem.write_to_path(str(bundle))
    if wrong != "self-signed":  # otherwise only the system's authorities are trusted
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))

    answer, requests = sent_over_tls(context)

    assert answer.failure is Failure.TLS
    assert "certificate verify failed" in answer.detail
    assert requests == 0


def test_the_right_certificate_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The right certificate is accepted: the refusals above have no other cause."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))

    answer, _ = sent_over_tls(tls_of(authority.issue_cert("127.0.0.1")))

    assert answer.status == 200


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PYTHONHTTPSVERIFY", "0"),
        *(
            (variable, value)
            for variable in (
                "REQUESTS_CA_BUNDLE",
                "CURL_CA_BUNDLE",
                "SSL_CERT_FILE",
                "SSL_CERT_DIR",
            )
            for value in ("", "0", "false", "False", "none", "/dev/null", "/nowhere")
        ),
    ],
)
def test_no_variable_switches_the_verification_off(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty or false variable, or a missing file, does not switch verification off; the server
    gets nothing of the batch.
    """
    monkeypatch.setenv(variable, value)

    answer, requests = sent_over_tls(tls_of(trustme.CA().issue_cert("127.0.0.1")))

    assert answer.failure in (Failure.TLS, Failure.CA_BUNDLE)
    assert requests == 0


def test_no_setting_switches_the_verification_off() -> None:
    """No setting switches verification off: there is none for a typo or an old file to set."""
    words = ("verify", "tls", "ssl", "cert", "insecure", "trust")

    assert [name for name in Settings.__struct_fields__ if any(w in name for w in words)] == []


# --- a proxy's password --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://someone:{password}@127.0.0.1:{port}",
        "http://someone:{password}@127.0.0.1:1",
        "http://someone:{password}@vwo-celery.invalid:1",
        "http://someone:{password}@127.0.0.1:99999",
        "socks5h://someone:{password}@127.0.0.1:1",
        "http://someone:a/{password}@127.0.0.1:1",
        "http://someone:{password}/a@127.0.0.1:1",
        "http://someone:{password}#a@127.0.0.1:1",
        "http://someone:{password}?a@127.0.0.1:1",
        "http://[someone:{password}@127.0.0.1:1",
        "http://someone:a@{password}@127.0.0.1:1",
        "http://someone:a#{password}@127.0.0.1:1",
        "http://someone:a?{password}@127.0.0.1:1",
        "http://someone:a {password}@127.0.0.1:1",
        "http://someone:a:{password}@127.0.0.1:1",
        "someone:{password}@127.0.0.1:1",
        "someone:a/{password}@127.0.0.1:1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxys_password_never_shows(
    url: str, scheme: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever the proxy fails and however its URL is wrong, no text of ours has its password."""
    password = "hunter2hunter2"
    packed = base64.b64encode(f"someone:{password}".encode()).decode()

    def refuse(connection: servers.Connection) -> None:
        connection.read_head()
        connection.send(servers.answer_bytes(407, f'{{"error":"no {packed} {password}"}}'.encode()))

    caplog.set_level(logging.DEBUG)
    with servers.Server(refuse) as proxy:
        monkeypatch.setenv(
            f"{scheme.upper()}_PROXY", url.format(password=password, port=proxy.port)
        )
        with sender_to(f"{scheme}://127.0.0.1:9", 5.0) as sender:
            answer = sender.send(BODY, events=1)

    shown = f"{answer!r} {sender!r} {judge(answer, now=0)!r} {caplog.text}"
    assert judge(answer, now=0).verdict is Verdict.RELEASE
    assert password not in shown
    assert packed not in shown
    assert KEY not in shown
