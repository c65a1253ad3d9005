"""While Redis takes no events, for whatever reason, they wait on this host's disk."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools.processes import Process
from tools.producers import KEPT, SOON_SECONDS, TIMEOUT_SECONDS, connect, numbers, snapshot, stored
from tools.redis_groups import ClusterGroup
from tools.redis_outages import OUTAGES, Outage, blackhole, hung, refused, server_for
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.connections import open_client
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.receipts import IN_REDIS, SPOOLED
from vwo_celery.testing import RedisServer, free_port
from vwo_celery.testing.redis_binary import find_redis_server

pytestmark = pytest.mark.declared_keys(*KEPT)

#: Longest time in seconds for fifty calls while the breaker is open, on a busy machine.
FIFTY_CALLS_SECONDS = 5.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be killed."""
    with RedisServer(appendonly=True) as running:
        yield running


def holds(url: str, count: int) -> bool:
    """Whether Redis has the given number of events."""
    with redis_py.Redis.from_url(url) as client:
        return len(stored(client)) == count


def is_sealed(url: str) -> bool:
    """Whether no event waits for its batch to fill."""
    with redis_py.Redis.from_url(url) as client:
        return snapshot(client).open_events == 0


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda each: each.__name__)
def test_an_outage_loses_nothing_and_costs_little_time(outage: Outage) -> None:
    """In an outage receipts say "spooled", the first in time and the next at once. Afterwards all
    events are in Redis, in order, once and sealed, without a further event.
    """
    with server_for(outage) as server, TcpProxy(server.port) as proxy:
        queue = connect(proxy.url(), enqueue_timeout_seconds=TIMEOUT_SECONDS)
        assert queue.enqueue({"n": 0}) == IN_REDIS
        with outage(server, proxy):
            started = time.monotonic()
            receipts = [queue.enqueue({"n": 1})]
            first_seconds = time.monotonic() - started
            started = time.monotonic()
            receipts += [queue.enqueue({"n": n}) for n in range(2, 52)]
            next_seconds = time.monotonic() - started
            receipts += queue.enqueue_many({"n": n} for n in range(52, 60))
            spooled = queue.spooled()

        wait_until(lambda: holds(server.url, 60), 20, what="the spool to be drained")
        wait_until(lambda: is_sealed(server.url), what="the batch to be sealed")
        with redis_py.Redis.from_url(server.url) as client:
            assert stored(client) == numbers(60)
            assert snapshot(client).accepted == 60
            assert snapshot(client).balanced
        wait_until(lambda: queue.enqueue({"n": 60}) == IN_REDIS, what="the breaker to be closed")

    assert receipts == [SPOOLED] * 59
    assert spooled == 59
    assert first_seconds < SOON_SECONDS
    assert next_seconds < FIFTY_CALLS_SECONDS
    assert queue.dropped == {}


@pytest.mark.parametrize("outage", [refused, hung, blackhole], ids=lambda each: each.__name__)
def test_a_process_that_starts_during_an_outage(outage: Outage) -> None:
    """A queue that was made during an outage spools as well, and is registered when Redis is back."""
    with server_for(outage) as server, TcpProxy(server.port) as proxy:
        queue = connect(proxy.url(), enqueue_timeout_seconds=TIMEOUT_SECONDS)
        with outage(server, proxy):
            receipts = [queue.enqueue({"n": 0}), *queue.enqueue_many([{"n": 1}, {"n": 2}])]

        wait_until(lambda: holds(server.url, 3), 20, what="the spool to be drained")
        with redis_py.Redis.from_url(server.url) as client:
            assert stored(client) == numbers(3)

    assert receipts == [SPOOLED] * 3


def test_sentinel_without_a_master(server: RedisServer, tmp_path: Path) -> None:
    """While there is no master, events are spooled; the new master gets them."""
    port = free_port()
    (tmp_path / "sentinel.conf").write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    command = (find_redis_server(), str(tmp_path / "sentinel.conf"), "--sentinel")
    with Process(*command, folder=tmp_path, name="sentinel"):
        sentinel: Any = redis_py.Redis("127.0.0.1", port)
        wait_until(lambda: _answers(sentinel), what="the Sentinel")
        url = f"redis+sentinel://127.0.0.1:{port}/mymaster"
        queue = connect(url, enqueue_timeout_seconds=TIMEOUT_SECONDS)

        receipts = [queue.enqueue({"n": n}) for n in range(3)]
        sentinel.execute_command("SENTINEL MONITOR", "mymaster", "127.0.0.1", server.port, 1)

        wait_until(lambda: holds(server.url, 3), 20, what="the spool to be drained")
        sentinel.close()

    assert receipts == [SPOOLED] * 3


