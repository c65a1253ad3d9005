"""A push tells workers in its own round trip; where it cannot, its producer tells them afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from tools.producers import connect, numbers, stored
from tools.redis_groups import serve_all_slots
from tools.round_trips import round_trips
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys("ready", "info", "batch", "slots", "wakeups", "watched")
SMALL = {"events_per_request": 2, "request_time_interval": 600}


@pytest.fixture(scope="module")
def only_node() -> Iterator[RedisServer]:
    """The only node of a Redis Cluster, which refuses a script whose keys lie in several slots."""
    with RedisServer(arguments=("--cluster-enabled", "yes")) as server:
        serve_all_slots(server)
        yield server


def test_a_call_that_fills_a_batch_waits_once(redis: redis_py.Redis, redis_url: str) -> None:
    """The wake-up is there, and the shard is watched, after the one round trip of the push."""
    queue = connect(redis_url, SMALL)
    fleet = producer_of(queue).fleet
    assert producer_of(queue).register()
    redis.hdel(producer_of(queue).shards[0].keys.meta, "watched")
    redis.delete(fleet.keys.watched)

    with round_trips() as count:
        opened = queue.enqueue({"n": 0})
        filled = queue.enqueue({"n": 1})
        took = count()

    assert [opened, filled] == [IN_REDIS] * 2
    assert took == 2
    assert redis.llen(fleet.keys.wakeups) == 1
    assert redis.smembers(fleet.keys.watched) == {f"{queue.name}:0".encode()}


def test_a_cluster_that_is_reached_as_one_server_gets_wakeups(only_node: RedisServer) -> None:
    """A push that it refuses is sent again without these keys, and the later ones have none."""
    queue = connect(only_node.url, SMALL)
    client = redis_py.Redis.from_url(only_node.url)

    receipts = [queue.enqueue({"n": n}) for n in range(4)]

    fleet = producer_of(queue).fleet
    assert receipts == [IN_REDIS] * 4
    assert stored(client) == numbers(4)
    assert client.llen(fleet.keys.wakeups) == 2
    assert client.smembers(fleet.keys.watched) == {f"{queue.name}:0".encode()}
    refused = str(client.info("errorstats")["errorstat_CROSSSLOT"])  # older redis-py: "count=1"
    assert "".join(filter(str.isdigit, refused)) == "1"


def test_events_from_a_spool_tell_workers_too(redis: redis_py.Redis, redis_url: str) -> None:
    """A page that is drained seals its batches, and their wake-ups are there with it."""
    queue = connect(redis_url, SMALL)
    producer = producer_of(queue)
    assert producer.register()
    producer.fallback.keep(numbers(2))

    result = queue.drain_spool(timeout_seconds=30)

    assert result.drained in (0, 2)  # the rest by the drainer's own thread
    assert queue.spooled() == 0
    assert redis.llen(producer.fleet.keys.wakeups) == 1
