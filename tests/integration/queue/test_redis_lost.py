"""Events that Redis itself lost are counted, each once, and no others are."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py

from tools.bounded_queues import connect, findings
from tools.producers import KEPT, numbers, snapshot, stored
from tools.queue_states import Queues
from vwo_celery.receipts import IN_REDIS

pytestmark = pytest.mark.declared_keys(*KEPT)


def copy_of(redis: Any) -> dict[bytes, bytes]:
    """All keys, as Redis would save them now."""
    return {name: redis.dump(name) for name in redis.keys("*")}


def come_back_with(redis: Any, keys: dict[bytes, bytes]) -> None:
    """Make Redis hold an older state, as after a crash."""
    redis.flushall()
    for name, dumped in keys.items():
        redis.restore(name, 0, dumped)


@pytest.mark.parametrize("events_per_request", [3, 100], ids=["batches", "the short way"])
def test_each_producer_tells_what_redis_lost_of_it(
    redis: redis_py.Redis, redis_url: str, queues: Queues, events_per_request: int
) -> None:
    """Each producer reports its lost events once, whatever their way; the ledger always balances."""
    batch = {"events_per_request": events_per_request}
    first, second, silent = (connect(redis_url, batch=batch) for _ in range(3))
    for queue in (first, second, silent):
        queue.enqueue_many({"n": n} for n in range(4))
    saved = copy_of(redis)
    for n in range(5):
        first.enqueue({"n": n})
    second.enqueue_many({"n": n} for n in range(7))
    silent.enqueue({"n": 4})

    come_back_with(redis, saved)
    (before,) = findings(queues, "redis lost")
    receipts = [queue.enqueue({"n": 9}) for queue in (first, second, second)]

    assert receipts == [IN_REDIS] * 3
    found = snapshot(redis)
    assert found.dropped == {"redis_lost": 5 + 7}
    assert found.accepted == 12 + 12 + 3
    assert found.balanced
    assert before.state == "ok"
    (finding,) = findings(queues, "redis lost")
    assert finding.state == "warn"
    assert finding.what.startswith(f"of {first.name}: Redis lost at most 12 events that")


def test_a_redis_that_forgot_all_is_no_loss_of_all_that_ever_was(
    redis: redis_py.Redis, redis_url: str, queues: Queues
) -> None:
    """If Redis forgot everything, events delivered earlier are not counted as lost, whichever
    producer registers first; how many it still held is unknown.
    """
    producers = [connect(redis_url) for _ in range(3)]
    for queue in producers:
        queue.enqueue_many({"n": n} for n in range(10))
    redis.flushall()

    receipts = [queue.enqueue({"n": n}) for n in range(4) for queue in producers]

    assert receipts == [IN_REDIS] * 12
    found = snapshot(redis)
    assert found.dropped == {}
    assert (found.accepted, found.pending) == (12, 12)
    assert found.balanced
    (finding,) = findings(queues, "redis lost")
    assert finding.state == "warn"
    assert "nobody knows how much" in finding.what


def test_a_new_producer_that_registers_first_leaves_it_to_the_others_to_tell(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A new producer that registers first knows of no earlier life; the others report it with their
    next event.
    """
    old, new = connect(redis_url), connect(redis_url)
    old.enqueue_many({"n": n} for n in range(10))
    redis.flushall()

    new.enqueue({"n": 0})
    before = snapshot(redis).forgotten_ms
    old.enqueue({"n": 1})

    assert before == 0
    assert snapshot(redis).forgotten_ms > 0
    assert snapshot(redis).dropped == {}
    assert stored(redis) == numbers(2)


def test_shards_have_marks_of_their_own(redis: redis_py.Redis, redis_url: str) -> None:
    """Each shard has its own marks: events spread over several shards cause no false loss."""
    queue = connect(redis_url, shards=4, batch={"events_per_request": 100})

    assert all(queue.enqueue({"n": n}) for n in range(60))
    assert all(queue.enqueue_many([{"n": n}] * 2) for n in range(30))

    found = [snapshot(redis, number) for number in range(4)]
    assert sum(each.accepted for each in found) == 120
    assert all(each.dropped == {} and each.accepted for each in found)
