"""The relay's edge, on raw sockets: what a request may look like."""

from __future__ import annotations

import json

import pytest

from tools.relays import EVENT, LEGACY, ONE, RelayServer, all_stored, read_answer, refused, request

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)


def test_raw_quotes_and_braces_in_the_target(relay: RelayServer, redis_url: str) -> None:
    """Node's legacy SDK leaves JSON raw in its target."""
    answer = relay.get(
        f'/server-side/push?account_id=888888&env={"b" * 32}&u=A&sId=1&tags={{"u":{{"a":"%22"}}}}&'
    )

    assert answer.status == 200
    assert json.loads(json.loads(all_stored(redis_url)[0])["t"]) == {"u": {"a": '"'}}


def test_a_chunked_body(relay: RelayServer, redis_url: str) -> None:
    """A body in chunks is one body; what follows it as headers is of no use."""
    chunks = b"".join(b"%x;name=value\r\n%c\r\n" % (1, byte) for byte in ONE)
    end = b"0\r\nContent-Encoding: br\r\n\r\n"
    head = request(LEGACY, None, {"Transfer-Encoding": "chunked"})

    assert relay.ask(head + chunks + end).status == 200
    assert all_stored(redis_url) == [b'{"u":"A"}']


def test_expect_100_continue(relay: RelayServer, redis_url: str) -> None:
    """A client that asks first is told to go on before it sends its body."""
    head, body = request(LEGACY, ONE, {"Expect": "100-continue"}).split(ONE)[0], ONE
    with relay.connect() as sock:
        sock.sendall(head)
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert read_answer(sock).status == 200

    assert len(all_stored(redis_url)) == 1


def test_an_upgrade_to_http2_is_not_taken_up(relay: RelayServer, redis_url: str) -> None:
    """uvicorn's parser would leave the body unread: the client is told why nothing was stored."""
    offer = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABk",
    }

    status, said = refused(relay.post(LEGACY, ONE, offer))
    assert (status, said) == (400, "the relay speaks HTTP/1.1: send a body without Upgrade")
    assert relay.get("/healthz", offer).status == 200
    assert all_stored(redis_url) == []


def test_several_requests_on_one_connection(relay: RelayServer, redis_url: str) -> None:
    """Also where they are sent before the first answer, each is answered, in its order."""
    bodies = [b'{"d":{"n":%d}}' % number for number in range(20)]
    with relay.connect() as sock:
        sock.sendall(b"".join(request(EVENT, body) for body in bodies) + request("/", b""))
        found = b""
        while found.count(b"HTTP/1.1 ") < 21 or not found.endswith(b"}"):
            found += sock.recv(65_536)

    assert found.count(b"HTTP/1.1 200") == 20
    assert found.rindex(b"200 OK") < found.index(b"404 Not Found")
    assert all_stored(redis_url) == bodies


@pytest.mark.parametrize(
    "text", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"POST /\xe9 HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_answered_in_json(text: bytes, relay: RelayServer) -> None:
    """TLS on the wrong port, and targets that are not ASCII, get an answer that SDKs can read."""
    assert refused(relay.ask(text)) == (400, "this is no HTTP request")


def test_a_websocket_is_not_opened(relay: RelayServer) -> None:
    """A request to upgrade is an ordinary request of that path."""
    offer = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x" * 22 + "==",
        "Sec-WebSocket-Version": "13",
    }  # fmt: skip

    assert relay.get("/healthz", offer).status == 200
