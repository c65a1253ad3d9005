"""One client for all queues of a process: few connections, and none that a queue takes from others."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis as redis_py
from redis.exceptions import ConnectionError as RedisConnectionError

import vwo_celery
import vwo_celery.aio
from tools.producers import BATCH
from tools.waiting import wait_until
from vwo_celery.connections import open_async_client, open_client
from vwo_celery.connections.pools import MOST_CONNECTIONS
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import RedisServer

QUEUES = 100
THREADS = 8
#: Longer than any call of these tests; asyncio's clients wait half of their share of it for others.
PATIENT: dict[str, Any] = {"enqueue_timeout_seconds": 10.0, "spool_dir": ""}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of this test's own, whose connections it counts."""
    with RedisServer() as running:
        yield running


@pytest.fixture
def observer(server: RedisServer) -> Iterator[redis_py.Redis]:
    """The test's own connection."""
    with redis_py.Redis.from_url(server.url, single_connection_client=True) as client:
        client.ping()
        yield client


def connections(observer: redis_py.Redis) -> int:
    """Number of connections but the observer's."""
    return len(observer.client_list()) - 1


def destination(number: int) -> vwo_celery.Destination:
    """One of many accounts."""
    return vwo_celery.Destination(account_id=number + 1, sdk_key="k" * 32, generation="fme")


def connect_all(server: RedisServer, **settings: Any) -> list[vwo_celery.Queue]:
    """A hundred queues of one process."""
    return [
        vwo_celery.connect(
            destination(n), batch_event_data=BATCH, redis_url=server.url, **PATIENT | settings
        )
        for n in range(QUEUES)
    ]


def aio_connect_all(server: RedisServer) -> list[vwo_celery.aio.AioQueue]:
    """The same for asyncio."""
    return [
        vwo_celery.aio.connect(
            destination(n), batch_event_data=BATCH, redis_url=server.url, **PATIENT
        )
        for n in range(QUEUES)
    ]


def enqueue_by_threads(queues: Sequence[vwo_celery.Queue]) -> list[vwo_celery.Receipt]:
    """Receipts of two events for each queue, by several threads at once."""
    start = threading.Barrier(THREADS)

    def work(queue: vwo_celery.Queue) -> vwo_celery.Receipt:
        return queue.enqueue({"n": 1})

    with ThreadPoolExecutor(THREADS, initializer=start.wait) as pool:
        return list(pool.map(work, [*queues, *queues]))


def test_the_queues_of_a_process_share_a_connection(
    server: RedisServer, observer: redis_py.Redis
) -> None:
    """A hundred queues that are used one after another need one connection."""
    queues = connect_all(server)

    receipts = [queue.enqueue({"n": n}) for queue in queues for n in range(2)]

    assert receipts == [IN_REDIS] * 2 * QUEUES
    assert connections(observer) == 1


def test_threads_open_as_many_connections_as_they_use_at_once(
    server: RedisServer, observer: redis_py.Redis
) -> None:
    """Eight threads on a hundred queues need at most eight."""
    receipts = enqueue_by_threads(queues := connect_all(server))

    assert receipts == [IN_REDIS] * 2 * QUEUES
    assert connections(observer) <= THREADS
    assert len(queues) == QUEUES


def test_more_threads_than_connections_wait_for_one_another(
    server: RedisServer, observer: redis_py.Redis
) -> None:
    """A call beyond the bound of the pool waits for a connection; its event is stored."""
    bound = 2
    url = f"{server.url}?max_connections={bound}"
    queues = [
        vwo_celery.connect(destination(n), batch_event_data=BATCH, redis_url=url, **PATIENT)
        for n in range(QUEUES)
    ]

    receipts = enqueue_by_threads(queues)

    assert receipts == [IN_REDIS] * 2 * QUEUES
    assert connections(observer) <= bound


def test_a_forked_child_opens_one_of_its_own(server: RedisServer, observer: redis_py.Redis) -> None:
    """Neither parent nor child uses the other's connection; the child's queues share one, too."""
    queues = connect_all(server)
    assert queues[0].enqueue({"n": 0})
    told, tell = os.pipe()
    goes_on, go_on = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            stored = all(queue.enqueue({"n": 1}) for queue in queues)
            os.write(tell, b"1" if stored else b"0")
            os.read(goes_on, 1)
        finally:
            os._exit(0)

    assert os.read(told, 1) == b"1"
    assert all(queue.enqueue({"n": 2}) for queue in queues)
    assert connections(observer) == 2
    os.write(go_on, b"1")
    os.waitpid(child, 0)
    for end in (told, tell, goes_on, go_on):
        os.close(end)


def test_a_refused_connection_opens_no_breaker(
    server: RedisServer, observer: redis_py.Redis
) -> None:
    """Where maxclients lets no further connection in, calls take turns on those that work."""
    queues = connect_all(server)
    assert queues[0].enqueue({"n": 0})
    observer.config_set("maxclients", 1 + connections(observer))

    receipts = enqueue_by_threads(queues)

    assert receipts == [IN_REDIS] * 2 * QUEUES
    assert not producer_of(queues[0]).host.breaker.is_open
    assert connections(observer) == 1


