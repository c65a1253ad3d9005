"""A process with many queues: what it opens does not grow with their number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis as redis_py

import vwo_celery
from tools.producers import BATCH
from tools.round_trips import round_trips
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS

pytestmark = pytest.mark.declared_keys("open", "watched")
MANY = 100


def connect(url: str, number: int) -> vwo_celery.Queue:
    """The queue of an account of its own."""
    destination = vwo_celery.Destination(
        account_id=9_000 + number, sdk_key="k" * 32, generation="fme"
    )
    return vwo_celery.connect(
        destination, batch_event_data=BATCH, redis_url=url, enqueue_timeout_seconds=10.0
    )


@contextmanager
def threads_started() -> Iterator[set[threading.Thread]]:
    """Give a set that has the threads which were started meanwhile, once the context ends."""
    before, started = set(threading.enumerate()), set()
    yield started
    started |= set(threading.enumerate()) - before


def test_many_queues_share_one_connection_and_need_no_thread(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A hundred more queues that enqueue open no connection, start no thread, and wait as few."""
    first = connect(redis_url, 0)
    assert first.enqueue({"n": 0}) == IN_REDIS
    connected = len(redis.client_list())

    with threads_started() as started, round_trips() as count:
        queues = [connect(redis_url, 1 + number) for number in range(MANY)]
        receipts = [queue.enqueue({"n": 1}) for queue in queues for _ in range(2)]
        took = count()

    assert receipts == [IN_REDIS] * 2 * MANY
    assert len(redis.client_list()) == connected
    assert not started
    assert took == 4 * MANY  # a new queue's registration, its number of shards, and two events


def test_queues_keep_their_names_of_keys_once() -> None:
    """What all queues of a namespace share is made once, and the names of a shard's keys are not kept."""
    one, other = (producer_of(connect("redis://127.0.0.1:1", number)) for number in (1, 2))

    assert one.fleet.keys is other.fleet.keys
    assert not hasattr(one.shards[0].keys, "__dict__")
