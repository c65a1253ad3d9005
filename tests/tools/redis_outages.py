"""Outages: each reason for which Redis takes no event, caused for real while a context lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import redis as redis_py

from tools.processes import Process
from tools.redis_groups import SLOTS, await_cluster_state, client_of, serve_all_slots
from tools.tcpproxy import TcpProxy
from vwo_celery.testing import RedisServer, free_port
from vwo_celery.testing.redis_binary import find_redis_server

#: Number of writes that a server replays from its file at start, and the pause after each, in µs. It
#: answers clients about once every thousand writes; the replay lasts longer than any outage.
_SLOW_WRITES, _SLOW_MICROSECONDS = 200_000, 1
_ANSWER_TIMEOUT_SECONDS = 10.0
_SLOW_KEY = "slow"
_REPEATED_WRITE = "for _ = 1, ARGV[1] do redis.call('INCR', KEYS[1]) end"

Outage = Callable[[RedisServer, TcpProxy], AbstractContextManager[None]]


@contextmanager
def refused(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """Nobody listens."""
    server.kill()
    yield
    server.start()


@contextmanager
def hung(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server's process is stopped (SIGSTOP); its connections stay open."""
    server.pause()
    yield
    server.resume()


@contextmanager
def out_of_memory(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server answers reads and refuses writes."""
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
    """The server has started and reads its file, until the outage ends."""
    with redis_py.Redis.from_url(server.url) as client:
        client.eval(_REPEATED_WRITE, 1, _SLOW_KEY, _SLOW_WRITES)
    server.kill()
    with _slow_to_load(server) as slow:
        slow.wait_until(lambda: _is_loading(server), what="loading")
        yield
    server.start()
    with redis_py.Redis.from_url(server.url) as client:
        client.delete(_SLOW_KEY)


@contextmanager
def cluster_down(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server is a node of a cluster that has lost slots."""
    with client_of(server) as client:
        client.execute_command("CLUSTER DELSLOTS", *range(SLOTS))
        await_cluster_state(client, "fail")
    yield
    serve_all_slots(server)


@contextmanager
def wrong_password(server: RedisServer, _: TcpProxy) -> Iterator[None]:
    """The server asks for a password that the application does not have."""
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
    """The network resets every connection as soon as it is open."""
    proxy.reset()
    yield
    proxy.pass_through()


def _slow_to_load(server: RedisServer) -> Process:
    """A server that replaces another, with its port and its files, and loads slowly."""
    return Process(
        find_redis_server(), "--bind", "127.0.0.1", "--port", str(server.port),
        "--dir", str(server.folder), "--appendonly", "yes",
        "--key-load-delay", str(_SLOW_MICROSECONDS), folder=server.folder, name="loading",
    )  # fmt: skip


def _is_loading(server: RedisServer) -> bool:
    try:
        with redis_py.Redis.from_url(server.url, socket_timeout=_ANSWER_TIMEOUT_SECONDS) as client:
            return bool(client.info("persistence")["loading"])
    except redis_py.RedisError:
        return False


@contextmanager
def _settings_of(server: RedisServer) -> Iterator[Callable[[str, str], Any]]:
    with redis_py.Redis.from_url(server.url) as client:
        yield client.config_set


@contextmanager
def server_for(outage: Outage) -> Iterator[RedisServer]:
    """A server that can suffer this outage."""
    arguments = ("--cluster-enabled", "yes") if outage is cluster_down else ()
    with RedisServer(appendonly=True, arguments=arguments) as server:
        if outage is cluster_down:
            serve_all_slots(server)
        yield server


OUTAGES: tuple[Outage, ...] = (
    refused, hung, out_of_memory, read_only, master_down, loading, cluster_down, wrong_password,
    blackhole, reset,
)  # fmt: skip
