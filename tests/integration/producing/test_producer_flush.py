"""A flush ends in time and says why events are still pending; it costs the same at any backlog."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools.producers import (
    KEPT,
    SOON_SECONDS,
    TIMEOUT_SECONDS,
    connect,
    snapshot,
    worker_fleet,
    worker_shards,
)
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.words.batches import Batch
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(*KEPT)


def test_a_flush_without_a_worker_says_so_in_time(redis: redis_py.Redis, redis_url: str) -> None:
    """Without a worker, flush ends at its timeout and says so; the events stay."""
    queue = connect(redis_url)
    queue.enqueue_many({"n": n} for n in range(5))
    started = time.monotonic()

    result = queue.flush_events(timeout_seconds=0.3)

    assert 0.3 <= time.monotonic() - started < SOON_SECONDS
    assert not result
    assert (result.delivered, result.failed, result.pending) == (0, 0, 5)
    assert "no worker listens" in result.reason
    assert [batch.events for batch in snapshot(redis).batches] == [5]
    assert redis.llen(producer_of(queue).fleet.keys.wakeups) == 1


def test_a_flush_of_an_empty_queue_is_well(redis: redis_py.Redis, redis_url: str) -> None:
    """A flush of an empty queue succeeds, even before the first event."""
    result = connect(redis_url).flush_events(timeout_seconds=5)

    assert result
    assert (result.delivered, result.failed, result.pending, result.reason) == (0, 0, 0, "")


def _why_quiet(redis: redis_py.Redis, queue: vwo_celery.Queue) -> str:
    """The reason of a flush 8 seconds after the only worker was heard, which was killed."""
    fleet = worker_fleet(queue)
    redis.zadd(fleet.keys.listeners, {"a worker": fleet.now_ms() - 8_000})
    reason = queue.flush_events(timeout_seconds=0).reason
    fleet.note_listener("a worker")
    return reason


def _why_not_accepted(queue: vwo_celery.Queue, error: str) -> str:
    """The reason of a flush while a batch waits for its next try."""
    (shard,) = worker_shards(queue)
    batch = shard.claim(token="", lease_seconds=60)
    assert isinstance(batch, Batch)
    assert shard.release(batch, delay_seconds=100, error=error)
    return queue.flush_events(timeout_seconds=0).reason


@pytest.mark.parametrize(
    ("held_by", "expected"),
    [
        ("", r"VWO did not accept it yet: 503 busy; next try in \d+ s"),
        ("outage", r"sending has been failing since [\d:]+ \([\d.]+ s\): 503 busy; next try in \d+ s"),
        (
            "refusal",
            r"VWO refuses what the queue holds since [\d:]+ \([\d.]+ s\): 503 busy; next try in \d+ s",
        ),
    ],
)  # fmt: skip
def test_a_flush_tells_when_it_is_tried_next(
    redis: redis_py.Redis, redis_url: str, held_by: Any, expected: str
) -> None:
    """A flush whose time is over tells the last failure, since when nothing is sent, and the next try."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    fleet, (shard,) = worker_fleet(queue), worker_shards(queue)
    fleet.note_listener("a worker")
    queue.flush_events(timeout_seconds=0)
    reason = _why_not_accepted(queue, "503 busy")
    if held_by:
        shard.hold(fleet.now_ms() + 90_000, by=held_by, why="503 busy")
        reason = queue.flush_events(timeout_seconds=0).reason

    assert re.fullmatch(expected, reason)


def test_a_flush_tells_why_it_is_pending(redis: redis_py.Redis, redis_url: str) -> None:
    """A flush whose time is over gives the reason: workers that may not send it, or a pause."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    (shard,) = worker_shards(queue)
    worker_fleet(queue).note_listener("a worker")
    quiet = _why_quiet(redis, queue)
    shard.hold(1, by="workers", why="this worker may not send to 'a'")
    declined = queue.flush_events(timeout_seconds=0).reason
    shard.pause("401 Unauthorized")

    result = queue.flush_events(timeout_seconds=0)

    assert re.fullmatch(r"no worker has been heard for \d[\d.]* s \(a worker\)", quiet)
    assert declined == "no worker that listens may send it: this worker may not send to 'a'"
    assert result.pending == 1
    assert re.fullmatch(
        r"the queue is paused since [\d:]+ \([\d.]+ s\): 401 Unauthorized", result.reason
    )


def _cost(redis: redis_py.Redis, queue: vwo_celery.Queue) -> tuple[dict[str, int], int]:
    """Commands that Redis runs for a flush, those of scripts included, and the bytes it answers."""
    redis.config_resetstat()
    queue.flush_events(timeout_seconds=0)
    calls = {name: stats["calls"] for name, stats in redis.info("commandstats").items()}
    return calls, redis.info("stats")["total_net_output_bytes"]


@pytest.mark.parametrize("due_in_seconds", [-1, 600], ids=["ready", "released"])
def test_a_flush_costs_the_same_at_any_backlog(
    redis: redis_py.Redis, redis_url: str, due_in_seconds: int
) -> None:
    """A flush without a wait costs Redis the same for 2,000 batches as for 10."""
    queue = connect(redis_url, {"events_per_request": 1})
    (shard,), fleet = worker_shards(queue), worker_fleet(queue)

    def fill(batches: int) -> None:
        queue.enqueue_many({"n": n} for n in range(batches))
        due = fleet.now_ms() + 1_000 * due_in_seconds
        redis.zadd(shard.keys.ready, dict.fromkeys(redis.zrange(shard.keys.ready, 0, -1), due))
        fleet.note_listener("host:1")
        queue.flush_events(timeout_seconds=0)  # which seals, and loads the scripts

    fill(10)
    few, little = _cost(redis, queue)
    fill(2_000)

    many, as_little = _cost(redis, queue)

    assert many == few
    assert as_little < little + 1_000


def test_a_flush_raises_nothing_without_redis() -> None:
    """Without Redis, flush raises nothing and reports that its events are not delivered."""
    queue = connect(f"redis://127.0.0.1:{free_port()}/0", enqueue_timeout_seconds=TIMEOUT_SECONDS)

    result = queue.flush_events(timeout_seconds=1)

    assert not result
    assert "nothing listens at the address of Redis" in result.reason
