"""What SDKs ask VWO for is fetched whole or not at all, within bounds, and shows no key."""

from __future__ import annotations

import contextlib
import gzip
import logging
import ssl
from collections.abc import Iterator

import pytest
import trustme

from tools import http_servers as servers
from vwo_celery.sending.fetching import Fetcher
from vwo_celery.sending.outcomes import Failure
from vwo_celery.sending.wanted import Fetched, Wanted

KEY = "0123456789abcdef0123456789ABCDEF"
#: As Node's legacy SDK spells things that a URL parser would spell anew.
QUERY = f'a=7&i={KEY}&r=0.5&x="{{}}%2F%252F|^'
BODY = b'{"accountId":7}'
DEADLINE_SECONDS = 0.5
MOST_BYTES = 1_000


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """A fetcher with a small bound."""
    fetcher = Fetcher(timeout_seconds=20.0, most_bytes=MOST_BYTES)
    with contextlib.closing(fetcher):
        yield fetcher


def wanted(server: servers.Server, **changes: str) -> Wanted:
    """A request for settings."""
    return Wanted(
        origin=server.url, path="/eu01/server-side/settings", query=QUERY, key=KEY, **changes
    )


def answer_to(script: servers.Script, fetcher: Fetcher) -> Fetched:
    """The answer of a server with this script."""
    with servers.Server(script) as server:
        return fetcher.fetch(wanted(server))


def test_the_target_is_the_sdks_own(fetcher: Fetcher) -> None:
    """Path and query leave byte for byte as the SDK spelled them, and no key is in a header."""
    with servers.Server(servers.answering(body=BODY)) as server:
        found = fetcher.fetch(wanted(server))
        again = fetcher.fetch(wanted(server))

        request = server.requests[0]
        assert request.line == f"GET /eu01/server-side/settings?{QUERY} HTTP/1.1"
        assert not any(KEY in value for value in request.headers.values())
        assert "authorization" not in request.headers
        assert len(server.connections) == 1
    assert found == again == Fetched(status=200, content_type="application/json", body=BODY)


def test_a_query_without_a_key_is_left_alone(fetcher: Fetcher) -> None:
    """What the gateway is asked has no key; a body and headers go with it."""
    with servers.Server(servers.answering(body=b"true")) as server:
        asked = Wanted(
            origin=server.url, path="/user-alias/setUserAlias", query="userId=%5Bu%5D&b=",
            method="POST", headers={"X-Forwarded-For": "10.0.0.9"}, body=b'{"a":1}',
        )  # fmt: skip
        found = fetcher.fetch(asked)

        request = server.requests[0]
    assert request.line == "POST /user-alias/setUserAlias?userId=%5Bu%5D&b= HTTP/1.1"
    assert (request.body, request.headers["x-forwarded-for"]) == (b'{"a":1}', "10.0.0.9")
    assert (found.status, found.body) == (200, b"true")


def test_a_gzip_body_is_unpacked(fetcher: Fetcher) -> None:
    """VWO may pack its answer."""
    script = servers.answering(body=gzip.compress(BODY), Content_Encoding="gzip")

    assert answer_to(script, fetcher).body == BODY


@pytest.mark.parametrize("status", [204, 302, 400, 404, 503])
def test_a_status_is_handed_on(fetcher: Fetcher, status: int) -> None:
    """Whatever VWO answers is an answer; a redirect is followed nowhere."""
    with servers.Server(servers.answering()) as elsewhere:
        body = b"" if status == 204 else b"{}"
        script = servers.answering(status, body, Location=f"{elsewhere.url}/x")

        assert answer_to(script, fetcher).status == status
        assert elsewhere.connections == []


@pytest.mark.parametrize(
    "answer",
    [
        servers.answer_bytes(body=b"x" * (MOST_BYTES + 1)),
        servers.answer_bytes(body=gzip.compress(b"x" * (MOST_BYTES + 1)), Content_Encoding="gzip"),
        servers.answer_bytes(body=gzip.compress(BODY)[:-9], Content_Encoding="gzip"),
        servers.answer_bytes(body=BODY, Content_Encoding="br"),
        servers.answer_bytes(body=b"no gzip", Content_Encoding="gzip"),
        b"HTTP/1.1 103 Early\r\n\r\n",
        b"no HTTP\r\n\r\n",
    ],
    ids=["large", "bomb", "cut gzip", "encoding", "no gzip", "no final answer", "no HTTP"],
)
def test_an_answer_that_is_not_whole_is_none(fetcher: Fetcher, answer: bytes) -> None:
    """Too large, cut, or in an encoding that was not asked for: no half answer is handed on."""

    def serve(connection: servers.Connection) -> None:
        connection.read_request()
        connection.send(answer)

    found = answer_to(serve, fetcher)

    assert (found.status, found.failure) == (None, Failure.INVALID_ANSWER)


def test_a_body_that_breaks_off_is_none(fetcher: Fetcher) -> None:
    """Where a body ends before its declared length, there is no answer."""

    def serve(connection: servers.Connection) -> None:
        connection.read_request()
        connection.send(servers.answer_bytes(body=BODY)[:-3])

    assert answer_to(serve, fetcher).status is None


@pytest.mark.parametrize(
    "script",
    [
        servers.reading_nothing,
        servers.trickling(servers.answer_bytes(body=b"x" * 500)),
        servers.trickling(b"x" * 500, at_once=servers.answer_bytes(body=b"x" * 500)[:-500]),
    ],
    ids=["silent", "header", "body"],
)
def test_the_deadline_holds_over_all_of_it(script: servers.Script) -> None:
    """A server that is silent, or sends byte by byte, costs no more than the deadline."""
    fetcher = Fetcher(timeout_seconds=DEADLINE_SECONDS, most_bytes=MOST_BYTES)

    assert answer_to(script, fetcher).failure is Failure.TIMEOUT


def test_certificates_are_verified(fetcher: Fetcher) -> None:
    """A server with a certificate that nobody trusts gets no request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with servers.Server(servers.answering(body=BODY), tls=context) as server:
        found = fetcher.fetch(wanted(server))

        assert found.failure is Failure.TLS
        assert server.requests == []


def test_no_log_shows_the_key(fetcher: Fetcher, caplog: pytest.LogCaptureFixture) -> None:
    """Neither our log nor that of urllib3, at its most talkative, shows an SDK key."""
    with caplog.at_level(logging.DEBUG):
        answer_to(servers.answering(body=BODY), fetcher)
        answer_to(servers.hanging_up, fetcher)

    assert caplog.records
    assert KEY not in caplog.text
