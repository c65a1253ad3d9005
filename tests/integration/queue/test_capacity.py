"""A capacity is shared by shards; the ways beyond it that are no producer's; a lowered one."""

from __future__ import annotations

import pytest
import redis as redis_py

from tools.bounded_queues import FULL, connect, findings
from tools.producers import KEPT, numbers, snapshot
from tools.queue_states import OPERATOR, Queues, everything, find_dead
from vwo_celery.operating import operations
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.capacity import share
from vwo_celery.receipts import IN_REDIS

pytestmark = pytest.mark.declared_keys(*KEPT, "dead", "leases")


def test_capacity_is_shared_by_shards(redis: redis_py.Redis, redis_url: str) -> None:
    """Each shard has its part of the capacity, rounded up: three parts of ten hold ten or more."""
    queue = connect(redis_url, shards=3, max_queue_events=10, when_full="drop_newest")

    receipts = [queue.enqueue({"n": n}) for n in range(100)]

    held = [snapshot(redis, number).pending for number in range(3)]
    assert [producer_of(queue).limits.capacity_events, share(10, 3), share(9, 3), share(0, 3)] == [
        4,
        4,
        3,
        0,
    ]
    assert held == [4, 4, 4]
    assert receipts.count(IN_REDIS) == 12


def test_other_programs_may_push_beyond_the_capacity(
    redis: redis_py.Redis, redis_url: str, queues: Queues
) -> None:
    """Events of other programs may exceed the capacity: the operator sees it, our own events are
    refused until the queue drains, and nothing is lost.
    """
    queue = connect(redis_url, max_queue_events=5, when_full="drop_newest")
    queue.enqueue({"n": 0})
    redis.lpush(producer_of(queue).shards[0].keys.open, *numbers(11, start=1))
    producer_of(queue).shards[0].sweep(force=True, idle_ms=60_000)

    refused = queue.enqueue({"n": 12})

    view = queues.view(queue)
    assert refused == FULL
    assert (view.undelivered, view.fullness, view.refused) == (12, 12 / 5, 1)
    (finding,) = findings(queues, "capacity")
    assert finding.state == "problem"
    assert "240%" in finding.what
    for _ in range(4):
        queues.deliver(queue)
    assert queue.enqueue({"n": 13}) == IN_REDIS
    assert queues.view(queue).ledger.balanced


def test_a_redrive_is_never_refused(redis: redis_py.Redis, redis_url: str, queues: Queues) -> None:
    """A redrive is never refused and may exceed the capacity; new events wait for room."""
    queue = connect(redis_url, max_queue_events=4, when_full="drop_newest")
    queue.enqueue_many({"n": n} for n in range(3))
    queues.kill(queue, "too old")
    queue.enqueue_many({"n": n} for n in range(3, 7))

    dead = find_dead(queues.fleet, queues.registered)
    redriven = operations.redrive(queues.fleet, OPERATOR, dead, everything(dead))

    assert redriven.changed.events == 3
    assert queues.view(queue).undelivered == 7
    assert queue.enqueue({"n": 7}) == FULL
    queues.deliver(queue)
    queues.deliver(queue)
    assert queue.enqueue({"n": 8}) == IN_REDIS
    assert queues.view(queue).ledger.balanced


@pytest.mark.parametrize(("when_full", "left"), [("drop_newest", 8), ("drop_oldest", 4)])
def test_a_capacity_that_is_lowered_drops_nothing_by_itself(
    redis: redis_py.Redis, redis_url: str, when_full: str, left: int
) -> None:
    """A lowered capacity drops nothing until the next push, which applies its policy."""
    connect(redis_url, max_queue_events=9).enqueue_many({"n": n} for n in range(8))
    lowered = connect(redis_url, max_queue_events=4, when_full=when_full)
    assert producer_of(lowered).register()
    held = snapshot(redis).pending

    receipt = lowered.enqueue({"n": 8})

    assert held == 8
    assert receipt == (FULL if when_full == "drop_newest" else IN_REDIS)
    assert snapshot(redis).pending <= left
    assert snapshot(redis).balanced
