"""Nothing but QueueFull leaves `enqueue`: whatever is raised on its way, there is a truthful receipt."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools.producers import DESTINATION, numbers, stored
from vwo_celery import aio
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue import notices
from vwo_celery.receipts import IN_REDIS, SPOOLED, Receipt
from vwo_celery.testing import RedisServer
from vwo_celery.testing.waiting import free_port

pytestmark = pytest.mark.declared_keys("*")
#: Text of an exception that quotes an event.
QUOTED = "see cret"
#: Every step of an enqueue that calls code beyond the producer's own.
STEPS = [
    "vwo_celery.spool.fallback.Fallback.look",
    "vwo_celery.spool.fallback.Fallback.put",
    "vwo_celery.spool.fallback.Fallback.note_failure",
    "vwo_celery.spool.breaker.Breaker.close",
    "vwo_celery.spool.breaker.Breaker.may_probe",
    "vwo_celery.spool.drainer.Drainer.ensure",
    "vwo_celery.spool.spool.Spool.put",
    "vwo_celery.queue.fleet.Fleet.register",
    "vwo_celery.queue.fleet.Fleet.try_watching",
    "vwo_celery.queue.fleet.Fleet.try_leaving_wakeups",
    "vwo_celery.queue.words.marks.Marks.take",
    "vwo_celery.queue.words.marks.Marks.renew",
    "vwo_celery.queue.words.marks.Marks.give_back",
    "vwo_celery.queue.words.marks.Marks.give_back_unused",
    "vwo_celery.queue.shard.Shard.append",
    "vwo_celery.queue.shard.Shard.push",
    "vwo_celery.queue.shard.Shard.push_command",
    "vwo_celery.queue.gates.Gate.let_in",
    "vwo_celery.queue.gates.Gate.note_pushed",
    "vwo_celery.connections.pools.SharedPool.take",
    "vwo_celery.connections.pools.SharedPool.give_back",
    "vwo_celery.connections.exchanges.read_replies",
    "redis.connection.AbstractConnection.connect",
    "redis.connection.AbstractConnection.pack_command",
    "socket.getaddrinfo",
]
SURPRISES = [UnicodeError, type("Surprise", (Exception,), {}), MemoryError, OSError]


def raising(error: type[BaseException]) -> Any:
    """A function that raises *error*, whatever it is called with."""

    def raise_it(*_: Any, **__: Any) -> Any:
        raise error(QUOTED)

    return raise_it


@pytest.fixture
def queue(redis_server: RedisServer, tmp_path: Path) -> Iterator[vwo_celery.Queue]:
    """A queue whose single events are appended, or open and fill batches, in turn.

    Events that a test left in its spool would be drained into the Redis of later tests.
    """
    queue = vwo_celery.connect(
        DESTINATION,
        batch_event_data={"events_per_request": 20, "request_time_interval": 60},
        redis_url=redis_server.url,
        spool_dir=str(tmp_path),
        enqueue_timeout_seconds=5.0,
    )
    yield queue
    assert queue.spooled() == 0


def enqueue_all(queue: vwo_celery.Queue) -> list[Receipt]:
    """Enqueue 45 events, one by one and in pages: some of them fill a batch."""
    receipts = [queue.enqueue({"n": n}) for n in range(21)]
    return [*receipts, *queue.enqueue_many([{"n": n} for n in range(24)])]


@pytest.mark.parametrize("connected", [True, False], ids=["later", "first"])
@pytest.mark.parametrize("step", STEPS)
def test_whatever_a_step_raises_ends_as_a_receipt(
    redis: redis_py.Redis, queue: vwo_celery.Queue, step: str, connected: bool,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """A step that fails, at the first use or while a connection is opened anew, costs no exception.

    Events whose receipt says so are in Redis or in the spool, and no others are.
    """
    before = [queue.enqueue({"n": 0})] if connected else []
    error = SURPRISES[STEPS.index(step) % len(SURPRISES)]

    with monkeypatch.context() as failing:
        failing.setattr(step, raising(error))
        producer_of(queue).fleet.client.connection_pool.disconnect()
        receipts = [*before, *enqueue_all(queue)]
    queue.drain_spool(20)

    assert len(receipts) == len(before) + 45
    assert len(stored(redis)) == sum(map(bool, receipts))
    assert sum(queue.dropped.values()) == sum(not receipt for receipt in receipts)
    assert error is OSError or QUOTED not in caplog.text  # its text is the system's


@pytest.mark.parametrize("step", [step for step in STEPS if "try_" in step])
def test_whatever_a_notice_of_a_producers_own_raises_ends_as_a_receipt(
    redis: redis_py.Redis, queue: vwo_celery.Queue, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the push cannot leave wake-ups by itself, as in a Cluster, the events are in Redis."""
    monkeypatch.setattr(notices, "_of_one_slot", [producer_of(queue).fleet.client])
    monkeypatch.setattr(step, raising(MemoryError))

    receipts = enqueue_all(queue)

    assert receipts == [IN_REDIS] * 45
    assert len(stored(redis)) == 45


