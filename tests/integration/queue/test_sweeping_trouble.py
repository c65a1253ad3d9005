"""A full Redis, broken queues and a wrong clock do not stop the sweep."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest
import redis as redis_py
from celery import Celery
from msgspec.structs import replace
from redis.exceptions import NoPermissionError

import vwo_celery
import vwo_celery.celery.worker.listener
import vwo_celery.celery.worker.stopping
from tools.producers import DESTINATION, KEPT, connect, numbers, snapshot
from tools.sweeps import SECOND, age, make_due, sweep
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.work.sweeping import _tell_of_refusal
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*KEPT, "leases")


def test_a_full_redis_is_swept() -> None:
    """On a Redis without memory, due lists are sealed and woken for: they may leave."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        queue = connect(server.url)
        queue.enqueue_many({"n": n} for n in range(5))
        make_due(producer_of(queue).shards[0])
        client.config_set("maxmemory", 1)

        wakeups = sweep(client)

        assert len(wakeups) == 1
        assert snapshot(client).events("ready") == 5
        client.close()


def test_a_flush_on_a_full_redis_waits_for_the_truth() -> None:
    """On a Redis without memory, a flush seals and watches batches, although it leaves no wake-up."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        queue = connect(server.url)
        queue.enqueue_many({"n": n} for n in range(5))
        client.config_set("maxmemory", 1)

        result = queue.flush_events(timeout_seconds=0)

        assert result.pending == 5
        assert snapshot(client).events("ready") == 5
        client.close()


def test_a_listener_of_a_full_redis_goes_on() -> None:
    """A listener that cannot store its sign of life still sweeps, and starts what is due."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        queue = connect(server.url)
        queue.enqueue_many({"n": n} for n in range(5))
        make_due(producer_of(queue).shards[0])
        client.config_set("maxmemory", 1)
        app = Celery(broker="memory://", set_as_current=False)
        vwo_celery.setup(app, redis_url=server.url)
        listener = vwo_celery.celery.worker.listener.Listener(app)

        listener.start(Consumer(app))

        with app.connection_for_read() as connection:
            message = connection.SimpleQueue("celery").get(timeout=20)
            assert message.headers["task"] == "vwo_celery.deliver"
            message.ack()
        listener.stop(Consumer(app))
        wait_until(lambda: not any("listener" in t.name for t in threading.enumerate()))
        vwo_celery.celery.worker.stopping.stopping.prepare()
        client.close()


class Consumer(NamedTuple):
    """The parts of Celery's consumer that the listener uses."""

    app: Celery


def break_open_list(fleet: Fleet, queue: vwo_celery.Queue) -> None:
    """Store a string in place of the open list."""
    fleet.client.set(producer_of(queue).shards[0].keys.open, "not a list")


def break_registration(fleet: Fleet, queue: vwo_celery.Queue) -> None:
    """Store a registration that cannot be read."""
    fleet.client.hset(fleet.keys.queues, queue.name, '{"destination": 1}')


@pytest.mark.parametrize("damage", [break_open_list, break_registration])
def test_one_broken_queue_does_not_hold_up_the_others(
    redis: redis_py.Redis,
    redis_url: str,
    damage: Callable[[Fleet, vwo_celery.Queue], None],
) -> None:
    """A broken queue is logged, and every other queue is swept and patrolled."""
    well = connect(redis_url)
    broken = vwo_celery.connect(replace(DESTINATION, account_id=9), redis_url=redis_url)
    assert producer_of(broken).register()
    assert producer_of(well).register()
    redis.delete(producer_of(well).fleet.keys.watched)
    damage(producer_of(broken).fleet, broken)
    producer_of(broken).fleet.watch(f"{broken.name}:0")
    redis.lpush(producer_of(well).shards[0].keys.open, *numbers(100))

    wakeups = sweep(redis)

    assert [wakeup.queue for wakeup in wakeups] == [well.name]
    redis.delete(producer_of(broken).shards[0].keys.open)


def test_what_a_sweep_misses_is_logged_seldom(
    redis: redis_py.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken shard is told once a minute, and so is what Redis refuses of all shards alike."""
    broken = vwo_celery.connect(replace(DESTINATION, account_id=10), redis_url=redis_url)
    others = [
        vwo_celery.connect(replace(DESTINATION, account_id=n), redis_url=redis_url)
        for n in (11, 12)
    ]
    for queue in (broken, *others):
        assert producer_of(queue).register()
    break_open_list(producer_of(broken).fleet, broken)
    producer_of(broken).fleet.watch(f"{broken.name}:0")

    for _ in range(3):
        sweep(redis)
    for queue in others:
        for _ in range(2):
            _tell_of_refusal(queue.name, NoPermissionError("has no permissions to run 'evalsha'"))

    told = [each for each in caplog.messages if "going on without" in each]
    assert [broken.name in each for each in told] == [True, False]
    assert "wrong type" in told[0]
    assert "give the user these rights" in told[1]
    redis.delete(producer_of(broken).shards[0].keys.open)


def test_a_shard_that_nobody_registered_is_left_alone(redis: redis_py.Redis) -> None:
    """A watched shard without limits, as after FLUSHALL, is left alone."""
    fleet = Fleet(redis, "vwo")
    fleet.watch("fme-1-gone:0")

    assert sweep(redis) == []


def test_a_flush_takes_no_lease_from_a_worker(redis: redis_py.Redis, redis_url: str) -> None:
    """A flush does not shorten the workers' leases, whose length an application need not know."""
    queue = connect(redis_url, batch=None)
    queue.enqueue({"n": 0})
    batch = producer_of(queue).shards[0].claim(token="", lease_seconds=7_200)
    assert batch is not None

    queue.flush_events(timeout_seconds=0)

    assert snapshot(redis).events("in_flight") == 1
    assert producer_of(queue).shards[0].claim(token="", lease_seconds=60) is None


def test_a_sweep_shows_what_a_clock_hid(redis: redis_py.Redis, redis_url: str) -> None:
    """A batch due later than any delay of ours becomes visible: the clock was ahead for a moment."""
    queue = connect(redis_url, batch=None)
    queue.enqueue({"n": 0})
    shard = producer_of(queue).shards[0]
    redis.delete(shard.keys.slots)
    age(shard, shard.keys.ready, -2 * 86_400 * SECOND)

    wakeups = sweep(redis)

    assert len(wakeups) == 1
    assert shard.claim(token="", lease_seconds=60) is not None
