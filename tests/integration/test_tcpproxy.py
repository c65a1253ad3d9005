"""The proxy that the failure tests stand on fails exactly as it says."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry
from tcpproxy import TcpProxy
from waiting import wait_until

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
    """Without orders it is not there: large values travel both ways."""
    value = b"x" * 3_000_000
    client = client_of(proxy)
    client.set("key", value)

    assert client.get("key") == value
    assert proxy.accepted == 1
    redis.delete("key")


def test_a_dropped_reply_belongs_to_a_command_that_happened(
    proxy: TcpProxy, redis: redis_py.Redis
) -> None:
    """The server has done the work, its client sees a broken connection, once."""
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
    """The client times out; when the partition heals, its command still arrives."""
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
    """A connection is taken and never answered, until everything passes again."""
    proxy.blackhole()
    with pytest.raises(redis_py.TimeoutError):
        client_of(proxy).ping()
    proxy.pass_through()

    assert client_of(proxy).ping()


def test_a_reset_hits_old_and_new_connections(proxy: TcpProxy) -> None:
    """Every connection is reset until it passes again."""
    client = client_of(proxy)
    client.ping()
    proxy.reset()

    for _ in range(2):
        with pytest.raises(redis_py.ConnectionError):
            client.ping()
    proxy.pass_through()

    assert client.ping()


def test_cutting_is_once(proxy: TcpProxy) -> None:
    """An open connection meets a TCP reset; the next one goes through."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(64) == b"+PONG\r\n"
        proxy.cut_connections()

        with pytest.raises(ConnectionResetError):
            connection.recv(64)
    assert client_of(proxy).ping()


def test_nobody_behind_it_is_a_reset() -> None:
    """A proxy in front of a stopped server resets its clients, and has no thread left when closed."""
    proxy = TcpProxy(free_port())
    with pytest.raises(redis_py.ConnectionError):
        client_of(proxy).ping()

    proxy.close()
    proxy.close()

    wait_until(lambda: not proxy.links)
