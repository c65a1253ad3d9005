"""Whatever bytes a client sends: the relay answers or closes, stores what it says, and serves on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.relays import FME, LEGACY, RelayServer, all_stored, relaying, request
from vwo_celery.relay.rules.limits import Bounds
from vwo_celery.testing import RedisServer

BODY = b'{"ev":[{"u":"A"}]}'
WHOLE = request(LEGACY, BODY)
#: Pieces from which requests are made that are nearly right.
PIECES = (
    b"POST ", b"GET ", b"OPTIONS ", LEGACY.encode(), FME.encode(), b"/events/t?", b" HTTP/1.1",
    b" HTTP/1.0",
    b"\r\n", b"\n", b"\r\n\r\n", b"Host: x", b"Content-Length: 18", b"Content-Length: -1",
    b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked", b"12\r\n", b"0\r\n\r\n", BODY,
    b"Content-Encoding: gzip", b"Expect: 100-continue", b"Connection: close", b"Upgrade: h2c",
    b"Connection: upgrade", b": ", b"\x00", b"\xff", b"%zz", b'{"d":{}}', b"{", b" ",
)  # fmt: skip
MESSAGES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=14).map(b"".join)
CUT = st.integers(0, len(WHOLE))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A Redis of this module's own."""
    with RedisServer() as server:
        yield server.url


@pytest.fixture(scope="module")
def relay(url: str) -> Iterator[RelayServer]:
    """One relay for all examples, which gives up soon."""
    bounds = Bounds(header_seconds=0.05, body_seconds=0.05, linger_seconds=0.05, idle_seconds=0)
    with relaying(url, bounds=bounds, spool_dir="") as running:
        yield running


def send(relay: RelayServer, data: bytes) -> bytes:
    """All that comes back for bytes, until the relay ends the connection."""
    found = b""
    with relay.connect() as sock:
        try:
            sock.sendall(data)
            while received := sock.recv(65_536):
                found += received
        except (BrokenPipeError, ConnectionResetError):
            pass
    return found


@given(MESSAGES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_message(relay: RelayServer, data: bytes) -> None:
    """What comes back is HTTP, and no 500; the next client is served."""
    answer = send(relay, data)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answer
    assert relay.get("/healthz").status == 200


@given(CUT, st.binary(min_size=1, max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_request_with_a_flaw(relay: RelayServer, url: str, place: int, flaw: bytes) -> None:
    """A right request in which some bytes are others stores one event or none, as its answers say."""
    with redis_py.Redis.from_url(url) as client:
        client.flushall()

    answer = send(relay, WHOLE[:place] + flaw + WHOLE[place + len(flaw) :])

    events = all_stored(url)
    assert b"HTTP/1.1 500" not in answer
    assert len(events) == answer.count(b"HTTP/1.1 200 ")
    assert relay.get("/healthz").status == 200
