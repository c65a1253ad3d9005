"""A full queue with `when_full="drop_oldest"` drops its oldest events, and no more than it must."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis as redis_py

import vwo_celery
from tools.bounded_queues import FULL, connect
from tools.drops import Drops
from tools.producers import KEPT, numbers, snapshot, stored
from vwo_celery.producing.aio import AioQueue
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS, Receipt

pytestmark = pytest.mark.declared_keys(*KEPT, "leases")


def test_a_full_queue_drops_its_oldest(redis: redis_py.Redis, redis_url: str, drops: Drops) -> None:
    """A full queue drops its oldest batch for the newest event; ledger and receivers count the drop."""
    queue = connect(redis_url, max_queue_events=7)
    queue.enqueue_many({"n": n} for n in range(7))

    receipts = [queue.enqueue({"n": n}) for n in range(7, 10)]

    assert receipts == [IN_REDIS] * 3
    assert stored(redis) == numbers(7, start=3)
    assert drops == [(queue.name, "oldest", 3)]
    assert snapshot(redis).dropped == {"oldest": 3}
    assert snapshot(redis).refused == 0
    assert snapshot(redis).balanced
    assert queue.dropped == {}


def test_where_no_batch_is_ready_the_oldest_open_events_go(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """If no batch is ready, the oldest open events are dropped one by one."""
    queue = connect(redis_url, batch={"events_per_request": 100}, max_queue_events=5)

    assert all(queue.enqueue({"n": n}) for n in range(12))

    assert stored(redis) == numbers(5, start=7)
    assert snapshot(redis).balanced


def test_many_events_take_the_place_of_as_many_batches(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """If every event is a batch, dropping many batches takes several calls."""
    queue = connect(redis_url, batch={}, max_queue_events=400)
    queue.enqueue_many({"n": n} for n in range(400))

    assert all(queue.enqueue_many({"n": n} for n in range(400, 700)))

    assert stored(redis) == numbers(400, start=300)
    assert snapshot(redis).balanced


def test_many_events_take_the_place_of_as_many_open_ones(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A push with as many events as one command may have drops as many open ones, in several calls."""
    queue = connect(redis_url, batch={"events_per_request": 5_000}, max_queue_events=1_200)
    queue.enqueue_many({"n": n} for n in range(1_200))

    assert all(queue.enqueue_many({"n": n} for n in range(1_200, 2_200)))

    assert stored(redis) == numbers(1_200, start=1_000)
    assert snapshot(redis).balanced


def test_a_push_larger_than_the_queue_drops_nothing(redis: redis_py.Redis, redis_url: str) -> None:
    """A push larger than the queue is refused as a whole and drops nothing, since it would never fit."""
    queue = connect(redis_url, max_queue_events=4)
    queue.enqueue_many({"n": n} for n in range(4))

    receipts = queue.enqueue_many({"n": n} for n in range(4, 9))

    assert receipts == [FULL] * 5
    assert stored(redis) == numbers(4)
    assert queue.dropped == {"queue_full": 5}
    assert snapshot(redis).refused == 5


def test_what_workers_hold_is_not_dropped(redis: redis_py.Redis, redis_url: str) -> None:
    """Batches in flight are not dropped, since VWO may have them; the newest event is refused instead."""
    queue = connect(redis_url, max_queue_events=3)
    queue.enqueue_many({"n": n} for n in range(3))
    assert producer_of(queue).shards[0].claim(token="", lease_seconds=60)

    assert queue.enqueue({"n": 3}) == FULL

    assert stored(redis) == numbers(3)


def test_an_asyncio_producer_drops_the_oldest(redis: redis_py.Redis, redis_url: str) -> None:
    """An asyncio producer drops the oldest events in the same way."""
    queue = AioQueue(connect(redis_url, max_queue_events=7))

    async def enqueue() -> list[Receipt]:
        receipts = [await queue.enqueue({"n": n}) for n in range(10)]
        await queue.aclose()
        return receipts

    assert asyncio.run(enqueue()) == [IN_REDIS] * 10

    assert stored(redis) == numbers(7, start=3)
    assert snapshot(redis).balanced


def test_producers_that_drop_at_once_lose_no_event_unsaid(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """If several producers drop at once, every event is stored, or counted as dropped or refused."""
    producers = [connect(redis_url, max_queue_events=10) for _ in range(4)]

    def enqueue(queue: vwo_celery.Queue) -> list[Receipt]:
        return [queue.enqueue({"n": n}) for n in range(100)]

    with ThreadPoolExecutor(len(producers)) as threads:
        receipts = [each for answers in threads.map(enqueue, producers) for each in answers]

    found = snapshot(redis)
    assert found.balanced
    assert found.pending <= 10
    assert found.accepted == receipts.count(IN_REDIS)
    assert found.accepted == found.dropped["oldest"] + found.pending
    assert sum(sum(queue.dropped.values()) for queue in producers) == receipts.count(FULL)


def test_drops_are_logged_once_a_minute(
    redis: redis_py.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Drops of a queue that stays full are logged once a minute."""
    queue = vwo_celery.connect(
        vwo_celery.Destination(account_id=77, sdk_key="k" * 32, generation="fme"),
        batch_event_data={"events_per_request": 3}, redis_url=redis_url, when_full="drop_oldest",
        max_queue_events=3,
    )  # fmt: skip

    with caplog.at_level(logging.WARNING, "vwo_celery"):
        for n in range(20):
            queue.enqueue({"n": n})

    lines = [line for line in caplog.messages if "(oldest)" in line]
    assert len(lines) == 1
    assert "max_queue_events" in lines[0]
