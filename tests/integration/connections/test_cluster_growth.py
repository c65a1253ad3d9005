"""A Redis Cluster that grows: keys move to a node that owns no slot yet, which Redis tells by ASK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.clusters import (
    SHARDS,
    connect_to,
    events_in,
    in_thread,
    ledger,
    slot_of,
    tried_in_vain,
)
from tools.producers import DESTINATION, TIMEOUT_SECONDS, connect, numbers
from tools.redis_groups import ClusterGroup, client_of
from tools.under_load import LoadedInstallation
from tools.waiting import wait_until
from vwo_celery.connections import open_async_client, open_worker_client
from vwo_celery.producing import aio
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import RedisServer, Standin

#: Time after which a batch whose claim went unanswered is claimed again, and some more.
_LEASE_SECONDS = 90.0

pytestmark = pytest.mark.declared_keys("broker:*")


@pytest.fixture
def growing() -> Iterator[tuple[ClusterGroup, RedisServer]]:
    """A cluster of one master, and a node that joins it in the test and owns no slot."""
    with ClusterGroup(1) as running:
        yield running, running.nodes[0]


def begin_to_grow(group: ClusterGroup, shard: Shard) -> tuple[int, RedisServer]:
    """Let a node join, and move a shard's keys to it without ending the move: Redis answers ASK."""
    slot, source = slot_of(group, shard), group.nodes[0]
    node = group.grow()
    group.begin_move(slot, source, node)
    group.move_keys(slot, source, node)
    return slot, node


def test_a_cluster_that_grows(growing: tuple[ClusterGroup, RedisServer], tmp_path: Path) -> None:
    """An ASK for a node that owns no slot yet raises nothing, and no event is lost or doubled."""
    group, source = growing
    queue = connect(group.url, spool_dir=str(tmp_path), enqueue_timeout_seconds=TIMEOUT_SECONDS)
    assert queue.enqueue({"n": 0}) == IN_REDIS
    shard = producer_of(queue).shards[0]
    slot, node = begin_to_grow(group, shard)

    receipts = [queue.enqueue({"n": 1}), *queue.enqueue_many({"n": n} for n in range(2, 9))]
    flushed = queue.flush_events(0)
    group.end_move(slot, source, node)

    # A script of several keys is refused (TRYAGAIN) until the move has ended: those are spooled.
    assert {receipt.where for receipt in receipts} <= {"redis", "spooled"}
    assert not flushed
    wait_until(lambda: queue.spooled() == 0, 20, what="an empty spool")
    assert sorted(events_in(shard)) == numbers(9)
    found = take_snapshot(shard)
    assert (found.accepted, found.balanced) == (9, True)


def test_a_worker_in_a_cluster_that_grows(growing: tuple[ClusterGroup, RedisServer]) -> None:
    """A worker follows an ASK for a node that owns no slot yet, and settles when the move has ended."""
    group, source = growing
    queue = connect_to(group.url, batch={"events_per_request": 3})
    assert all(queue.enqueue_many({"n": n} for n in range(3)))
    shard = Shard(open_worker_client(group.url), "vwo", queue.name, 0)
    batch = shard.claim(token="", lease_seconds=60)
    assert isinstance(batch, Batch)
    slot, node = begin_to_grow(group, shard)

    read = shard.read(batch)
    with in_thread(lambda: shard.ack(batch.id)) as acked:
        wait_until(lambda: tried_in_vain(source, node), 5, what="TRYAGAIN")
        group.end_move(slot, source, node)

    assert read == numbers(3)
    assert acked == [True]
    assert take_snapshot(shard).delivered == 3


def test_asyncio_in_a_cluster_that_grows(
    growing: tuple[ClusterGroup, RedisServer], tmp_path: Path
) -> None:
    """The asyncio producer loses nothing, either, to an ASK for a node that owns no slot yet."""
    import asyncio

    group, source = growing
    queue = aio.connect(
        DESTINATION, redis_url=group.url, enqueue_timeout_seconds=5.0, spool_dir=str(tmp_path)
    )
    shard = producer_of(queue.sync).shards[0]

    async def run() -> list[Any]:
        before = await queue.enqueue({"n": 0})
        slot, node = await asyncio.to_thread(begin_to_grow, group, shard)
        during = await queue.enqueue_many({"n": n} for n in range(1, 4))
        await asyncio.to_thread(group.end_move, slot, source, node)
        await queue.aclose()
        return [before, *during]

    receipts = asyncio.run(run())

    assert {receipt.where for receipt in receipts} <= {"redis", "spooled"}
    wait_until(lambda: queue.sync.spooled() == 0, 20, what="an empty spool")
    assert sorted(events_in(shard)) == numbers(4)


def test_asyncio_reaches_a_node_that_owns_no_slot(
    growing: tuple[ClusterGroup, RedisServer],
) -> None:
    """Commands of a single key, many at once, are answered by the node that the ASK names."""
    import asyncio

    group, _ = growing
    queue = connect_to(group.url)
    assert queue.enqueue({"n": 0}) == IN_REDIS
    shard = producer_of(queue).shards[0]
    begin_to_grow(group, shard)

    async def run() -> Any:
        client = open_async_client(group.url, timeout_seconds=5)
        look = ("LRANGE", shard.keys.open, 0, -1)
        await client.execute_command(*look)  # connects; redis-py does not do that at once for many
        answers = await asyncio.gather(*(client.execute_command(*look) for _ in range(50)))
        await client.aclose()
        return answers

    assert asyncio.run(run()) == [numbers(1)] * 50


def test_a_cluster_that_grows_under_load(
    growing: tuple[ClusterGroup, RedisServer], redis_url: str, standin: Standin, tmp_path: Path
) -> None:
    """While all shards move to a new node, no event is lost or sent twice, and no program fails."""
    group, source = growing
    with LoadedInstallation(
        group.url, redis_url, standin, tmp_path, shards=SHARDS, spool_dir=str(tmp_path / "spool")
    ) as installation:
        worker = installation.worker()
        streams = [installation.stream(name) for name in ("a", "b")]
        for stream in streams:
            stream.wait_for_more()
        node = group.grow()
        for shard in producer_of(installation.queue()).shards:
            slot = slot_of(group, shard)
            group.begin_move(slot, source, node)
            group.move_keys(slot, source, node)
            _await_asks(source, streams)
            group.end_move(slot, source, node)
            streams[0].wait_for_more(20)

        for stream in streams:
            stream.finish()
        receipts = {k: v for stream in streams for k, v in stream.receipts().items()}
        queue = installation.queue()
        assert queue.drain_spool(
            60
        )  # what the streams left; this installation's worker has no spool
        kept = [name for name, (where, _) in receipts.items() if where in ("redis", "spooled")]
        assert len(kept) == len(receipts)
        installation.wait_for_delivery(kept, _LEASE_SECONDS)
        assert queue.flush_events(10)
        assert installation.sent_twice() == {}
        found = ledger(queue)
        assert (found.balanced, found.dropped, found.accepted) == (True, 0, len(kept))
        assert worker.exit_code is None


def _await_asks(node: RedisServer, streams: list[Any]) -> None:
    """Return once *node* has redirected commands with ASK."""
    with client_of(node) as client:
        client.config_resetstat()
        wait_until(lambda: "errorstat_ASK" in client.info("errorstats"), 20, what="an ASK")
    for stream in streams:
        assert stream.exit_code is None
