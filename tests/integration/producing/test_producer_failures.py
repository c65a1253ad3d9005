"""Producers without a spool while Redis or the network fails: no exception, no long wait, no
duplicate.

test_spool.py has the tests with a spool.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools import producers
from tools.producers import (
    DESTINATION,
    KEPT,
    SOON_SECONDS,
    TIMEOUT_SECONDS,
    numbers,
    snapshot,
    stored,
)
from tools.tcpproxy import TcpProxy
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS, Receipt
from vwo_celery.testing import RedisServer, free_port, wait_for

pytestmark = pytest.mark.declared_keys(*KEPT)
UNAVAILABLE = Receipt(where="dropped", reason="redis_unavailable")


def connect(url: str, **settings: Any) -> vwo_celery.Queue:
    """A queue without a spool."""
    return producers.connect(url, spool_dir="", **settings)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[TcpProxy]:
    """A proxy in front of the run's Redis."""
    with TcpProxy(redis_server.port) as running:
        yield running


@pytest.mark.parametrize("opened", [False, True], ids=["opening a list", "the short way"])
def test_an_event_whose_answer_was_lost_is_stored_once(
    redis: redis_py.Redis, proxy: TcpProxy, opened: bool
) -> None:
    """If the answer to a push is lost, the producer pushes again, and the event is stored once."""
    queue = connect(proxy.url())
    assert producer_of(queue).register()
    events = [{"n": 0}] if opened else []
    assert all(queue.enqueue_many(events))
    proxy.drop_reply_to(b'"lost"')

    receipt = queue.enqueue({"n": "lost"})

    assert receipt == IN_REDIS
    assert proxy.replies_dropped == 1
    assert stored(redis) == [*numbers(len(events)), b'{"n":"lost"}']
    assert snapshot(redis).accepted == len(events) + 1


def test_many_events_whose_answer_was_lost_are_stored_once(
    redis: redis_py.Redis, proxy: TcpProxy
) -> None:
    """If the answer to a push of many events is lost, its sealed batches are neither doubled nor lost."""
    queue = connect(proxy.url(), batch={"events_per_request": 30})
    queue.enqueue({"n": 0})
    proxy.drop_reply_to(b'{"n":50}')

    receipts = queue.enqueue_many({"n": n} for n in range(1, 100))

    assert receipts == [IN_REDIS] * 99
    assert proxy.replies_dropped == 1
    assert stored(redis) == numbers(100)
    assert [batch.events for batch in snapshot(redis).batches] == [30, 30, 30]


def test_a_server_that_stalls_stores_an_event_once() -> None:
    """A server that executes all abandoned attempts later stores the event once, and goes on as usual."""
    with RedisServer() as server, redis_py.Redis.from_url(server.url) as client:
        queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
        queue.enqueue({"n": 0})
        server.pause()
        given_up = queue.enqueue({"n": 1})
        server.resume()
        wait_for(lambda: len(stored(client)) == 2, what="what the server had not got to")

        wait_for(lambda: queue.enqueue({"n": 2}), what="the breaker to be closed")
        receipts = [queue.enqueue({"n": n}) for n in range(3, 5)]

        assert given_up == UNAVAILABLE
        assert receipts == [IN_REDIS] * 2
        assert stored(client) == numbers(5)


def test_a_registration_whose_answer_was_lost_is_written_again(
    redis: redis_py.Redis, proxy: TcpProxy
) -> None:
    """A lost answer to the registration does not lose the first event of a process."""
    queue = connect(proxy.url())
    proxy.drop_reply_to(DESTINATION.queue.encode())

    receipt = queue.enqueue({"n": 0})

    assert proxy.replies_dropped == 1
    assert receipt == IN_REDIS
    assert stored(redis) == numbers(1)


def test_a_server_that_comes_back_without_scripts(redis: redis_py.Redis, proxy: TcpProxy) -> None:
    """A connection breaks and the server has lost its scripts: the event is stored."""
    queue = connect(proxy.url())
    queue.enqueue({"n": 0})
    redis.script_flush()
    proxy.drop_reply_to(b'{"n":1}')

    receipt = queue.enqueue({"n": 1})

    assert proxy.replies_dropped == 1
    assert receipt == IN_REDIS
    assert stored(redis) == numbers(2)


