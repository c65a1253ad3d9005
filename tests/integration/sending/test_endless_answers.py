"""Answers that never end are cut off, and cost bounded time and memory."""

from __future__ import annotations

import gzip
import threading

import pytest

from tools import http_servers as servers
from tools.senders import BODY, CHUNKED, ENDED_BY_SECONDS, OK, MakeSender, answer_of
from vwo_celery.sending.outcomes import Failure
from vwo_celery.sending.sender import MAX_ANSWER_BYTES


def flooding(first: bytes, again: bytes) -> servers.Script:
    """Answer with *first*, then with *again* until the client closes the connection."""

    def serve(connection: servers.Connection) -> None:
        connection.read_request()
        connection.send(first)
        chunk = again * (65_536 // len(again) + 1)
        while not connection.stopped.is_set():
            connection.send(chunk)

    return serve


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
def test_what_never_ends_is_cut_off(
    make_sender: MakeSender, first: bytes, again: bytes, expected: int | Failure
) -> None:
    """An endless answer ends at the deadline, costs little memory, and means no more than its status."""
    answer = answer_of(make_sender, flooding(first, again))

    assert expected in (answer.status, answer.failure)


@pytest.mark.parametrize("status", [200, 400, 503])
def test_the_connection_of_an_endless_body_is_closed(make_sender: MakeSender, status: int) -> None:
    """The connection of an endless body is closed at once; the next batch uses a new one."""
    head = b"HTTP/1.1 %d As Told\r\nContent-Length: 1000000000\r\n\r\n" % status
    noticed = threading.Event()

    def serve(connection: servers.Connection) -> None:
        try:
            flooding(head, b"x")(connection)
        finally:
            noticed.set()

    with servers.Server(serve) as server:
        sender = make_sender(server.url)
        first = sender.send(BODY, events=1).status
        assert noticed.wait(ENDED_BY_SECONDS)
        second = sender.send(BODY, events=1).status

        assert (first, second) == (status, status)
        assert len(server.connections) == 2
        assert all(
            connection.sent_bytes < 100 * MAX_ANSWER_BYTES for connection in server.connections
        )
