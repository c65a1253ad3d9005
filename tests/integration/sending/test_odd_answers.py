"""Answers unlike VWO's: a status counts whatever comes with it, and nothing else is a delivery."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest

from tools import http_servers as servers
from tools.senders import BODY, CHUNKED, OK, MakeSender, answer_of
from tools.waiting import wait_until
from vwo_celery.sending.outcomes import OUTCOMES, Failure, Verdict, judge


def once(answer: bytes) -> servers.Script:
    """Read a request, answer with exactly these bytes, and close the connection."""

    def serve(connection: servers.Connection) -> None:
        connection.read_request()
        connection.send(answer)

    return serve


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
def test_a_2xx_stands_whatever_comes_with_it(make_sender: MakeSender, answer: bytes) -> None:
    """A 2xx counts even if its body is unusual, broken off or missing: sending again would duplicate."""
    got = answer_of(make_sender, once(answer), seconds=5.0)

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
def test_garbage_for_a_status_keeps_the_batch(make_sender: MakeSender, answer: bytes) -> None:
    """If the status is unreadable or unknown to HTTP, the batch is kept for another attempt."""
    got = answer_of(make_sender, once(answer), seconds=5.0)

    assert judge(got, now=0).verdict is Verdict.RELEASE
    assert got.failure in (None, Failure.INVALID_ANSWER, Failure.CONNECTION)


def test_two_lengths_are_no_fault_of_the_destination(make_sender: MakeSender) -> None:
    """Headers that contradict each other are named in the error, and pause nothing."""
    got = answer_of(make_sender, once(NOT_HTTP["two lengths"]), seconds=5.0)

    assert got.failure is Failure.INVALID_ANSWER


@pytest.mark.parametrize("status", [0, 1, 99, 199, 299, 399, 600, 999])
def test_odd_statuses_have_an_outcome(make_sender: MakeSender, status: int) -> None:
    """Any three digits are looked up in the table, and only 2xx is a delivery."""
    got = answer_of(
        make_sender, once(b"HTTP/1.1 %03d Odd\r\nContent-Length: 0\r\n\r\n" % status), seconds=5.0
    )

    verdict = judge(got, now=0).verdict
    assert (verdict is Verdict.DELIVERED) == (status == 299)
    assert verdict in {row.verdict for row in OUTCOMES.values()}


def test_an_answer_nobody_asked_for_is_not_the_next_batchs(make_sender: MakeSender) -> None:
    """A second answer to the first batch, sent at once or later, settles no other batch."""

    def serve(connection: servers.Connection) -> None:
        connection.read_request()
        connection.send(servers.answer_bytes(500) + servers.answer_bytes(200))
        connection.send(servers.answer_bytes(200))
        while connection.read_request():
            connection.send(servers.answer_bytes(503))

    with servers.Server(serve) as server:
        sender = make_sender(server.url)
        first = sender.send(BODY, events=1)
        with contextlib.suppress(TimeoutError):  # let the rest arrive
            wait_until(lambda: server.connections[0].sent_bytes > 150, 5)
        second = sender.send(BODY, events=1)

        assert first.status == 500
        assert second.status in (500, 503)  # 500 if it used a new connection


def test_what_is_deflated_twice_or_badly_is_not_unpacked(make_sender: MakeSender) -> None:
    """A refusal's body that is packed twice, broken or beyond the bound gives no detail."""
    inner = gzip.compress(b'{"error":"' + b"0" * 50_000_000 + b'"}', 9)
    for packed, encoding in [
        (inner, "gzip"),
        (gzip.compress(inner), "gzip, gzip"),
        (zlib.compress(b'{"error":"no"}'), "deflate"),
        (inner[:-9], "gzip"),
    ]:
        answer = answer_of(
            make_sender,
            once(servers.answer_bytes(400, packed, Content_Encoding=encoding)),
            seconds=5.0,
        )

        assert (answer.status, answer.detail) == (400, "")