def test_script_flush_is_mended(redis: redis_py.Redis, redis_url: str) -> None:
    """A server that forgot its scripts is given them; the event is stored once."""
    queue = connect(redis_url, batch={"events_per_request": 30})
    queue.enqueue({"n": 0})

    for n in range(1, 60):
        redis.script_flush()
        assert queue.enqueue({"n": n}) == IN_REDIS

    assert stored(redis) == numbers(60)


def test_flushall_is_mended(redis: redis_py.Redis, redis_url: str) -> None:
    """After FLUSHALL, the next event registers the queue again and is stored."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    redis.flushall()

    receipts = [queue.enqueue({"n": 1}), *queue.enqueue_many([{"n": 2}, {"n": 3}])]

    assert receipts == [IN_REDIS] * 3
    assert stored(redis) == numbers(3, start=1)
    assert list(producer_of(queue).fleet.registrations().readable) == [queue.name]
    assert [shard.keys.name for shard in producer_of(queue).fleet.watched()] == [f"{queue.name}:0"]


def test_a_server_that_is_not_there_costs_little_time() -> None:
    """If connections are refused, the event is dropped at once and counted; nothing is raised."""
    queue = connect(f"redis://127.0.0.1:{free_port()}/0", enqueue_timeout_seconds=TIMEOUT_SECONDS)
    started = time.monotonic()

    receipts = [queue.enqueue({"n": 0}), *queue.enqueue_many([{"n": 1}, {"n": 2}])]

    assert receipts == [UNAVAILABLE] * 3
    assert time.monotonic() - started < SOON_SECONDS
    assert queue.dropped == {"redis_unavailable": 3}


@pytest.mark.parametrize("connected", [True, False])
def test_a_server_that_is_silent_costs_little_time(
    redis: redis_py.Redis, proxy: TcpProxy, connected: bool
) -> None:
    """A network that answers nothing holds a caller for little more than the timeout."""
    queue = connect(proxy.url(), enqueue_timeout_seconds=TIMEOUT_SECONDS)
    if connected:
        queue.enqueue({"n": 0})
    proxy.blackhole()
    started = time.monotonic()

    receipt = queue.enqueue({"n": "swallowed"})

    assert receipt == UNAVAILABLE
    assert time.monotonic() - started < SOON_SECONDS


def test_a_server_that_comes_back_takes_events_again() -> None:
    """While the server is down, receipts say "dropped"; once it is back without scripts, events are
    stored again.
    """
    with RedisServer(appendonly=True) as server:
        queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
        queue.enqueue({"n": 0})
        server.kill()
        while_down = queue.enqueue({"n": "down"})
        server.start()

        receipt = wait_for(lambda: queue.enqueue({"n": 1}), what="a receipt")

        assert while_down == UNAVAILABLE
        assert receipt == IN_REDIS
        with redis_py.Redis.from_url(server.url) as client:
            assert stored(client) == numbers(2)


def test_a_server_without_memory_refuses_and_says_so() -> None:
    """An event that Redis has no memory for is dropped and counted; nothing is raised."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        queue = connect(server.url)
        queue.enqueue({"n": 0})
        client.config_set("maxmemory", 1)

        receipts = [queue.enqueue({"n": 1}), connect(server.url).enqueue({"n": 2})]

        client.config_set("maxmemory", 0)
        assert receipts == [UNAVAILABLE] * 2
        assert stored(client) == numbers(1)
        client.close()


def test_what_other_programs_break_raises_nothing(redis: redis_py.Redis, redis_url: str) -> None:
    """A key of the wrong type raises nothing: the application sees it as any failure of Redis."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    redis.delete(producer_of(queue).shards[0].keys.open)
    redis.set(producer_of(queue).shards[0].keys.open, "not a list")

    receipt = queue.enqueue({"n": 1})

    assert receipt == UNAVAILABLE