def test_a_cluster_that_has_lost_a_node() -> None:
    """Events that a cluster cannot store are spooled, and drained once the node is back."""
    with ClusterGroup(3, 0, "--cluster-require-full-coverage", "no") as group:
        queue = connect(group.url, shards=5, enqueue_timeout_seconds=TIMEOUT_SECONDS)
        names = {f"{n}" for n in range(100)}
        assert queue.enqueue({"n": "first"}) == IN_REDIS
        away = group.owner_of(group.slot_of(producer_of(queue).shards[0].keys.meta))
        away.pause()
        receipts = [queue.enqueue({"n": name}) for name in sorted(names)]
        away.resume()

        wait_until(lambda: not queue.spooled(), 30, what="the spool to be drained")
        found = [json.loads(text)["n"] for text in _all_events(queue)]

    assert all(receipts)
    assert SPOOLED in receipts
    assert sorted(found) == sorted([*names, "first"])


def _all_events(queue: vwo_celery.Queue) -> list[bytes]:
    """Every event, open or sealed, in any shard."""
    client, found = open_client(queue.settings.redis_url, timeout_seconds=5), []
    for shard in producer_of(queue).shards:
        keys = [shard.keys.batch(each.id) for each in take_snapshot(shard).batches]
        for key in [*keys, shard.keys.open]:
            found += client.lrange(key, 0, -1)
    client.close()
    return found


