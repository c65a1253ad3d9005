"""Slots of a Redis Cluster that move to another node: no event is lost, stored twice or sent twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.clusters import (
    SHARDS,
    connect_to,
    in_thread,
    ledger,
    move,
    slot_of,
    tried_in_vain,
)
from tools.producers import SOON_SECONDS, numbers
from tools.redis_groups import ClusterGroup
from tools.under_load import LoadedInstallation
from tools.waiting import wait_until
from vwo_celery.connections import open_client, open_worker_client
from vwo_celery.producing import aio
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys("broker:*")


@pytest.fixture
def installation(
    group: ClusterGroup, redis_url: str, standin: Standin, tmp_path: Path
) -> Iterator[LoadedInstallation]:
    """An installation around the cluster, its queue in several shards."""
    with LoadedInstallation(group.url, redis_url, standin, tmp_path, shards=SHARDS) as running:
        yield running


def test_slots_move_while_events_flow(
    group: ClusterGroup, installation: LoadedInstallation
) -> None:
    """Each shard moves to another node while events flow: none is lost, stored twice or sent twice."""
    installation.worker()
    streams = [installation.stream(name) for name in ("a", "b")]
    for stream in streams:
        stream.wait_for_more()
    queue = installation.queue()

    for shard in producer_of(queue).shards:
        assert move(group, shard)
        streams[0].wait_for_more(20)

    stored = [name for stream in streams for name in stream.finish()]
    installation.wait_for_delivery(stored)
    assert queue.flush_events(10)
    assert installation.sent_twice() == {}
    found = ledger(queue)
    assert found.balanced
    assert (found.accepted, found.dropped) == (found.delivered, 0)
    unknown = [name for s in streams for name, (_, reason) in s.receipts().items() if reason != "-"]
    assert len(stored) <= found.accepted <= len(stored) + len(unknown)


def test_a_shard_between_two_nodes(group: ClusterGroup) -> None:
    """While a shard's keys lie on two nodes, nothing is stored and the receipt says so; then it is."""
    queue = connect_to(group.url, enqueue_timeout_seconds=0.5)
    assert all(queue.enqueue_many({"n": n} for n in range(10)))
    shard = producer_of(queue).shards[0]
    slot = slot_of(group, shard)
    source = group.owner_of(slot)
    target = next(node for node in group.masters if node is not source)

    group.begin_move(slot, source, target)
    started = time.monotonic()
    (between, _) = queue.enqueue_many([{"n": "between"}] * 2)
    took_seconds = time.monotonic() - started
    group.move_keys(slot, source, target)
    group.end_move(slot, source, target)

    assert (bool(between), between.reason) == (False, "redis_unavailable")
    assert took_seconds < SOON_SECONDS
    # The breaker stays open for a moment.
    wait_until(lambda: queue.enqueue({"n": 10}) == IN_REDIS, 5, what="a push after the move")
    client = open_client(group.url, timeout_seconds=2)
    assert client.lrange(shard.keys.open, 0, -1)[::-1] == numbers(11)
    assert take_snapshot(shard).balanced


def test_a_worker_waits_for_the_end_of_a_move(group: ClusterGroup) -> None:
    """A batch that was sent during a move is settled after it, and not sent again."""
    queue = connect_to(group.url, batch={"events_per_request": 3})
    wait_until(lambda: all(queue.enqueue_many({"n": n} for n in range(3))), 5, what="a push")
    shard = Shard(open_worker_client(group.url), "vwo", queue.name, 0)
    batch = shard.claim(token="", lease_seconds=60)
    assert isinstance(batch, Batch)
    slot = slot_of(group, shard)
    source = group.owner_of(slot)
    target = next(node for node in group.masters if node is not source)
    group.begin_move(slot, source, target)

    with in_thread(lambda: shard.ack(batch.id)) as acked:
        client = open_client(group.url, timeout_seconds=2)
        wait_until(lambda: tried_in_vain(source, target), 5, what="TRYAGAIN")
        group.move_keys(slot, source, target)
        group.end_move(slot, source, target)

    assert acked == [True]
    assert client.zcard(shard.keys.leases) == 0
    assert take_snapshot(shard).delivered == 3


def test_asyncio_follows_a_slot(group: ClusterGroup) -> None:
    """The asyncio producer finds a shard on its new node as well."""
    import asyncio

    queue = connect_to(group.url)
    other = aio.connect(
        queue.destination, redis_url=group.url, enqueue_timeout_seconds=5.0, spool_dir=""
    )

    async def run() -> list[Any]:
        before = await other.enqueue({"n": 0})
        await asyncio.to_thread(move, group, producer_of(queue).shards[0])
        after = await other.enqueue({"n": 1})
        await other.aclose()
        return [before, after]

    assert asyncio.run(run()) == [IN_REDIS, IN_REDIS]
    assert take_snapshot(producer_of(queue).shards[0]).pending == 2
