"""Bounds: full queues with `when_full="drop_oldest"`, too many dead letters, and other ways over a
bound.

Also the count of events that Redis itself lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools import producers
from tools.producers import KEPT, numbers, snapshot, stored
from tools.queue_states import OPERATOR, Queues, everything, find_dead
from vwo_celery.operating import doctor, operations
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.producing.aio import AioQueue
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.capacity import DEAD_LETTERS_FULL, share, trim_dead
from vwo_celery.receipts import IN_REDIS, Receipt
from vwo_celery.settings import Settings
from vwo_celery.signals import event_dropped

pytestmark = pytest.mark.declared_keys(*KEPT, "dead", "leases")
FULL = Receipt(where="dropped", reason="queue_full")
BROKER = BrokerFacts(url="redis://broker", queue="q", workers=("w",), consumers=("w",))


def connect(url: str, **settings: Any) -> vwo_celery.Queue:
    """A queue without a spool that drops its oldest events; three events make a batch."""
    options = {"batch": {"events_per_request": 3}, "when_full": "drop_oldest", "spool_dir": ""}
    return producers.connect(url, **{**options, **settings})


@pytest.fixture
def drops() -> Iterator[list[tuple[str, str, int]]]:
    """Calls of event_dropped's receivers, as (queue, reason, count)."""
    heard: list[tuple[str, str, int]] = []

    def note(sender: str, queue: str, reason: str, count: int, **_: Any) -> None:
        assert sender == queue
        heard.append((queue, reason, count))

    event_dropped.connect(note)
    yield heard
    event_dropped.disconnect(note)


# -- dropping the oldest


def test_a_full_queue_drops_its_oldest(
    redis: redis_py.Redis, redis_url: str, drops: list[tuple[str, str, int]]
) -> None:
    """A full queue drops its oldest batch for the newest event; ledger and receivers count the drop."""
    queue = connect(redis_url, max_queue_events=7)
    queue.enqueue_many({"n": n} for n in range(7))

    receipts = [queue.enqueue({"n": n}) for n in range(7, 10)]

    assert receipts == [IN_REDIS] * 3
    assert stored(redis) == numbers(7, start=3)
    assert drops == [(queue.name, "oldest", 3)]
    assert snapshot(redis).dropped == {"oldest": 3}
    assert snapshot(redis).refused == 0
    assert snapshot(redis).balanced
    assert queue.dropped == {}


