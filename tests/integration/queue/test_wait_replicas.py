"""wait_replicas: an event is on that many replicas before `enqueue` returns, or the receipt says
otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools.producers import BATCH, DESTINATION, SOON_SECONDS, connect, numbers
from tools.redis_groups import ClusterGroup, Replicated, SentinelGroup, client_of
from vwo_celery.producing import aio
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS, NOT_REPLICATED
from vwo_celery.testing import RedisServer

EVENTS = [{"n": n} for n in range(3)]


@pytest.fixture
def pair() -> Iterator[Replicated]:
    """A master and two replicas."""
    with Replicated(2) as running:
        yield running


def connect_to(url: str, replicas: int, **settings: Any) -> vwo_celery.Queue:
    """A queue without a spool that waits for replicas."""
    return connect(url, spool_dir="", wait_replicas=replicas, **settings)


def stored(server: RedisServer, queue: vwo_celery.Queue) -> list[bytes]:
    """The open events that one server has, oldest first."""
    with redis_py.Redis.from_url(server.url) as client:
        return list(reversed(client.lrange(producer_of(queue).shards[0].keys.open, 0, -1)))


@pytest.mark.parametrize("count", [1, 3], ids=["one", "many"])
def test_the_answer_comes_after_the_replicas(pair: Replicated, count: int) -> None:
    """Once enqueue returns, each of the required replicas has the events."""
    queue = connect_to(pair.master.url, 2)

    receipts = [queue.enqueue(event) for event in EVENTS[:1]]
    receipts += queue.enqueue_many(EVENTS[1:count])

    assert receipts == [IN_REDIS] * count
    for replica in pair.replicas:
        assert stored(replica, queue) == numbers(count)


def test_a_replica_that_hangs(pair: Replicated, caplog: pytest.LogCaptureFixture) -> None:
    """If a replica hangs, the receipt says in time that the event is in Redis but on too few replicas."""
    queue = connect_to(pair.master.url, 2, enqueue_timeout_seconds=4.0)
    assert queue.enqueue(EVENTS[0]) == IN_REDIS
    pair.replicas[0].pause()
    caplog.set_level(logging.WARNING, logger="vwo_celery")
    started = time.monotonic()

    receipts = [queue.enqueue(event) for event in EVENTS[1:]]

    assert time.monotonic() - started < len(receipts) * SOON_SECONDS
    assert receipts == [NOT_REPLICATED] * 2
    assert all(receipts)
    assert stored(pair.master, queue) == numbers(3)
    assert queue.not_replicated == 2
    assert queue.dropped == {}
    (line,) = [each for each in caplog.messages if "wait_replicas" in each]
    assert "fewer than 2 replicas" in line
    pair.replicas[0].resume()


def test_fewer_replicas_suffice(pair: Replicated) -> None:
    """A hanging replica does not matter if only one of the two is required."""
    queue = connect_to(pair.master.url, 1)
    pair.replicas[0].pause()

    assert queue.enqueue(EVENTS[0]) == IN_REDIS

    assert stored(pair.replicas[1], queue) == numbers(1)
    pair.replicas[0].resume()


def test_scripts_that_a_master_lacks(pair: Replicated) -> None:
    """A master without the scripts is given them as usual, and the event is stored once."""
    queue = connect_to(pair.master.url, 2)
    assert queue.enqueue(EVENTS[0]) == IN_REDIS
    with client_of(pair.master) as client:
        client.script_flush()

    assert queue.enqueue(EVENTS[1]) == IN_REDIS

    assert stored(pair.replicas[0], queue) == numbers(2)


def test_a_repeat_waits_for_what_it_repeats(pair: Replicated) -> None:
    """A repeated push stores nothing, and still waits for the replicas of the first."""
    queue = connect_to(pair.master.url, 2, enqueue_timeout_seconds=4.0)
    assert queue.enqueue(EVENTS[0]) == IN_REDIS
    for replica in pair.replicas:
        replica.pause()
    push = producer_of(queue).prepare([b'{"n":1}'])
    assert not push.send().replicated

    again = push.send()

    assert (again.code, again.replicated) == (0, False)
    assert stored(pair.master, queue) == numbers(2)
    for replica in pair.replicas:
        replica.resume()


def test_asyncio_waits_as_well(pair: Replicated) -> None:
    """The asyncio producer's receipts are the same."""
    queue = aio.connect(
        connect(pair.master.url).destination, batch_event_data=BATCH, redis_url=pair.master.url,
        spool_dir="", wait_replicas=2, enqueue_timeout_seconds=4.0,
    )  # fmt: skip

    async def run() -> list[Any]:
        before = await queue.enqueue_many(EVENTS[:2])
        pair.replicas[0].pause()
        after = await queue.enqueue(EVENTS[2])
        await queue.aclose()
        return [*before, after]

    assert asyncio.run(run()) == [IN_REDIS, IN_REDIS, NOT_REPLICATED]
    pair.replicas[0].resume()


