"""The proxy fails exactly as each of its methods says."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.testing import RedisServer, free_port


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[TcpProxy]:
    """A proxy in front of the run's Redis."""
    with TcpProxy(redis_server.port) as running:
        yield running


def client_of(proxy: TcpProxy) -> redis_py.Redis:
    """A client behind the proxy that never repeats a command."""
    return redis_py.Redis.from_url(proxy.url(), socket_timeout=0.2, retry=Retry(NoBackoff(), 0))


def test_it_passes_everything_on(proxy: TcpProxy, redis: redis_py.Redis) -> None:
    """By default it passes everything on: large values travel both ways."""
    value = b"x" * 3_000_000
    client = client_of(proxy)
    client.set("key", value)

    assert client.get("key") == value
    assert proxy.accepted == 1
    redis.delete("key")


def test_a_dropped_reply_belongs_to_a_command_that_happened(
    proxy: TcpProxy, redis: redis_py.Redis
) -> None:
    """A dropped reply is of an executed command; its client sees a broken connection, once."""
    client = client_of(proxy)
    client.ping()
    proxy.drop_reply_to(b"INCR")

    with pytest.raises(redis_py.ConnectionError):
        client.incr("count")
    after = client.incr("count")

    assert after == 2
    assert proxy.replies_dropped == 1
    redis.delete("count")


def test_a_blackhole_holds_bytes_back_and_lets_them_through_later(
    proxy: TcpProxy, redis: redis_py.Redis
) -> None:
    """In a blackhole the client times out; when it ends, the command still arrives."""
    client = client_of(proxy)
    client.ping()
    proxy.blackhole()

    with pytest.raises(redis_py.TimeoutError):
        client.set("key", "late")
    before = redis.get("key")
    proxy.pass_through()

    assert before is None
    client.ping()
    redis.delete("key")


def test_new_connections_into_a_blackhole_are_silent(proxy: TcpProxy) -> None:
    """A new connection into a blackhole is accepted and not answered until it ends."""
    proxy.blackhole()
    with pytest.raises(redis_py.TimeoutError):
        client_of(proxy).ping()
    proxy.pass_through()

    assert client_of(proxy).ping()


def test_a_reset_hits_old_and_new_connections(proxy: TcpProxy) -> None:
    """Every connection, old or new, is reset until the proxy passes again."""
    client = client_of(proxy)
    client.ping()
    proxy.reset()

    for _ in range(2):
        with pytest.raises(redis_py.ConnectionError):
            client.ping()
    proxy.pass_through()

    assert client.ping()


def test_cutting_is_once(proxy: TcpProxy) -> None:
    """cut() resets open connections once; the next one works."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(64) == b"+PONG\r\n"
        proxy.cut_connections()

        with pytest.raises(ConnectionResetError):
            connection.recv(64)
    assert client_of(proxy).ping()


def test_several_replies_can_be_dropped(proxy: TcpProxy, redis: redis_py.Redis) -> None:
    """As many replies are dropped as given, each of an executed command; then none."""
    client = client_of(proxy)
    proxy.drop_reply_to(b"INCR", times=2)

    for _ in range(2):
        with pytest.raises(redis_py.ConnectionError):
            client.incr("count")

    assert client.incr("count") == 3
    assert proxy.replies_dropped == 2
    redis.delete("count")


def test_swallowed_replies_belong_to_commands_that_happened(
    proxy: TcpProxy, redis: redis_py.Redis
) -> None:
    """With swallowed replies, commands are executed unanswered; afterwards connections are reset."""
    client = client_of(proxy)
    client.ping()
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    proxy.swallow_replies()

    with pytest.raises(redis_py.TimeoutError):
        client.incr("count")
    connection.sendall(b"INCR count\r\n")
    wait_until(lambda: redis.get("count") == b"2", 5)
    proxy.pass_through()

    with connection, pytest.raises(ConnectionResetError):
        connection.recv(64)
    assert client.ping()
    redis.delete("count")


def test_a_command_may_arrive_after_its_sender_gave_up(
    proxy: TcpProxy, redis: redis_py.Redis
) -> None:
    """On request, a command sent into a partition arrives after it, although its sender gave up."""
    client = client_of(proxy)
    client.ping()
    proxy.blackhole(late_commands=True)
    with pytest.raises(redis_py.TimeoutError):
        client.set("key", "late")

    proxy.pass_through()

    wait_until(lambda: redis.get("key") == b"late", 5)
    wait_until(lambda: not proxy.links, 5)
    redis.delete("key")


def test_a_delay_holds_in_both_directions(proxy: TcpProxy) -> None:
    """A delay counts in both directions; a client with a shorter timeout gives up."""
    client, patient = client_of(proxy), socket.create_connection(("127.0.0.1", proxy.port))
    proxy.delay(0.15)
    started = time.monotonic()
    with patient:
        patient.sendall(b"PING\r\n")
        assert patient.recv(64) == b"+PONG\r\n"

    took = time.monotonic() - started
    with pytest.raises(redis_py.TimeoutError):
        client.ping()
    proxy.pass_through()

    assert took >= 0.3
    assert client.ping()


def test_a_throttle_slows_down_by_bytes(proxy: TcpProxy, redis: redis_py.Redis) -> None:
    """A thousand bytes at five thousand a second take at least a fifth of a second."""
    proxy.throttle(5_000)
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        connection.sendall(b"SET key " + b"x" * 1_000 + b"\r\n")
        answer = connection.recv(64)

    assert answer == b"+OK\r\n"
    assert time.monotonic() - started >= 0.2
    redis.delete("key")


def test_stranded_connections_stay_silent_and_new_ones_pass(
    proxy: TcpProxy, redis: redis_py.Redis
) -> None:
    """A stranded connection is half-open: sent bytes vanish and nothing ends it; new connections work."""
    client = client_of(proxy)
    client.ping()
    proxy.strand()

    with pytest.raises(redis_py.TimeoutError):
        client.set("key", "lost")

    assert client.ping()
    assert redis.get("key") is None


def test_nobody_behind_it_is_a_reset() -> None:
    """In front of a stopped server the proxy resets its clients; once closed it has no thread left."""
    proxy = TcpProxy(free_port())
    with pytest.raises(redis_py.ConnectionError):
        client_of(proxy).ping()

    proxy.close()
    proxy.close()

    wait_until(lambda: not proxy.links)
