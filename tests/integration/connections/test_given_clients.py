"""A client that the application passes: taken in every form that leads to a master, or refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import redis as redis_py
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncCluster
from redis.sentinel import Sentinel

import vwo_celery
from tools.producers import DESTINATION
from tools.redis_groups import SERVICE, cluster_port, serve_all_slots
from tools.sentinels import lone_sentinel
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery import aio
from vwo_celery.errors import SettingsError
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import RedisServer
from vwo_celery.testing.waiting import free_port

EVENT = {"d": {"event": {"name": "bought"}}}
#: Seconds in which an attempt ends on any machine.
PATIENT = {"enqueue_timeout_seconds": 20.0, "spool_dir": ""}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A server with its socket, a Sentinel that knows it, and a Cluster of one node."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("servers")
        socket = str(folder / "redis.sock")
        single = stack.enter_context(RedisServer(arguments=("--unixsocket", socket)))
        sentinel = free_port()
        stack.enter_context(lone_sentinel(sentinel, single.port, folder))
        node = RedisServer(arguments=("--cluster-enabled", "yes"), port=cluster_port())
        serve_all_slots(stack.enter_context(node))
        yield {"single": single.port, "sentinel": sentinel, "node": node.port, "socket": socket}


def sentinel_of(servers: dict[str, Any]) -> Any:
    """redis-py's view of the Sentinel."""
    return Sentinel([("127.0.0.1", servers["sentinel"])])


def blocking(servers: dict[str, Any]) -> Any:
    """A client whose pool waits, with redis-py's own bound."""
    pool = redis_py.BlockingConnectionPool(port=servers["single"], max_connections=2)
    return redis_py.Redis(connection_pool=pool)


#: Ways in which an application makes its client.
FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "plain": lambda at: redis_py.Redis(port=at["single"]),
    "from_url": lambda at: redis_py.from_url(f"redis://127.0.0.1:{at['single']}/2"),
    "text": lambda at: redis_py.Redis(port=at["single"], decode_responses=True, encoding="latin-1"),
    "RESP3": lambda at: redis_py.Redis(port=at["single"], protocol=3),
    "one connection": lambda at: redis_py.Redis(port=at["single"], single_connection_client=True),
    "blocking pool": blocking,
    "socket": lambda at: redis_py.Redis(unix_socket_path=at["socket"]),
    "Sentinel": lambda at: sentinel_of(at).master_for(SERVICE, db=3),
    "Cluster": lambda at: redis_py.RedisCluster("127.0.0.1", at["node"]),
    "Cluster of text": lambda at: redis_py.RedisCluster(
        "127.0.0.1", at["node"], decode_responses=True
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_client_in_any_form_leads_to_its_server(servers: dict[str, Any], form: str) -> None:
    """Events go to the server and database of the client, which works as before for its owner."""
    client = FORMS[form](servers)
    wait_until(client.ping)
    client.set("own", "café")
    before = client.get("own")
    queue = vwo_celery.connect(DESTINATION, redis=client, **PATIENT)

    receipts = [queue.enqueue(EVENT), *queue.enqueue_many([EVENT] * 3)]

    assert receipts == [IN_REDIS] * 4
    assert client.exists(producer_of(queue).shards[0].keys.meta)
    assert client.get("own") == before
    assert bool(queue.flush_events(0)) is False
    assert client.flushdb()
    client.close()


def test_a_cluster_is_reached_where_its_client_reaches_it(servers: dict[str, Any]) -> None:
    """Nodes behind another address, as those of a container, are asked at the client's address."""
    with TcpProxy(servers["node"]) as proxy:
        client = redis_py.RedisCluster(
            "127.0.0.1", proxy.port, address_remap=lambda *_: ("127.0.0.1", proxy.port)
        )
        queue = vwo_celery.connect(DESTINATION, redis=client, **PATIENT)

        assert queue.enqueue(EVENT) == IN_REDIS
        assert [name for name, _ in producer_of(queue).fleet.client.masters()] == [
            f"127.0.0.1:{proxy.port}"
        ]
        assert client.flushdb()
        client.close()


def test_queues_share_the_twin_of_a_client(servers: dict[str, Any]) -> None:
    """Queues that are given one client share connections, which are not that client's."""
    client = redis_py.Redis(port=servers["single"])
    first, second = (vwo_celery.connect(DESTINATION, redis=client, **PATIENT) for _ in range(2))

    assert producer_of(first).fleet.client is producer_of(second).fleet.client
    assert producer_of(first).host is producer_of(second).host
    assert producer_of(first).fleet.client.connection_pool is not client.connection_pool


def test_a_frozen_redis_holds_up_no_call(servers: dict[str, Any], tmp_path: Path) -> None:
    """A client without timeouts, which would wait for ever, gets ours: the event is spooled."""
    with TcpProxy(servers["single"]) as proxy:
        plain = redis_py.Redis(port=proxy.port, socket_timeout=None, socket_connect_timeout=None)
        queue = vwo_celery.connect(DESTINATION, redis=plain, spool_dir=str(tmp_path))
        proxy.blackhole()
        receipts: list[Any] = []

        call = threading.Thread(target=lambda: receipts.append(queue.enqueue(EVENT)), daemon=True)
        call.start()
        call.join(20)

        assert [receipt.where for receipt in receipts] == ["spooled"]
        assert plain.connection_pool.connection_kwargs["socket_timeout"] is None


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda at: f"redis://:s3cret@127.0.0.1:{at['single']}", "pass it as redis_url="),
        (lambda at: b"redis://:s3cret@h", "pass it as redis_url="),
        (lambda at: AsyncRedis(port=at["single"]), "aio.connect with redis_url="),
        (lambda at: AsyncCluster(host="127.0.0.1", port=at["node"]), "aio.connect with redis_url="),
        (lambda at: redis_py.Redis(port=at["single"]).pipeline(), "the client that it was made of"),
        (
            lambda at: redis_py.RedisCluster("127.0.0.1", at["node"]).pipeline(),
            "the client that it was",
        ),
        (lambda at: sentinel_of(at).slave_for(SERVICE), "one from master_for"),
        (sentinel_of, "what its master_for returns"),
        (lambda at: Mock(spec=redis_py.Redis), "raised AttributeError; pass a redis.Redis"),
        (lambda at: redis_py.ConnectionPool(), "pass a redis.Redis"),
        (lambda at: redis_py.Redis, "pass a redis.Redis"),
        (lambda at: {"host": "h"}, "pass a redis.Redis"),
        (lambda at: 6379, "pass a redis.Redis"),
    ],
)
def test_what_cannot_be_used_is_refused_at_connect(
    servers: dict[str, Any], make: Callable[[dict[str, Any]], Any], remedy: str
) -> None:
    """Anything else is refused before a request meets it; the error says what to pass instead."""
    with pytest.raises(SettingsError, match=remedy) as caught:
        vwo_celery.connect(DESTINATION, redis=make(servers), **PATIENT)

    assert "s3cret" not in str(caught.value)


def test_asyncio_takes_a_url() -> None:
    """An asyncio queue refuses a client: before, its events went to redis_url instead."""
    for client in (AsyncRedis(), redis_py.Redis()):
        with pytest.raises(SettingsError, match="redis_url="):
            aio.connect(DESTINATION, redis=client)
