"""Flush and results: an application learns in time what became of its events."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from msgspec.structs import replace

import vwo_celery
from tools.producers import (
    BATCH,
    DESTINATION,
    KEPT,
    SOON_SECONDS,
    TIMEOUT_SECONDS,
    connect,
    snapshot,
    worker_fleet,
    worker_shards,
)
from tools.waiting import wait_until
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.capacity import make_room, trim_dead
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch, Part
from vwo_celery.queue.work import settlements
from vwo_celery.queue.work.results import result_text
from vwo_celery.queue.work.sweeping import sweep_shard
from vwo_celery.testing import Standin, free_port

pytestmark = pytest.mark.declared_keys(*KEPT)
EVENT = {
    "d": {
        "msgId": "A-1", "visId": "A" * 32, "sessionId": 1_795_307_390,
        "event": {"props": {}, "name": "purchase", "time": 1_795_307_390_500},
    }
}  # fmt: skip


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


def listen(queue: vwo_celery.Queue, found: list[Any]) -> threading.Thread:
    """A thread that keeps the queue's first result; it is subscribed when the function returns."""
    thread = threading.Thread(target=lambda: found.append(next(queue.results(10), None)))
    thread.start()
    (shard,) = worker_shards(queue)
    wait_until(
        lambda: shard.client.hexists(shard.keys.meta, "results_until"),
        what="word of interest",
    )
    return thread


@pytest.mark.parametrize(("status", "error"), [(200, None), (503, "503")])
def test_results_tell_what_became_of_events(
    redis: redis_py.Redis, redis_url: str, status: int, error: str | None
) -> None:
    """results gives each batch's error and events to the process that listens."""
    with Standin(faults=[] if status == 200 else [status]) as standin:
        destination = replace(DESTINATION, base_url=standin.url)
        queue = vwo_celery.connect(
            destination, batch_event_data=BATCH, redis_url=redis_url, allowed_hosts=[standin.netloc]
        )
        queue.enqueue(EVENT)
        found: list[Any] = []
        listener = listen(queue, found)
        worker = Worker(worker_fleet(queue), queue.settings, lambda wakeup: None)
        (wakeup,) = sweep_shard(worker_shards(queue)[0], force=True)

        deliver(worker, wakeup)

        listener.join(10)
        ((told, events),) = found
        assert events == [EVENT]
        assert (told is None) if error is None else (error in told)


def test_a_listener_that_redis_cuts_off_listens_again(
    redis: redis_py.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A listener that Redis cut off misses what came meanwhile, and hears what comes later."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    fleet, channel = worker_fleet(queue), f"vwo:1:results:{queue.name}"
    results = queue.results(timeout_seconds=20)
    found: list[Any] = []
    listener = threading.Thread(target=lambda: found.extend(next(results) for _ in range(2)))
    listener.start()
    wait_until(lambda: _listeners(redis, channel) == 1, what="a listener")
    fleet.publish_result(queue.name, result_text(None, [b'{"n":1}']))
    cut_off = _subscribed(redis)

    redis.client_kill_filter(_type="pubsub")
    # Redis frees a client that it killed a little later, and counts it until then.
    wait_until(lambda: not cut_off & _subscribed(redis), what="the end of the listener")
    wait_until(lambda: _listeners(redis, channel) == 1, what="the listener again")
    fleet.publish_result(queue.name, result_text(None, [b'{"n":2}']))

    listener.join(20)
    assert found == [(None, [{"n": 1}]), (None, [{"n": 2}])]
    assert "listens again" in caplog.text


def _subscribed(redis: redis_py.Redis) -> set[str]:
    return {client["id"] for client in redis.client_list(_type="pubsub")}


def _listeners(redis: redis_py.Redis, channel: str) -> int:
    return int(redis.pubsub_numsub(channel)[0][1])


def test_results_end_after_silence(redis: redis_py.Redis, redis_url: str) -> None:
    """results ends after the given time of silence."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})

    assert list(queue.results(timeout_seconds=0.2)) == []
