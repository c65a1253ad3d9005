"""What keeps Redis from taking an event, done for real: each a context in which it lasts."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import redis as redis_py
from tcpproxy import TcpProxy

from vwo_celery.testing import RedisServer, free_port, wait_for

#: Keys that a server reads at its start, and the pause after each, so that it is long at it.
_SLOW_KEYS, _SLOW_MICROSECONDS = 300, 5_000

Outage = Callable[[RedisServer, TcpProxy], AbstractContextManager[None]]


@contextmanager
def refused(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """Nobody listens."""
    server.kill()
    yield
    server.start()


@contextmanager
def hung(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server is stopped, and its connections stay open."""
    server.pause()
    yield
    server.resume()


@contextmanager
def out_of_memory(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server reads and does not write."""
    with _settings_of(server) as change:
        change("maxmemory", "1")
        yield
        change("maxmemory", "0")


@contextmanager
def read_only(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server is a replica."""
    with redis_py.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", str(free_port()))
        yield
        client.replicaof("NO", "ONE")


@contextmanager
def master_down(server: RedisServer, proxy: TcpProxy) -> Iterator[None]:
    """The server is a replica that has lost its master, and says nothing until it is back."""
    with _settings_of(server) as change, read_only(server, proxy):
        change("replica-serve-stale-data", "no")
        yield
        change("replica-serve-stale-data", "yes")


@contextmanager
def loading(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server has started and reads its file."""
    with redis_py.Redis.from_url(server.url) as client:
        client.mset({f"slow:{n}": random.randbytes(1024) for n in range(_SLOW_KEYS)})
        client.bgrewriteaof()
        wait_for(lambda: _has_rewritten(client), what="the file to be rewritten")
    server.kill()
    start = threading.Thread(target=server.start)
    start.start()
    wait_for(lambda: _is_loading(server), what="the server to load")
    yield
    start.join()
    with redis_py.Redis.from_url(server.url) as client:
        client.delete(*client.keys("slow:*"))


@contextmanager
def cluster_down(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server is a node of a cluster that has lost slots."""
    with redis_py.Redis.from_url(server.url) as client:
        client.execute_command("CLUSTER DELSLOTSRANGE", 0, 16383)
        wait_for(lambda: _cluster_state(client) == "fail", what="the cluster to fail")
        yield
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        wait_for(lambda: _cluster_state(client) == "ok", what="the cluster to work")


@contextmanager
def wrong_password(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server wants a password that the application was not given."""
    with redis_py.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "changed")
        client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
        yield
        client.config_set("requirepass", "")


@contextmanager
def blackhole(_: RedisServer, proxy: TcpProxy) -> Iterator[None]:
    """The network swallows everything."""
    proxy.blackhole()
    yield
    proxy.pass_through()


@contextmanager
def reset(_: RedisServer, proxy: TcpProxy) -> Iterator[None]:
    """The network ends every connection as soon as it is there."""
    proxy.reset()
    yield
    proxy.pass_through()


def _has_rewritten(client: Any) -> bool:
    told = client.info("persistence")
    return not (told["aof_rewrite_in_progress"] or told["aof_rewrite_scheduled"])


def _cluster_state(client: Any) -> str:
    return str(client.execute_command("CLUSTER INFO")["cluster_state"])


def _is_loading(server: RedisServer) -> bool:
    try:
        with redis_py.Redis.from_url(server.url, socket_timeout=1) as client:
            return bool(client.info("persistence")["loading"])
    except redis_py.RedisError:
        return False


@contextmanager
def _settings_of(server: RedisServer) -> Iterator[Callable[[str, str], Any]]:
    with redis_py.Redis.from_url(server.url) as client:
        yield client.config_set


@contextmanager
def server_for(outage: Outage) -> Iterator[RedisServer]:
    """A server that can have that outage."""
    arguments: dict[Outage, tuple[str, ...]] = {
        loading: (
            "--key-load-delay", str(_SLOW_MICROSECONDS),
            "--loading-process-events-interval-bytes", "1024",
        ),
        cluster_down: ("--cluster-enabled", "yes"),
    }  # fmt: skip
    with RedisServer(appendonly=True, arguments=arguments.get(outage, ())) as server:
        if outage is cluster_down:
            with redis_py.Redis.from_url(server.url) as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                wait_for(lambda: _cluster_state(client) == "ok", what="the cluster to work")
        yield server


OUTAGES: tuple[Outage, ...] = (
    refused, hung, out_of_memory, read_only, master_down, loading, cluster_down, wrong_password,
    blackhole, reset,
)  # fmt: skip
