"""A request waits while its queue is registered: few round trips, however many shards there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import redis as redis_py

import vwo_celery
import vwo_celery.aio
from tools.producers import BATCH
from tools.redis_groups import ClusterGroup, client_of
from tools.round_trips import round_trips
from vwo_celery.connections import open_client
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.receipts import IN_REDIS

pytestmark = pytest.mark.declared_keys("open", "watched")
MASTERS = 3
#: Round trips of a registration: all that is needed, and once more for a queue that is new.
MOST = 2
#: Round trips of a push, and of one to a Redis that has lost scripts and queue: two are refused.
PUSH, LOST_PUSH = 1, 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterGroup]:
    """A cluster of this file's own."""
    with ClusterGroup(MASTERS) as running:
        yield running


def connect(url: str, account: int, shards: int) -> vwo_celery.Queue:
    """A queue with so many shards; all of them share a connection.

    No other file has these accounts: a report of what an earlier test dropped is a round trip, too.
    """
    destination = vwo_celery.Destination(
        account_id=7_100 + account, sdk_key="k" * 32, generation="fme"
    )
    return vwo_celery.connect(
        destination, batch_event_data=BATCH, redis_url=url, shards=shards,
        enqueue_timeout_seconds=20.0, spool_dir="",
    )  # fmt: skip


def forget_all(client: redis_py.Redis) -> None:
    """Do to Redis what a restart without a dump does."""
    client.flushall()
    client.script_flush()


@pytest.mark.parametrize("shards", [1, 64])
def test_the_first_call_registers_in_few_round_trips(
    shards: int, redis: redis_py.Redis, redis_url: str
) -> None:
    """A new queue takes two and its push, scripts included; another producer of it takes one."""
    opened = connect(redis_url, 2, 1)
    assert opened.enqueue({"n": 0})
    forget_all(redis)

    with round_trips() as count:
        receipt = connect(redis_url, 1, shards).enqueue({"n": 1})
        first = count()
        another = producer_of(connect(redis_url, 1, shards))
        assert another.register()
        again = count() - first

    assert receipt == IN_REDIS
    assert first <= MOST + PUSH
    assert again == 1
    fleet = Fleet(redis, "vwo")
    assert fleet.registration(another.name).shards == shards
    assert len(fleet.watched_names()) == shards


@pytest.mark.parametrize("shards", [1, 64])
def test_a_redis_that_lost_everything_costs_few_round_trips(
    shards: int, redis: redis_py.Redis, redis_url: str
) -> None:
    """A queue is registered again, with its scripts, in as many round trips for any shards."""
    queue = connect(redis_url, 1, shards)
    assert queue.enqueue({"n": 0})
    forget_all(redis)

    with round_trips() as count:
        receipt = queue.enqueue({"n": 1})
        took = count()

    assert receipt == IN_REDIS
    assert took <= MOST + LOST_PUSH


def test_a_queue_with_higher_shards_takes_one_round_trip_more(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A producer that has fewer shards than others sets the limits of theirs at once."""
    higher = producer_of(connect(redis_url, 1, 64))
    assert higher.register()

    with round_trips() as count:
        assert producer_of(connect(redis_url, 1, 1)).register()
        took = count()

    assert took == MOST
    assert Fleet(redis, "vwo").registration(higher.name).shards == 64


def test_asyncio_registers_in_few_round_trips(redis: redis_py.Redis, redis_url: str) -> None:
    """The same for asyncio, whose first push takes the way of the registration."""
    opened = connect(redis_url, 2, 1)
    assert opened.enqueue({"n": 0})
    forget_all(redis)
    queue = vwo_celery.aio.AioQueue(connect(redis_url, 1, 64))

    async def run() -> vwo_celery.Receipt:
        receipt = await queue.enqueue({"n": 1})
        await queue.aclose()
        return receipt

    with round_trips() as count:
        receipt = asyncio.run(run())
        took = count()

    assert receipt == IN_REDIS
    assert took <= MOST + PUSH


def test_a_cluster_takes_as_many_for_each_node(cluster: ClusterGroup) -> None:
    """In a Cluster the number grows with its nodes, and not with the shards."""
    opened = connect(cluster.url, 2, 64)
    assert all(opened.enqueue_many([{"n": 0}]))
    assert producer_of(opened).register()
    for node in cluster.masters:
        with client_of(node) as client:
            forget_all(client)

    took = []
    for account, shards in ((3, 1), (4, 64)):
        with round_trips() as count:
            receipt = connect(cluster.url, account, shards).enqueue({"n": 1})
            took.append(count())
        assert receipt == IN_REDIS

    # Limits, and notes, on each node; then two entries, and one of them once more.
    assert max(took) <= 2 * MASTERS + 3 + PUSH
    fleet = Fleet(open_client(cluster.url, timeout_seconds=20), "vwo")
    assert len(fleet.watched_names()) == 65