def test_where_no_batch_is_ready_the_oldest_open_events_go(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """If no batch is ready, the oldest open events are dropped one by one."""
    queue = connect(redis_url, batch={"events_per_request": 100}, max_queue_events=5)

    assert all(queue.enqueue({"n": n}) for n in range(12))

    assert stored(redis) == numbers(5, start=7)
    assert snapshot(redis).balanced


def test_many_events_take_the_place_of_as_many_batches(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """If every event is a batch, dropping many batches takes several calls."""
    queue = connect(redis_url, batch={}, max_queue_events=400)
    queue.enqueue_many({"n": n} for n in range(400))

    assert all(queue.enqueue_many({"n": n} for n in range(400, 700)))

    assert stored(redis) == numbers(400, start=300)
    assert snapshot(redis).balanced


def test_many_events_take_the_place_of_as_many_open_ones(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A push with as many events as one command may have drops as many open ones, in several calls."""
    queue = connect(redis_url, batch={"events_per_request": 5_000}, max_queue_events=1_200)
    queue.enqueue_many({"n": n} for n in range(1_200))

    assert all(queue.enqueue_many({"n": n} for n in range(1_200, 2_200)))

    assert stored(redis) == numbers(1_200, start=1_000)
    assert snapshot(redis).balanced


def test_a_push_larger_than_the_queue_drops_nothing(redis: redis_py.Redis, redis_url: str) -> None:
    """A push larger than the queue is refused as a whole and drops nothing, since it would never fit."""
    queue = connect(redis_url, max_queue_events=4)
    queue.enqueue_many({"n": n} for n in range(4))

    receipts = queue.enqueue_many({"n": n} for n in range(4, 9))

    assert receipts == [FULL] * 5
    assert stored(redis) == numbers(4)
    assert queue.dropped == {"queue_full": 5}
    assert snapshot(redis).refused == 5


def test_what_workers_hold_is_not_dropped(redis: redis_py.Redis, redis_url: str) -> None:
    """Batches in flight are not dropped, since VWO may have them; the newest event is refused instead."""
    queue = connect(redis_url, max_queue_events=3)
    queue.enqueue_many({"n": n} for n in range(3))
    assert producer_of(queue).shards[0].claim(token="", lease_seconds=60)

    assert queue.enqueue({"n": 3}) == FULL

    assert stored(redis) == numbers(3)


def test_an_asyncio_producer_drops_the_oldest(redis: redis_py.Redis, redis_url: str) -> None:
    """An asyncio producer drops the oldest events in the same way."""
    queue = AioQueue(connect(redis_url, max_queue_events=7))

    async def enqueue() -> list[Receipt]:
        receipts = [await queue.enqueue({"n": n}) for n in range(10)]
        await queue.aclose()
        return receipts

    assert asyncio.run(enqueue()) == [IN_REDIS] * 10

    assert stored(redis) == numbers(7, start=3)
    assert snapshot(redis).balanced


def test_producers_that_drop_at_once_lose_no_event_unsaid(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """If several producers drop at once, every event is stored, or counted as dropped or refused."""
    producers = [connect(redis_url, max_queue_events=10) for _ in range(4)]

    def enqueue(queue: vwo_celery.Queue) -> list[Receipt]:
        return [queue.enqueue({"n": n}) for n in range(100)]

    with ThreadPoolExecutor(len(producers)) as threads:
        receipts = [each for answers in threads.map(enqueue, producers) for each in answers]

    found = snapshot(redis)
    assert found.balanced
    assert found.pending <= 10
    assert found.accepted == receipts.count(IN_REDIS)
    assert found.accepted == found.dropped["oldest"] + found.pending
    assert sum(sum(queue.dropped.values()) for queue in producers) == receipts.count(FULL)


def test_drops_are_logged_once_a_minute(
    redis: redis_py.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Drops of a queue that stays full are logged once a minute."""
    queue = vwo_celery.connect(
        vwo_celery.Destination(account_id=77, sdk_key="k" * 32, generation="fme"),
        batch_event_data={"events_per_request": 3}, redis_url=redis_url, when_full="drop_oldest",
        max_queue_events=3,
    )  # fmt: skip

    with caplog.at_level(logging.WARNING, "vwo_celery"):
        for n in range(20):
            queue.enqueue({"n": n})

    lines = [line for line in caplog.messages if "(oldest)" in line]
    assert len(lines) == 1
    assert "max_queue_events" in lines[0]


# -- other ways over a bound


def test_capacity_is_shared_by_shards(redis: redis_py.Redis, redis_url: str) -> None:
    """Each shard has its part of the capacity, rounded up: three parts of ten hold ten or more."""
    queue = connect(redis_url, shards=3, max_queue_events=10, when_full="drop_newest")

    receipts = [queue.enqueue({"n": n}) for n in range(100)]

    held = [snapshot(redis, number).pending for number in range(3)]
    assert [producer_of(queue).limits.capacity_events, share(10, 3), share(9, 3), share(0, 3)] == [
        4,
        4,
        3,
        0,
    ]
    assert held == [4, 4, 4]
    assert receipts.count(IN_REDIS) == 12


def test_other_programs_may_push_beyond_the_capacity(
    redis: redis_py.Redis, redis_url: str, queues: Queues
) -> None:
    """Events of other programs may exceed the capacity: the operator sees it, our own events are
    refused until the queue drains, and nothing is lost.
    """
    queue = connect(redis_url, max_queue_events=5, when_full="drop_newest")
    queue.enqueue({"n": 0})
    redis.lpush(producer_of(queue).shards[0].keys.open, *numbers(11, start=1))
    producer_of(queue).shards[0].sweep(force=True, idle_ms=60_000)

    refused = queue.enqueue({"n": 12})

    view = queues.view(queue)
    assert refused == FULL
    assert (view.undelivered, view.fullness, view.refused) == (12, 12 / 5, 1)
    (finding,) = findings(queues, "capacity")
    assert finding.state == "problem"
    assert "240%" in finding.what
    for _ in range(4):
        queues.deliver(queue)
    assert queue.enqueue({"n": 13}) == IN_REDIS
    assert queues.view(queue).ledger.balanced


def test_a_redrive_is_never_refused(redis: redis_py.Redis, redis_url: str, queues: Queues) -> None:
    """A redrive is never refused and may exceed the capacity; new events wait for room."""
    queue = connect(redis_url, max_queue_events=4, when_full="drop_newest")
    queue.enqueue_many({"n": n} for n in range(3))
    queues.kill(queue, "too old")
    queue.enqueue_many({"n": n} for n in range(3, 7))

    dead = find_dead(queues.fleet, queues.registered)
    redriven = operations.redrive(queues.fleet, OPERATOR, dead, everything(dead))

    assert redriven.changed.events == 3
    assert queues.view(queue).undelivered == 7
    assert queue.enqueue({"n": 7}) == FULL
    queues.deliver(queue)
    queues.deliver(queue)
    assert queue.enqueue({"n": 8}) == IN_REDIS
    assert queues.view(queue).ledger.balanced


@pytest.mark.parametrize(("when_full", "left"), [("drop_newest", 8), ("drop_oldest", 4)])
def test_a_capacity_that_is_lowered_drops_nothing_by_itself(
    redis: redis_py.Redis, redis_url: str, when_full: str, left: int
) -> None:
    """A lowered capacity drops nothing until the next push, which applies its policy."""
    connect(redis_url, max_queue_events=9).enqueue_many({"n": n} for n in range(8))
    lowered = connect(redis_url, max_queue_events=4, when_full=when_full)
    assert producer_of(lowered).register()
    held = snapshot(redis).pending

    receipt = lowered.enqueue({"n": 8})

    assert held == 8
    assert receipt == (FULL if when_full == "drop_newest" else IN_REDIS)
    assert snapshot(redis).pending <= left
    assert snapshot(redis).balanced


# -- dead letters


def dead_queue(queues: Queues, batches: int, *, each: int = 5) -> vwo_celery.Queue:
    """A queue with the given number of dead batches, and one batch that is not dead."""
    queue = queues.add(events_per_request=each)
    queues.fill(queue, each * (batches + 1))
    for _ in range(batches):
        queues.kill(queue, "too old")
    return queue


def test_the_oldest_dead_letters_go(queues: Queues, drops: list[tuple[str, str, int]]) -> None:
    """The oldest dead batches are dropped until the rest is within the bound; other batches stay."""
    queue = dead_queue(queues, 4)
    oldest_first = queues.client.zrange(queues.shard(queue).keys.dead, 0, -1)

    dropped = trim_dead([queues.shard(queue)], 12)

    assert dropped == 10
    view = queues.view(queue)
    assert (view.dead, view.dead_batches, view.ready) == (10, 2, 5)
    assert view.dropped == {DEAD_LETTERS_FULL: 10}
    assert view.ledger.balanced
    assert drops == [(queue.name, DEAD_LETTERS_FULL, 10)]
    assert queues.client.zrange(queues.shard(queue).keys.dead, 0, -1) == oldest_first[2:]


@pytest.mark.parametrize(("most", "left"), [(20, 20), (19, 15), (4, 0), (0, 0)])
def test_a_bound_is_a_bound(queues: Queues, most: int, left: int) -> None:
    """The bound may be reached exactly; a single batch above it is dropped; 0 keeps none."""
    queue = dead_queue(queues, 4)

    dropped = trim_dead([queues.shard(queue)], most)

    assert (dropped, queues.view(queue).dead) == (20 - left, left)


def test_a_second_trim_drops_nothing(queues: Queues, drops: list[tuple[str, str, int]]) -> None:
    """Within the bound, a trim drops and logs nothing."""
    queue = dead_queue(queues, 2)
    trim_dead([queues.shard(queue)], 5)
    drops.clear()

    assert trim_dead([queues.shard(queue)], 5) == 0

    assert drops == []


def test_workers_that_trim_at_once_drop_no_more(queues: Queues) -> None:
    """Workers that trim at once drop no more than one alone: only while the bound is exceeded."""
    queue = dead_queue(queues, 30, each=1)
    shard = queues.shard(queue)

    with ThreadPoolExecutor(4) as workers:
        dropped = list(workers.map(lambda _: trim_dead([shard], 7), range(4)))

    assert sum(dropped) == 23
    assert queues.view(queue).dead == 7


def test_one_trim_is_bounded(queues: Queues) -> None:
    """One trim drops a bounded number: a much lower bound does not keep a worker from sending."""
    queue = dead_queue(queues, 120, each=1)

    answers = [trim_dead([queues.shard(queue)], 0) for _ in range(3)]

    assert answers == [100, 20, 0]


# -- events that Redis lost


def copy_of(redis: Any) -> dict[bytes, bytes]:
    """All keys, as Redis would save them now."""
    return {name: redis.dump(name) for name in redis.keys("*")}


def come_back_with(redis: Any, keys: dict[bytes, bytes]) -> None:
    """Make Redis hold an older state, as after a crash."""
    redis.flushall()
    for name, dumped in keys.items():
        redis.restore(name, 0, dumped)


def findings(queues: Queues, check: str) -> list[Finding]:
    """The doctor's findings of one check."""
    found = doctor.examine(
        Settings(redis_url=queues.settings.redis_url), lambda: queues.fleet, lambda _: BROKER
    )
    return [finding for finding in found if finding.check == check]


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