def test_nothing_that_replicas_confirmed_is_lost_in_a_failover(tmp_path: Path) -> None:
    """With wait_replicas, a failover loses only events whose receipts said too few replicas."""
    with SentinelGroup(tmp_path) as group:
        queue = connect_to(group.url, 2)
        confirmed = [n for n in range(40) if queue.enqueue({"n": n}) == IN_REDIS]

        new = group.lose_master()

        assert confirmed
        assert set(stored(new, queue)) >= {b'{"n":%d}' % n for n in confirmed}


def test_a_master_that_refuses_without_replicas(pair: Replicated) -> None:
    """With min-replicas-to-write, a master alone acknowledges nothing."""
    queue = connect_to(pair.master.url, 1)
    assert queue.enqueue(EVENTS[0]) == IN_REDIS
    with client_of(pair.master) as client:
        client.config_set("min-replicas-to-write", 3)

    receipt = queue.enqueue(EVENTS[1])

    assert (receipt.where, receipt.reason) == ("dropped", "redis_unavailable")
    assert stored(pair.master, queue) == numbers(1)


@pytest.fixture
def cluster() -> Iterator[ClusterGroup]:
    """Two masters, of which only the first has a replica."""
    with ClusterGroup(2, 1) as running:
        yield running


def test_in_a_cluster(cluster: ClusterGroup) -> None:
    """In a cluster, the replicas are those of the node that holds the shard.

    The first push after the shard has moved is stored, and its receipt says that no replica was
    waited for.
    """
    replicated, alone = cluster.masters
    shard = producer_of(connect(cluster.url)).shards[0]
    slot = cluster.slot_of(shard.keys.meta)
    if cluster.owner_of(slot) is replicated:
        _move(cluster, slot, replicated, alone)
    queue = connect_to(cluster.url, 1, enqueue_timeout_seconds=4.0)

    receipts = [queue.enqueue(EVENTS[0])]
    _move(cluster, slot, alone, replicated)
    receipts += [queue.enqueue(event) for event in EVENTS[1:]]

    assert receipts == [NOT_REPLICATED, NOT_REPLICATED, IN_REDIS]
    with client_of(cluster.nodes[-1]) as replica:
        replica.execute_command("READONLY")
        assert replica.lrange(shard.keys.open, 0, -1) == ['{"n":2}', '{"n":1}', '{"n":0}']


def _move(cluster: ClusterGroup, slot: int, source: RedisServer, target: RedisServer) -> None:
    cluster.begin_move(slot, source, target)
    cluster.move_keys(slot, source, target)
    cluster.end_move(slot, source, target)


def test_a_cluster_client_of_ones_own_waits(cluster: ClusterGroup) -> None:
    """With a cluster client of the application, a push waits for replicas as with a URL."""
    client = redis_py.RedisCluster.from_url(cluster.url.replace("+cluster", "").split(",")[0])
    settings = connect_to(cluster.url, 1).settings
    queue = vwo_celery.connect(DESTINATION, redis=client, settings=settings)
    slot = cluster.slot_of(producer_of(queue).shards[0].keys.meta)
    has_replica = cluster.owner_of(slot) is cluster.nodes[0]

    assert queue.enqueue(EVENTS[0]) == (IN_REDIS if has_replica else NOT_REPLICATED)

    client.close()


def test_nothing_is_asked_where_it_is_off(pair: Replicated) -> None:
    """Without wait_replicas no WAIT is sent."""
    queue = connect(pair.master.url, spool_dir="")
    with client_of(pair.master) as client:
        client.config_resetstat()

        assert queue.enqueue(EVENTS[0]) == IN_REDIS

        assert "cmdstat_wait" not in client.info("commandstats")
