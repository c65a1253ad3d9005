"""A flush counts each event by its own fate: accepted by VWO, refused, dropped, lost, or pending."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools.producers import KEPT, connect, snapshot, worker_fleet, worker_shards
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.capacity import make_room, trim_dead
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch, Part
from vwo_celery.queue.work import settlements
from vwo_celery.queue.work.sweeping import sweep_shard

pytestmark = pytest.mark.declared_keys(*KEPT)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start a thread that settles every batch it is woken for, as given.

    A flush looks before a batch is settled or after it, never in the middle.
    """
    ended, threads, settling = threading.Event(), [], threading.Lock()
    look = settlements.look

    def look_between(*arguments: Any) -> Any:
        with settling:
            return look(*arguments)

    monkeypatch.setattr(settlements, "look", look_between)

    def start(queue: vwo_celery.Queue, settle: Any) -> None:
        fleet, shards = worker_fleet(queue), worker_shards(queue)

        def serve() -> None:
            while not ended.is_set():
                wakeup = fleet.next_wakeup(0.1)
                while wakeup and (
                    batch := shards[wakeup.shard].claim(token=wakeup.token, lease_seconds=60)
                ):
                    with settling:
                        settle(shards[wakeup.shard], batch)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()

    yield start
    ended.set()
    for thread in threads:
        thread.join()


def test_a_flush_waits_for_delivery(redis: redis_py.Redis, redis_url: str, worker: Any) -> None:
    """A flush waits for all pending events, also of other processes and in all shards."""
    queue = connect(redis_url, shards=2)
    connect(redis_url, shards=2).enqueue_many({"n": n} for n in range(7))
    queue.enqueue_many({"n": n} for n in range(5))
    worker(queue, lambda shard, batch: shard.ack(batch.id))

    result = queue.flush_events(timeout_seconds=10)

    assert result
    assert (result.delivered, result.failed, result.pending) == (12, 0, 0)


def test_a_flush_tells_what_failed(redis: redis_py.Redis, redis_url: str, worker: Any) -> None:
    """A flush reports dead-lettered events as failed, and does not wait for them."""
    queue = connect(redis_url)
    queue.enqueue_many({"n": n} for n in range(5))
    worker(queue, lambda shard, batch: shard.dead_letter(batch, error="too old"))

    result = queue.flush_events(timeout_seconds=10)

    assert not result
    assert (result.delivered, result.failed, result.pending) == (0, 5, 0)
    shard = producer_of(queue).shards[0]
    assert sum(shard.purge(batch.id) for batch in snapshot(redis).batches) == 5


def die_and_trim(shard: Shard, batch: Batch) -> None:
    """Dead-letter a batch where no dead letter may be kept."""
    shard.dead_letter(batch, error="VWO answered 400")
    trim_dead([shard], 0)


def die_and_be_purged(shard: Shard, batch: Batch) -> None:
    """Dead-letter a batch that an operator purges at once."""
    shard.dead_letter(batch, error="VWO answered 400")
    shard.purge(batch.id)


def be_dropped_for_newer(shard: Shard, batch: Batch) -> None:
    """Give a batch back, and drop it for newer events, all of which VWO accepts."""
    shard.release(batch, delay_seconds=0, error="")
    capacity = take_snapshot(shard).limits
    assert capacity is not None
    make_room(shard, [b"{}"] * capacity.capacity_events)
    shard.client.lpush(shard.keys.open, *[b"{}"] * batch.events)
    sweep_shard(shard, force=True)
    newer = shard.claim(token="", lease_seconds=60)
    assert isinstance(newer, Batch)
    assert shard.ack(newer.id)


def be_lost(shard: Shard, batch: Batch) -> None:
    """Have Redis lose everything."""
    server = shard.client.connection_pool.connection_kwargs
    with redis_py.Redis(server["host"], server["port"]) as admin:
        admin.flushdb()


@pytest.mark.parametrize(
    ("settle", "why"),
    [
        (die_and_trim, "20 events dropped as dead letters beyond max_dead_events"),
        (die_and_be_purged, "20 events dropped by an operator"),
        (be_dropped_for_newer, "20 events dropped for newer ones"),
        (be_lost, "20 events gone from Redis"),
    ],
)
def test_what_is_gone_is_not_taken_for_delivered(
    redis: redis_py.Redis, redis_url: str, worker: Any, settle: Any, why: str
) -> None:
    """A batch that is gone was delivered only if VWO accepted it; else the reason says what befell it."""
    queue = connect(redis_url)
    queue.enqueue_many({"n": n} for n in range(20))
    worker(queue, settle)

    result = queue.flush_events(timeout_seconds=10)

    assert not result
    assert (result.delivered, result.failed, result.pending) == (0, 20, 0)
    assert why in result.reason


def test_each_part_of_a_batch_counts_by_its_own_fate(
    redis: redis_py.Redis, redis_url: str, worker: Any
) -> None:
    """Of a searched batch, what VWO accepted counts as delivered, what was refused as failed."""

    def settle(shard: Shard, batch: Batch) -> None:
        if batch.events == 2:
            shard.ack(batch.id)
            return
        parts = [Part("dead", ((3, 4),), 8), Part("ready", ((4, 6),), 16)]
        shard.split(batch, parts, delivered=3)
        trim_dead([shard], 0)

    queue = connect(redis_url)
    queue.enqueue_many({"n": n} for n in range(6))
    worker(queue, settle)

    result = queue.flush_events(timeout_seconds=10)

    assert (result.delivered, result.failed, result.pending) == (5, 1, 0)
    assert "1 event dropped" in result.reason


def test_deliveries_of_a_release_without_notes_count(
    redis: redis_py.Redis, redis_url: str, worker: Any
) -> None:
    """A worker of release 0.1 leaves no note: its deliveries count by the ledger's counter."""

    def ack_without_note(shard: Shard, batch: Batch) -> None:
        shard.client.hdel(shard.keys.meta, "flush_until")
        shard.ack(batch.id)

    queue = connect(redis_url)
    queue.enqueue_many({"n": n} for n in range(20))
    worker(queue, ack_without_note)

    result = queue.flush_events(timeout_seconds=10)

    assert result
    assert (result.delivered, result.failed, result.pending) == (20, 0, 0)