def _answers(client: redis_py.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis_py.ConnectionError:
        return False


def test_a_push_whose_answers_were_lost_is_stored_once(
    redis: redis_py.Redis, redis_url: str, redis_server: RedisServer
) -> None:
    """If Redis has an event but all answers were lost, the receipt says "spooled", and the drain
    stores nothing again.
    """
    with TcpProxy(redis_server.port) as proxy:
        queue = connect(proxy.url(), enqueue_timeout_seconds=TIMEOUT_SECONDS)
        queue.enqueue_many({"n": n} for n in range(10))
        proxy.swallow_replies()
        receipts = queue.enqueue_many({"n": n} for n in range(10, 20))
        proxy.cut_connections()
        proxy.pass_through()

        wait_until(lambda: not queue.spooled(), 20, what="the spool to be drained")

    assert receipts == [SPOOLED] * 10
    assert stored(redis) == numbers(20)
    assert snapshot(redis).accepted == 20


def test_redis_comes_back_empty(tmp_path: Path) -> None:
    """A server that lost everything, registrations and marks included, gets the spooled events; that it
    had forgotten the queue is noted, though the producer's next mark tells nothing of it.
    """
    with RedisServer() as server:
        queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
        wait_until(lambda: queue.enqueue({"n": 0}) == IN_REDIS and not queue.spooled())
        server.pause()
        receipts = [queue.enqueue({"n": n}) for n in range(5, 8)]
        server.restart()

        wait_until(lambda: holds(server.url, 3), 20, what="the spool to be drained")
        with redis_py.Redis.from_url(server.url) as client:
            assert stored(client) == numbers(3, start=5)
            assert snapshot(client).balanced
            assert snapshot(client).forgotten_ms

    assert receipts == [SPOOLED] * 3


def test_another_programs_key_holds_up_one_queue_only(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A queue whose key has the wrong type stays in the spool; other queues are stored as usual."""
    broken, sound = connect(redis_url), _other_queue(redis_url)
    broken.enqueue({"n": 0})
    redis.delete(producer_of(broken).shards[0].keys.open)
    redis.set(producer_of(broken).shards[0].keys.open, "not a list")

    receipts = [broken.enqueue({"n": 1}), sound.enqueue({"n": 2}), broken.enqueue({"n": 3})]
    kept = broken.spooled()
    redis.delete(producer_of(broken).shards[0].keys.open, producer_of(broken).shards[0].keys.meta)
    wait_until(lambda: not broken.spooled(), 20, what="the spool to be drained")

    assert receipts == [SPOOLED, IN_REDIS, SPOOLED]
    assert kept == 2
    assert stored(redis)[-2:] == [b'{"n":1}', b'{"n":3}']


def test_a_queue_that_cannot_be_registered_holds_up_no_other(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A queue that cannot be registered holds up no other, even if only the drain finds out."""
    broken, sound = connect(redis_url), _other_queue(redis_url)
    meta = producer_of(broken).shards[0].keys.meta
    redis.set(meta, "not a hash")
    registration = producer_of(sound).registration
    spool = producer_of(sound).host.spool
    assert spool is not None
    receipts = [broken.enqueue({"n": 0})]
    spool.put(registration, [b'{"n":1}'])

    wait_until(lambda: not sound.spooled(), 20, what="the other queue to be drained")
    kept = broken.spooled()
    redis.delete(meta)
    wait_until(lambda: not broken.spooled(), 20, what="the spool to be drained")

    assert receipts == [SPOOLED]
    assert kept == 1
    assert stored(redis) == numbers(1)


def _other_queue(url: str) -> vwo_celery.Queue:
    destination = vwo_celery.Destination(account_id=2, sdk_key="k" * 32, generation="fme")
    return vwo_celery.connect(
        destination, batch_event_data={"events_per_request": 100}, redis_url=url
    )


def test_a_flush_counts_what_is_spooled(server: RedisServer) -> None:
    """flush_events is not true while events are on this host's disk, and says so."""
    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
    server.pause()
    queue.enqueue_many({"n": n} for n in range(3))

    away = queue.flush_events(timeout_seconds=0.2)
    server.resume()
    back = queue.flush_events(timeout_seconds=1.5)

    assert not away
    assert back.pending == 3
    assert "no worker listens" in back.reason
    assert queue.spooled() == 0


def test_drain_spool_drains_in_the_caller(server: RedisServer) -> None:
    """drain_spool drains in the calling thread, returns its counts, and is true if nothing is left."""
    queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
    server.kill()
    queue.enqueue_many({"n": n} for n in range(2500))
    away = queue.drain_spool(timeout_seconds=0.1)
    server.start()

    result = queue.drain_spool(timeout_seconds=20)

    assert not away
    assert (away.drained, away.left) == (0, 2500)
    assert "nothing listens at the address of Redis" in away.reason
    assert result
    assert (result.left, result.reason) == (0, "")
    assert holds(server.url, 2500)


def test_the_spool_is_nobody_elses(server: RedisServer) -> None:
    """The spool's folder and files are closed to other users; no name holds a password."""
    url = server.url.replace("redis://", "redis://user:sekrit@")
    queue = connect(url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
    folder = Path(queue.settings.spool_dir)

    receipt = queue.enqueue({"n": 0})

    assert receipt == SPOOLED
    assert folder.stat().st_mode & 0o077 == 0
    files = list(folder.iterdir())
    assert files
    for file in files:
        assert file.stat().st_mode & 0o077 == 0
        assert "sekrit" not in file.name
        assert b"sekrit" not in file.read_bytes()


def test_each_redis_and_namespace_has_its_own_spool(server: RedisServer) -> None:
    """Each Redis and namespace has its own spool: events for one never go to another."""
    with RedisServer() as other:
        queues = [
            connect(server.url, namespace="one", enqueue_timeout_seconds=TIMEOUT_SECONDS),
            connect(server.url, namespace="two", enqueue_timeout_seconds=TIMEOUT_SECONDS),
            connect(other.url, namespace="one", enqueue_timeout_seconds=TIMEOUT_SECONDS),
        ]
        server.pause()
        other.pause()
        for count, queue in enumerate(queues, 1):
            queue.enqueue_many({"n": n} for n in range(count))

        spooled = [queue.spooled() for queue in queues]
        server.resume()
        wait_until(lambda: queues[0].spooled() + queues[1].spooled() == 0, 20, what="the drains")
        left = queues[2].spooled()
        other.resume()

    assert spooled == [1, 2, 3]
    assert left == 3


def test_a_silent_disk_is_no_trouble_for_a_redis_that_works(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    """While Redis answers, no spool file is made."""
    queue = connect(redis_url, spool_dir=str(tmp_path / "spool"))

    receipts = queue.enqueue_many({"n": n} for n in range(200))

    assert receipts == [IN_REDIS] * 200
    assert not (tmp_path / "spool").exists()


def test_what_is_spooled_carries_its_queue(server: RedisServer) -> None:
    """A spooled event carries all queue settings that workers need, for a Redis that never had them."""
    queue = connect(
        server.url,
        batch={"events_per_request": 7, "request_time_interval": 33},
        enqueue_timeout_seconds=TIMEOUT_SECONDS,
    )
    server.pause()
    queue.enqueue({"n": 0})
    server.resume()

    wait_until(lambda: not queue.spooled(), 20, what="the spool to be drained")

    registered = producer_of(queue).fleet.registration(queue.name)
    assert registered == producer_of(queue).registration
    assert json.loads(_one_event(server.url)) == {"n": 0}


def _one_event(url: str) -> Any:
    with redis_py.Redis.from_url(url) as client:
        (event,) = stored(client)
    return event


def test_an_upload_that_waited_on_disk_leaves_in_few_requests(server: RedisServer) -> None:
    """The pages of the spool join in batches of the most, where a least number makes them leave."""
    queue = connect(server.url, {"batchMinSize": 10}, enqueue_timeout_seconds=TIMEOUT_SECONDS)
    server.kill()

    receipts = queue.enqueue_many({"n": n} for n in range(12_000))
    server.start()
    wait_until(lambda: queue.spooled() == 0, 20, what="the spool to be drained")

    assert set(receipts) == {SPOOLED}
    with redis_py.Redis.from_url(server.url) as client:
        assert stored(client) == numbers(12_000)
        shard = producer_of(queue).shards[0]
        lengths = [
            client.llen(shard.keys.batch(name.decode()))
            for name in client.zrange(shard.keys.ready, 0, -1)
        ]
    assert sorted(lengths) == [2000, 5000, 5000]
