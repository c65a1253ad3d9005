"""A full queue or a full spool under each policy; every drop is counted."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools.drops import Drops
from tools.producers import KEPT, TIMEOUT_SECONDS, connect, numbers, snapshot, stored
from tools.waiting import wait_until
from vwo_celery.errors import QueueFull
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.work.sweeping import sweep_shard
from vwo_celery.receipts import IN_REDIS, SPOOLED, Receipt
from vwo_celery.testing import RedisServer, free_port

pytestmark = pytest.mark.declared_keys(*KEPT)
PAD = "x" * 2000
SPOOL_BYTES = 200_000
POLICIES = ("spool", "drop_newest", "drop_oldest", "raise")


def full_queue(url: str, policy: str, **settings: Any) -> vwo_celery.Queue:
    """A queue filled to its capacity of three events."""
    batch = {"events_per_request": 3}
    queue = connect(url, batch, max_queue_events=3, when_full=policy, **settings)
    assert queue.enqueue_many({"n": n} for n in range(3)) == [IN_REDIS] * 3
    return queue


def full_spool(policy: str, **settings: Any) -> tuple[vwo_celery.Queue, int]:
    """A queue without Redis whose spool is full, and the number of events in it."""
    queue = connect(
        f"redis://127.0.0.1:{free_port()}/0", when_full=policy, max_spool_bytes=SPOOL_BYTES,
        enqueue_timeout_seconds=TIMEOUT_SECONDS, **settings,
    )  # fmt: skip
    spool = producer_of(queue).host.spool
    assert spool is not None
    count = 0
    while spool.used_bytes() + 3 * len(PAD) < SPOOL_BYTES:
        assert queue.enqueue({"n": count, "pad": PAD}) == SPOOLED
        count += 1
    return queue, count


def deliver(queue: vwo_celery.Queue, delivered: list[bytes]) -> int:
    """Settle a batch, if there is one, as delivered; the number of events so far."""
    (shard,) = producer_of(queue).shards
    sweep_shard(shard, force=True)
    batch: Any = shard.claim(token="", lease_seconds=60)
    if batch is not None:
        delivered += shard.read(batch)
        assert shard.ack(batch.id)
    return len(delivered)


# -- a full queue


def test_a_full_queue_spools(redis: redis_py.Redis, redis_url: str, drops: Drops) -> None:
    """Events that do not fit wait on disk, other queues are stored as usual, and the spool drains
    as room appears.
    """
    queue = full_queue(redis_url, "spool")

    receipts = [queue.enqueue({"n": 3}), *queue.enqueue_many({"n": n} for n in range(4, 9))]

    assert receipts == [SPOOLED] * 6
    assert not producer_of(queue).host.breaker.is_open
    assert stored(redis) == numbers(3)
    delivered: list[bytes] = []
    wait_until(lambda: deliver(queue, delivered) == 9, 30, what="the room to be used")
    assert delivered == numbers(9)
    assert stored(redis) == []
    assert (queue.dropped, drops) == ({}, [])


def test_refused_events_are_counted_once(redis: redis_py.Redis, redis_url: str) -> None:
    """Events that a full queue refused count once, however often the drainer tries them again."""
    queue = full_queue(redis_url, "spool")
    assert queue.enqueue_many({"n": n} for n in range(3, 43)) == [SPOOLED] * 40

    for _ in range(3):
        assert not queue.drain_spool(timeout_seconds=0)

    assert queue.spooled() == 40
    assert snapshot(redis).refused == 40


def test_a_full_queue_holds_up_no_other(redis: redis_py.Redis, redis_url: str) -> None:
    """A full queue's spooled events do not keep those of another queue behind them from draining."""
    full = full_queue(redis_url, "spool")
    other = vwo_celery.connect(
        vwo_celery.Destination(account_id=2, sdk_key="k" * 32, generation="fme"),
        redis_url=redis_url,
    )
    assert full.enqueue({"n": 3}) == SPOOLED

    assert producer_of(other).fallback.keep([b'{"n":4}']) == SPOOLED

    wait_until(lambda: not other.spooled(), 20, what="the other queue to be drained")
    assert full.spooled() == 1
    assert redis.lrange(producer_of(other).shards[0].keys.open, 0, -1) == []  # sealed already
    assert redis.zcard(producer_of(other).shards[0].keys.ready) == 1


def test_a_full_queue_of_another_policy(
    redis: redis_py.Redis, redis_url: str, drops: Drops
) -> None:
    """drop_newest drops the event with its reason, raise raises; neither uses the disk."""
    newest = full_queue(redis_url, "drop_newest")

    receipt = newest.enqueue({"n": 3})
    with pytest.raises(QueueFull, match="at its capacity"):
        connect(redis_url, max_queue_events=3, when_full="raise").enqueue({"n": 4})

    assert receipt == Receipt(where="dropped", reason="queue_full")
    assert newest.dropped == {"queue_full": 1}
    assert drops == [(newest.name, "queue_full", 1)]
    assert stored(redis) == numbers(3)
    assert newest.spooled() == 0


def test_a_full_queue_drops_its_oldest(redis: redis_py.Redis, redis_url: str, drops: Drops) -> None:
    """drop_oldest stores the newest event, under a mark as usual; the ledger counts the dropped ones."""
    queue = full_queue(redis_url, "drop_oldest")

    receipts = [queue.enqueue({"n": 3}), queue.enqueue({"n": 4})]

    assert receipts == [IN_REDIS] * 2
    assert stored(redis) == numbers(2, start=3)
    assert drops == [(queue.name, "oldest", 3)]


