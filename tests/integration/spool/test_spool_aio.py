"""The asyncio producer spools like the other one, and the disk never blocks its loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
import redis as redis_py

import vwo_celery
import vwo_celery.aio
from tools.producers import BATCH, DESTINATION, KEPT, SOON_SECONDS, TIMEOUT_SECONDS, numbers, stored
from tools.redis_outages import OUTAGES, Outage, server_for
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.errors import QueueFull
from vwo_celery.receipts import IN_REDIS, SPOOLED, Receipt
from vwo_celery.testing import RedisServer, free_port

pytestmark = pytest.mark.declared_keys(*KEPT)
Answer = TypeVar("Answer")
Work = Callable[[vwo_celery.aio.AioQueue], Awaitable[Answer]]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be stopped."""
    with RedisServer(appendonly=True) as running:
        yield running


def run(url: str, work: Work[Answer], **settings: Any) -> Answer:
    """The result of *work*, run in its own loop."""
    settings = {"enqueue_timeout_seconds": TIMEOUT_SECONDS, **settings}

    async def main() -> Answer:
        queue = vwo_celery.aio.connect(
            DESTINATION, batch_event_data=BATCH, redis_url=url, **settings
        )
        try:
            return await work(queue)
        finally:
            await queue.aclose()

    return asyncio.run(main())


def held(server: RedisServer) -> list[bytes]:
    """The events that Redis holds."""
    with redis_py.Redis.from_url(server.url) as client:
        return stored(client)


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda each: each.__name__)
def test_an_outage_loses_nothing_and_costs_little_time(outage: Outage) -> None:
    """In an outage receipts say "spooled" in time, then at once; events are drained afterwards."""

    async def work(queue: vwo_celery.aio.AioQueue) -> list[Receipt]:
        assert await queue.enqueue({"n": 0}) == IN_REDIS
        with outage(server, proxy):
            started = time.monotonic()
            receipts = [await queue.enqueue({"n": 1})]
            assert time.monotonic() - started < SOON_SECONDS
            receipts += await queue.enqueue_many({"n": n} for n in range(2, 60))
            assert await queue.spooled() == 59
        return receipts

    with server_for(outage) as server, TcpProxy(server.port) as proxy:
        receipts = run(proxy.url(), work)
        wait_until(lambda: len(held(server)) == 60, 20, what="the spool to be drained")
        assert held(server) == numbers(60)

    assert receipts == [SPOOLED] * 59


def test_the_loop_goes_on_while_events_are_spooled(server: RedisServer) -> None:
    """Neither a silent Redis nor the disk keeps other tasks of the loop from running."""

    async def work(queue: vwo_celery.aio.AioQueue) -> tuple[list[Receipt], int]:
        await queue.enqueue({"n": 0})
        server.pause()
        storing = asyncio.ensure_future(queue.enqueue_many({"n": n} for n in range(1, 3000)))
        turns = 0
        while not storing.done():
            await asyncio.wait([storing], timeout=0.001)
            turns += 1
        server.resume()
        return await storing, turns

    receipts, turns = run(server.url, work)

    wait_until(lambda: len(held(server)) == 3000, 20, what="the spool to be drained")
    assert receipts == [SPOOLED] * 2999
    assert turns > 20
    assert held(server) == numbers(3000)


def test_drain_spool_is_awaited(server: RedisServer) -> None:
    """drain_spool can be awaited and returns its counts, as with threads."""

    async def work(queue: vwo_celery.aio.AioQueue) -> vwo_celery.DrainResult:
        server.kill()
        await queue.enqueue_many({"n": n} for n in range(10))
        server.start()
        return await queue.drain_spool(timeout_seconds=20)

    result = run(server.url, work)

    assert result
    assert held(server) == numbers(10)


def test_a_full_spool_raises_if_asked_to() -> None:
    """With when_full="raise", a full spool raises QueueFull out of the await."""

    async def work(queue: vwo_celery.aio.AioQueue) -> None:
        for n in range(200):
            await queue.enqueue({"n": n, "pad": "x" * 2000})

    with pytest.raises(QueueFull, match="max_spool_bytes"):
        run(f"redis://127.0.0.1:{free_port()}/0", work, when_full="raise", max_spool_bytes=200_000)


def test_a_cancelled_await_is_spooled_with_the_others(server: RedisServer) -> None:
    """The event of a cancelled await is stored or spooled with the others."""

    async def work(queue: vwo_celery.aio.AioQueue) -> Receipt:
        await queue.enqueue({"n": 0})
        server.pause()
        impatient = asyncio.ensure_future(queue.enqueue({"n": 1}))
        other = asyncio.ensure_future(queue.enqueue({"n": 2}))
        await asyncio.sleep(0)
        impatient.cancel()
        receipt = await other
        server.resume()
        return receipt

    receipt = run(server.url, work)

    wait_until(lambda: len(held(server)) == 3, 20, what="the spool to be drained")
    assert receipt == SPOOLED