@pytest.mark.parametrize("step", [step for step in STEPS if "Breaker" not in step])
def test_whatever_a_step_raises_ends_as_a_receipt_for_an_await(
    redis: redis_py.Redis, redis_server: RedisServer, step: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The same with asyncio."""
    queue = aio.connect(DESTINATION, redis_url=redis_server.url, spool_dir=str(tmp_path))

    async def run() -> list[Receipt]:
        first = await queue.enqueue({"n": 0})
        with monkeypatch.context() as failing:
            failing.setattr(step, raising(SURPRISES[STEPS.index(step) % len(SURPRISES)]))
            receipts = [first, *await queue.enqueue_many([{"n": n} for n in range(5)])]
        await queue.aclose()
        return receipts

    receipts = asyncio.run(run())
    queue.sync.drain_spool(20)

    assert len(stored(redis)) == sum(map(bool, receipts))
    assert sum(queue.sync.dropped.values()) == sum(not receipt for receipt in receipts)


def test_a_name_that_cannot_be_looked_up_any_more(
    redis: redis_py.Redis, queue: vwo_celery.Queue, redis_server: RedisServer, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """UnicodeError of a name such as "redis..svc", as a Sentinel may give it, is an outage."""
    awaited = aio.connect(DESTINATION, redis_url=redis_server.url, spool_dir=str(tmp_path))
    producers = [producer_of(each) for each in (queue, awaited.sync)]
    calls = [
        lambda: [queue.enqueue({"n": 1})],
        lambda: queue.enqueue_many([{"n": 2}]),
        lambda: [asyncio.run(awaited.enqueue({"n": 3}))],
    ]
    assert queue.enqueue({"n": 0}) == IN_REDIS
    receipts: list[Receipt] = []
    with monkeypatch.context() as failing:
        failing.setattr(socket, "getaddrinfo", raising(UnicodeError))
        for producer in producers:  # other tests may have left connections that are open
            producer.fleet.client.connection_pool.disconnect()

        for call in calls:
            producers[0].host.breaker.close()  # each asks Redis by itself
            receipts += call()

    assert receipts == [SPOOLED] * 3
    assert queue.drain_spool(20)
    assert sorted(stored(redis)) == numbers(4)


@pytest.fixture
def broken_handler() -> Iterator[None]:
    """A handler of the application's that raises for each line."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("the log server is away")

    handler = Broken()
    logging.getLogger("vwo_celery").addHandler(handler)
    yield
    logging.getLogger("vwo_celery").removeHandler(handler)


@pytest.mark.usefixtures("broken_handler")
def test_a_handler_of_the_log_that_raises(tmp_path: Path) -> None:
    """A handler of the application's that raises for each line reaches no request."""
    away = f"redis://127.0.0.1:{free_port()}"
    spooling = vwo_celery.connect(DESTINATION, redis_url=away, spool_dir=str(tmp_path))
    dropping = vwo_celery.connect(DESTINATION, redis_url=away, spool_dir="")

    assert [spooling.enqueue({}), spooling.enqueue({"n": {1j}}).reason] == [SPOOLED, "not_json"]
    assert dropping.enqueue({}).reason == "redis_unavailable"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("step", ["shard.Shard.append", "words.marks.Marks.take"])
def test_what_ends_the_program_passes_every_net(
    queue: vwo_celery.Queue, error: type[BaseException], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyboardInterrupt and SystemExit pass."""
    assert queue.enqueue({"n": 0})
    monkeypatch.setattr(f"vwo_celery.queue.{step}", raising(error))

    with pytest.raises(error):
        queue.enqueue({"n": 1})
    monkeypatch.undo()


def test_a_failing_iterable_is_the_callers(redis: redis_py.Redis, queue: vwo_celery.Queue) -> None:
    """An exception of the caller's own iterable passes, before anything is stored."""

    def events() -> Iterator[Any]:
        yield {"n": 0}
        raise LookupError("the caller's")

    for store in (
        queue.enqueue_many,
        lambda each: asyncio.run(aio.AioQueue(queue).enqueue_many(each)),
    ):
        with pytest.raises(LookupError, match="the caller's"):
            store(events())

    assert not redis.exists(producer_of(queue).shards[0].keys.open)
