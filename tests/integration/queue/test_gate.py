"""Many events past Lua, end to end: what Redis is asked, and what a kill, a replica or a move leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from lua.world import has_gates
from tools.producers import connect
from tools.queue_states import HOLDS_SOMETHING
from tools.redis_groups import ClusterGroup, Replicated
from tools.waiting import wait_until
from vwo_celery import Queue
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)

FIFTY = {"events_per_request": 50, "request_time_interval": 600}


def ten(start: int) -> list[dict[str, int]]:
    """Ten events."""
    return [{"n": n} for n in range(start, start + 10)]


def texts(count: int) -> list[bytes]:
    """The first *count* events as they are stored."""
    return [b'{"n":%d}' % n for n in range(count)]


def calls(client: Any, command: str) -> int:
    """How often a server has run a command."""
    return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def begun(url: str, **settings: Any) -> Queue:
    """A queue with a batch of fifty, of which twenty events are there."""
    queue = connect(url, batch=FIFTY, **settings)
    assert all(queue.enqueue_many(ten(0)) + queue.enqueue_many(ten(10)))
    return queue


def open_events(client: Any, queue: Queue) -> list[bytes]:
    """The open list, oldest first."""
    found: list[bytes] = client.lrange(producer_of(queue).shards[0].keys.open, 0, -1)
    return found[::-1]


def test_only_what_opens_or_fills_a_batch_passes_through_lua(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """Of ten pushes for two batches, the first and the last of each are enqueue.lua's, the rest are not.

    None is tried in vain, and each batch has exactly its number of events.
    """
    queue = connect(redis_url, batch=FIFTY)
    queue.enqueue_many(ten(-200) * 11)  # a mark of more than a hundred events, kept for a day
    queue.enqueue_many([{"n": n} for n in range(40)])  # and a batch that is full
    before, errors = calls(redis, "lpushx"), redis.info("errorstats")

    receipts = [queue.enqueue_many(ten(10 * push)) for push in range(10)]

    snapshot = take_snapshot(producer_of(queue).shards[0])
    assert receipts == [[IN_REDIS] * 10] * 10
    if has_gates(redis):
        assert calls(redis, "lpushx") - before == 6
        assert redis.info("errorstats") == errors
    else:
        assert calls(redis, "lpushx") - before == 1  # which tells that there are no gates
    assert {batch.events for batch in snapshot.batches} == {50}
    assert (snapshot.accepted, snapshot.balanced) == (250, True)


@contextmanager
def with_file(folder: Path) -> Iterator[RedisServer]:
    """A Redis that keeps its file in a folder."""
    with RedisServer(appendonly=True, within=folder) as server:
        yield server


@pytest.mark.parametrize("cut_bytes", [1, 40, 90, 140, 200, 250])
def test_a_file_that_ends_within_a_transaction_has_none_of_it(
    tmp_path: Path, cut_bytes: int
) -> None:
    """Redis killed while it wrote the transaction to its file has all of it or nothing, and no gate."""
    with with_file(tmp_path) as server:
        queue = begun(server.url)
        with redis_py.Redis.from_url(server.url) as client:
            has_gate = has_gates(client)
        assert all(queue.enqueue_many(ten(20)))
        server.kill()
        (last,) = [path for path in tmp_path.rglob("*.aof") if path.stat().st_size]
        with last.open("r+b") as file:
            file.truncate(last.stat().st_size - cut_bytes)

        server.start()

        with redis_py.Redis.from_url(server.url) as client:
            if has_gate:
                assert open_events(client, queue) == texts(20)
                assert client.get(f"{producer_of(queue).shards[0].keys.prefix}mark:none") is None
            assert not list(client.scan_iter("*gate:*"))
            assert all(queue.enqueue_many(ten(30)))
            snapshot = take_snapshot(producer_of(queue).shards[0])
            assert snapshot.balanced


def test_a_replica_has_the_transaction_as_a_whole() -> None:
    """A replica has the same list, mark and counters; it never has a gate."""
    with Replicated(1) as pair:
        queue = begun(pair.master.url)
        keys = producer_of(queue).shards[0].keys

        assert all(queue.enqueue_many(ten(20)))

        with (
            redis_py.Redis.from_url(pair.master.url) as master,
            redis_py.Redis.from_url(pair.replicas[0].url) as replica,
        ):
            wait_until(lambda: len(open_events(replica, queue)) == 30, what="the replica")
            assert open_events(replica, queue) == texts(30)
            assert replica.hgetall(keys.meta) == master.hgetall(keys.meta)
            assert sorted(replica.keys("*")) == sorted(master.keys("*"))


def test_a_slot_that_moves_takes_its_pushes_along() -> None:
    """In a Cluster, pushes go on while the shard's slot moves, and afterwards; each is stored once."""
    with ClusterGroup(3) as group:
        queue = begun(group.url)
        shard = producer_of(queue).shards[0]
        slot = group.slot_of(shard.keys.meta)
        source = group.owner_of(slot)
        target = next(node for node in group.masters if node is not source)
        receipts = queue.enqueue_many(ten(20))

        group.begin_move(slot, source, target)
        receipts += queue.enqueue_many(ten(30))
        group.move_keys(slot, source, target)
        group.end_move(slot, source, target)
        receipts += queue.enqueue_many(ten(40)) + queue.enqueue_many(ten(50))

        drained = queue.drain_spool(10)
        snapshot = take_snapshot(shard)
        assert all(receipts)
        assert drained
        assert (snapshot.accepted, snapshot.balanced) == (60, True)


def test_a_lost_answer_stores_nothing_twice(redis: redis_py.Redis, redis_url: str) -> None:
    """A push by the gate whose answer does not come in time is asked for again by enqueue.lua."""
    queue = begun(redis_url, enqueue_timeout_seconds=1.0)

    redis.client_pause(600)  # longer than the first attempt waits, shorter than both
    receipts = queue.enqueue_many(ten(20))

    assert all(receipts)
    assert queue.drain_spool(10)
    assert open_events(redis, queue) == texts(30)
    assert take_snapshot(producer_of(queue).shards[0]).balanced