def test_a_full_queue_without_a_spool(redis: redis_py.Redis, redis_url: str) -> None:
    """The policy `spool` without a spool drops the event, with the reason that the queue was full."""
    queue = full_queue(redis_url, "spool", spool_dir="")

    assert queue.enqueue({"n": 3}) == Receipt(where="dropped", reason="queue_full")


# -- a full spool


@pytest.mark.parametrize("policy", ["spool", "drop_newest"])
def test_a_full_spool_drops_the_newest(policy: str, drops: Drops) -> None:
    """With drop_newest, a full spool drops the new event with its reason and keeps the others."""
    queue, count = full_spool(policy)

    receipts = queue.enqueue_many({"n": n, "pad": PAD} for n in range(10))

    assert receipts == [Receipt(where="dropped", reason="spool_full")] * 10
    assert queue.dropped == {"spool_full": 10}
    assert drops == [(queue.name, "spool_full", 10)]
    assert queue.spooled() == count


def test_a_full_spool_drops_its_oldest(drops: Drops) -> None:
    """With drop_oldest, a full spool keeps the newest events and counts every drop."""
    queue, count = full_spool("drop_oldest")
    first_push = 1  # may be in Redis, so it stays

    receipts = [queue.enqueue({"n": n, "pad": PAD}) for n in range(1000, 1300)]

    assert receipts == [SPOOLED] * 300
    gone = queue.dropped["spool_oldest"]
    assert queue.spooled() == count + 300 - gone
    assert sum(each for _, _, each in drops) == gone > count - first_push
    assert {reason for _, reason, _ in drops} == {"spool_oldest"}
    page = _taken_after_the_first(queue)
    assert json.loads(page[-1])["n"] == 1299


def _taken_after_the_first(queue: vwo_celery.Queue) -> list[bytes]:
    texts: list[bytes] = []
    spool = producer_of(queue).host.spool
    assert spool is not None
    while (page := spool.take()) is not None:
        texts += page.encoded
        spool.remove(page)
    return texts


def test_a_full_spool_raises(drops: Drops) -> None:
    """With when_full="raise", a full spool raises; nothing is dropped or stored."""
    queue, count = full_spool("raise")

    with pytest.raises(QueueFull, match="max_spool_bytes"):
        queue.enqueue_many({"n": n, "pad": PAD} for n in range(10))

    assert queue.spooled() == count
    assert (queue.dropped, drops) == ({}, [])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_disk_that_cannot_be_used(tmp_path: Path, policy: str, drops: Drops) -> None:
    """If the disk cannot be used, the event is dropped with the reason that matters; nothing raises
    or takes long.
    """
    (tmp_path / "spool").write_text("in the way")
    queue = connect(
        f"redis://127.0.0.1:{free_port()}/0", when_full=policy, spool_dir=str(tmp_path / "spool"),
        enqueue_timeout_seconds=TIMEOUT_SECONDS,
    )  # fmt: skip

    started = time.monotonic()
    receipts = [queue.enqueue({"n": n}) for n in range(50)]

    assert receipts == [Receipt(where="dropped", reason="redis_unavailable")] * 50
    assert queue.dropped == {"redis_unavailable": 50}
    assert sum(count for _, _, count in drops) == 50
    assert time.monotonic() - started < 5.0


def test_a_file_that_is_kept_locked_costs_one_wait() -> None:
    """While another process stands still in a write of this one's file, no event is dropped, and
    none but the first waits for it.
    """
    queue = connect(f"redis://127.0.0.1:{free_port()}/0", enqueue_timeout_seconds=TIMEOUT_SECONDS)
    assert queue.enqueue({"n": 0}) == SPOOLED
    spool = producer_of(queue).host.spool
    assert spool is not None
    (path,) = spool.paths()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    during = [queue.enqueue({"n": n}) for n in range(1, 20)]

    assert during == [SPOOLED] * 19
    assert len(spool.paths()) == 2
    assert queue.spooled() == 20
    writer.close()


def test_without_a_disk_redis_is_found_again(tmp_path: Path) -> None:
    """Without a usable disk there is no drainer: a call probes Redis now and then."""
    (tmp_path / "spool").write_text("in the way")
    with RedisServer(appendonly=True) as server:
        queue = connect(
            server.url, spool_dir=str(tmp_path / "spool"), enqueue_timeout_seconds=TIMEOUT_SECONDS
        )
        queue.enqueue({"n": 0})
        server.kill()
        assert not queue.enqueue({"n": 1})
        server.start()

        wait_until(lambda: queue.enqueue({"n": 2}) == IN_REDIS, 20, what="a request that asks")


def test_drops_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Drops are logged once a minute per reason, without the SDK key."""
    destination = vwo_celery.Destination(account_id=77, sdk_key="s" * 32, generation="fme")
    queue = vwo_celery.connect(
        destination, redis_url=f"redis://:sekrit@127.0.0.1:{free_port()}/0", spool_dir=""
    )

    for n in range(1000):
        queue.enqueue({"n": n})
    queue.enqueue(float("nan"))

    lines = [r.getMessage() for r in caplog.records if "dropped" in r.getMessage()]
    assert [line.split("(")[-1].split(")")[0] for line in lines].count("redis_unavailable") <= 1
    assert len(lines) == 2
    assert queue.dropped["redis_unavailable"] == 1000
    assert "sekrit" not in caplog.text
    assert "s" * 32 not in caplog.text
