"""What the sender says to a real server, and over which connection: request, bounds, redirects."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tools import http_servers as servers
from tools.senders import BODY, KEY, MakeSender
from vwo_celery.destinations import Generation
from vwo_celery.events import MAX_BODY_BYTES, MAX_EVENTS_PER_REQUEST
from vwo_celery.sending.outcomes import Failure


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
