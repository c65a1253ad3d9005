"""The first call of a process: at most five round trips to any server, connecting included.

Of a Cluster's nodes too, although one of them answers redis-py's question for the nodes.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
import trustme
from redis.cluster import NodesManager

import vwo_celery
import vwo_celery.aio
from tools.redis_groups import ClusterGroup, SentinelGroup
from tools.round_trips import round_trips_by_server
from tools.tls_front import TlsFront
from vwo_celery.receipts import IN_REDIS, Receipt
from vwo_celery.testing import RedisServer

MOST, GREETING = 5, 1
#: Whether redis-py asks a node first whether it is one of a Cluster.
ASKS_TWICE = "cluster_enabled" in inspect.getsource(NodesManager.initialize)
PASSWORD = "sesame"
#: What a new queue takes of one server: its registration, its number of shards, its event.
NEW = 3
PLACES = ("server", "password and database", "tls", "cluster", "sentinel")
_numbers = count()
Call = Callable[[vwo_celery.Queue], Receipt]


@pytest.fixture(scope="module", params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of servers of this file's own."""
    with ExitStack() as stack:
        yield _start(request.param, stack, tmp_path_factory.mktemp("servers"))


def _start(kind: str, stack: ExitStack, folder: Path) -> str:
    if kind == "cluster":
        return stack.enter_context(ClusterGroup(3)).url
    if kind == "sentinel":
        return stack.enter_context(SentinelGroup(folder)).url
    if kind == "tls":
        server, authority = stack.enter_context(RedisServer()), trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        front = TlsFront(server.port, authority.issue_cert("127.0.0.1"))
        port = stack.enter_context(front).port
        return f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={folder / 'ca.pem'}"
    if kind == "server":
        return stack.enter_context(RedisServer()).url
    server = stack.enter_context(RedisServer(arguments=("--requirepass", PASSWORD)))
    return f"redis://:{PASSWORD}@127.0.0.1:{server.port}/3"


def by_threads(queue: vwo_celery.Queue) -> Receipt:
    """A process' first call."""
    return queue.enqueue({"n": 1})


def by_asyncio(queue: vwo_celery.Queue) -> Receipt:
    """The same in an event loop of its own."""

    async def call() -> Receipt:
        awaited = vwo_celery.aio.AioQueue(queue)
        receipt = await awaited.enqueue({"n": 1})
        await awaited.aclose()
        return receipt

    return asyncio.run(call())


def first_call(url: str, account: int, shards: int, call: Call, **batch: int) -> Counter[int]:
    """Round trips by server of a first call, through a client that nobody had before."""
    queue = vwo_celery.connect(
        vwo_celery.Destination(account_id=account, sdk_key="k" * 32, generation="fme"),
        batch_event_data={"events_per_request": 100, "request_time_interval": 600, **batch},
        redis_url=url, shards=shards, spool_dir="",
        enqueue_timeout_seconds=20.0 + next(_numbers) / 1000,
    )  # fmt: skip
    with round_trips_by_server() as sent:
        receipt = call(queue)
    assert receipt == IN_REDIS
    return sent


@pytest.mark.parametrize("call", [by_threads, by_asyncio])
@pytest.mark.parametrize("shards", [1, 16, 64])
def test_it_takes_few_round_trips(place: str, shards: int, call: Call) -> None:
    """Whether the queue is new, known, or has changed, and however many shards it has."""
    account = 8_000 + next(_numbers)

    new = first_call(place, account, shards, call)
    known = first_call(place, account, shards, call)
    changed = first_call(place, account, shards, call, events_per_request=50)

    assert max(new.values()) <= MOST + ("cluster" in place and ASKS_TWICE)
    # A Cluster's nodes tell of higher shards before the queue is entered, one server only with it.
    assert sum(known.values()) <= sum(new.values()) - ("cluster" not in place)
    assert sum(changed.values()) <= sum(known.values())


@pytest.mark.parametrize("call", [by_threads, by_asyncio])
def test_connecting_to_one_server_takes_one(call: Call) -> None:
    """redis-py waits for the server to note the name of its library, and not for more."""
    with RedisServer() as server:
        took = first_call(server.url, 7, 1, call)

    assert took == {server.port: GREETING + NEW}