def test_who_has_no_connection_learns_why(server: RedisServer, observer: redis_py.Redis) -> None:
    """Without a connection that works there is nothing to wait for: Redis' answer is raised."""
    observer.config_set("maxclients", 1)
    client = open_client(server.url, timeout_seconds=60)

    with pytest.raises(RedisConnectionError, match="max number of clients"):
        client.ping()


def test_asyncio_shares_a_connection(server: RedisServer, observer: redis_py.Redis) -> None:
    """In one event loop a hundred queues that are used in turn need one connection."""

    async def main() -> tuple[list[vwo_celery.Receipt], int]:
        queues = aio_connect_all(server)
        for queue in queues:
            producer_of(queue.sync).register()
        before = connections(observer)
        receipts = [await queue.enqueue({"n": n}) for queue in queues for n in range(2)]
        more = connections(observer) - before
        for queue in queues:
            await queue.aclose()
        return receipts, more

    receipts, more = asyncio.run(main())

    assert receipts == [IN_REDIS] * 2 * QUEUES
    assert more == 1


def test_asyncio_bounds_its_connections(server: RedisServer, observer: redis_py.Redis) -> None:
    """A hundred queues that are used at once take turns on the pool's connections."""

    async def main() -> tuple[list[vwo_celery.Receipt], int]:
        queues = aio_connect_all(server)
        for queue in queues:
            producer_of(queue.sync).register()
        before = connections(observer)
        opened = [await queue.enqueue({"n": 0}) for queue in queues]
        receipts = await asyncio.gather(*(queue.enqueue({"n": 1}) for queue in queues))
        more = connections(observer) - before
        for queue in queues:
            await queue.aclose()
        return opened + receipts, more

    receipts, more = asyncio.run(main())

    assert receipts == [IN_REDIS] * 2 * QUEUES
    assert more <= MOST_CONNECTIONS


def test_a_refused_connection_stops_no_asyncio_queue(
    server: RedisServer, observer: redis_py.Redis
) -> None:
    """Where maxclients lets no further connection in, awaits take turns on those that work."""

    async def main() -> tuple[list[vwo_celery.Receipt], bool]:
        queues = aio_connect_all(server)
        for queue in queues:
            producer_of(queue.sync).register()
        assert await queues[0].enqueue({"n": 0})
        observer.config_set("maxclients", 1 + connections(observer))
        receipts = await asyncio.gather(*(queue.enqueue({"n": 1}) for queue in queues))
        is_open = producer_of(queues[0].sync).host.breaker.is_open
        for queue in queues:
            await queue.aclose()
        return receipts, is_open

    receipts, is_open = asyncio.run(main())

    assert receipts == [IN_REDIS] * QUEUES
    assert not is_open


def test_closing_a_queue_leaves_the_others_their_connection(
    server: RedisServer, observer: redis_py.Redis
) -> None:
    """Only the last `aclose` of a loop closes the connection."""

    async def main() -> list[int]:
        first, second, *_ = aio_connect_all(server)
        for queue in (first, second, first, second):  # the first time, a thread registers the queue
            assert await queue.enqueue({"n": 1})
        open_now = [connections(observer)]
        await first.aclose()
        open_now.append(connections(observer))
        assert await second.enqueue({"n": 2})
        open_now.append(connections(observer))
        await second.aclose()
        with_none = open_now[0] - 1
        await asyncio.to_thread(wait_until, lambda: connections(observer) == with_none, 10)
        return open_now

    both, one, still_one = asyncio.run(main())

    assert both == one == still_one


def test_a_client_of_the_application_stays_its_own(
    server: RedisServer, observer: redis_py.Redis
) -> None:
    """A queue opens connections of its own beside those of a client that the application passes."""
    with redis_py.Redis.from_url(server.url) as own:
        queue = vwo_celery.connect(destination(0), redis=own, **PATIENT)
        other = vwo_celery.connect(destination(1), redis_url=server.url, **PATIENT)

        assert producer_of(queue).fleet.client is not producer_of(other).fleet.client
        assert own.connection_pool._available_connections == []
        assert queue.enqueue({"n": 1}) == other.enqueue({"n": 1}) == IN_REDIS


def test_the_last_queue_takes_the_client_along(
    server: RedisServer, observer: redis_py.Redis
) -> None:
    """A process that drops its queues keeps no connection."""
    queues = connect_all(server)
    assert queues[0].enqueue({"n": 1})

    queues.clear()

    wait_until(lambda: connections(observer) == 0, 10, what="the end of the connection")


async def _ping_at_once(url: str, calls: int) -> list[Any]:
    """Answers to calls of one client for asyncio that run at once."""
    client = open_async_client(url, timeout_seconds=10)
    answers = await asyncio.gather(*(client.ping() for _ in range(calls)), return_exceptions=True)
    await client.aclose()
    return answers


def test_asyncio_calls_wait_in_their_order(server: RedisServer) -> None:
    """Calls beyond the bound wait for a connection, and all of them get it."""
    answers = asyncio.run(_ping_at_once(f"{server.url}?max_connections=2", 50))

    assert answers == [True] * 50
