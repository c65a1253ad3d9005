"""Producers without a spool while Redis or the network fails: no exception, no long wait, no
duplicate.

test_spool.py has the tests with a spool.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from tools import producers
from tools.producers import (
    DESTINATION,
    KEPT,
    SOON_SECONDS,
    TIMEOUT_SECONDS,
    numbers,
    snapshot,
    stored,
    worker_fleet,
)
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.connections.async_exchanges import AsyncClient
from vwo_celery.producing import aio
from vwo_celery.producing.queue import producer_of
from vwo_celery.receipts import IN_REDIS, SPOOLED, Receipt
from vwo_celery.testing import RedisServer, free_port

pytestmark = pytest.mark.declared_keys(*KEPT)
UNAVAILABLE = Receipt(where="dropped", reason="redis_unavailable")


def connect(url: str, **settings: Any) -> vwo_celery.Queue:
    """A queue without a spool."""
    return producers.connect(url, spool_dir="", **settings)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[TcpProxy]:
    """A proxy in front of the run's Redis."""
    with TcpProxy(redis_server.port) as running:
        yield running


@pytest.mark.parametrize("opened", [False, True], ids=["opening a list", "the short way"])
def test_an_event_whose_answer_was_lost_is_stored_once(
    redis: redis_py.Redis, proxy: TcpProxy, opened: bool
) -> None:
    """If the answer to a push is lost, the producer pushes again, and the event is stored once."""
    queue = connect(proxy.url())
    assert producer_of(queue).register()
    events = [{"n": 0}] if opened else []
    assert all(queue.enqueue_many(events))
    proxy.drop_reply_to(b'"lost"')

    receipt = queue.enqueue({"n": "lost"})

    assert receipt == IN_REDIS
    assert proxy.replies_dropped == 1
    assert stored(redis) == [*numbers(len(events)), b'{"n":"lost"}']
    assert snapshot(redis).accepted == len(events) + 1


def test_many_events_whose_answer_was_lost_are_stored_once(
    redis: redis_py.Redis, proxy: TcpProxy
) -> None:
    """If the answer to a push of many events is lost, its sealed batches are neither doubled nor lost."""
    queue = connect(proxy.url(), batch={"events_per_request": 30})
    queue.enqueue({"n": 0})
    proxy.drop_reply_to(b'{"n":50}')

    receipts = queue.enqueue_many({"n": n} for n in range(1, 100))

    assert receipts == [IN_REDIS] * 99
    assert proxy.replies_dropped == 1
    assert stored(redis) == numbers(100)
    assert [batch.events for batch in snapshot(redis).batches] == [30, 30, 30]


def test_a_server_that_stalls_stores_an_event_once() -> None:
    """A server that executes all abandoned attempts later stores the event once, and goes on as usual."""
    with RedisServer() as server, redis_py.Redis.from_url(server.url) as client:
        queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
        queue.enqueue({"n": 0})
        server.pause()
        given_up = queue.enqueue({"n": 1})
        server.resume()
        wait_until(lambda: len(stored(client)) == 2, what="what the server had not got to")

        wait_until(lambda: queue.enqueue({"n": 2}), what="the breaker to be closed")
        receipts = [queue.enqueue({"n": n}) for n in range(3, 5)]

        assert given_up == UNAVAILABLE
        assert receipts == [IN_REDIS] * 2
        assert stored(client) == numbers(5)


def test_a_registration_whose_answer_was_lost_is_written_again(
    redis: redis_py.Redis, proxy: TcpProxy
) -> None:
    """A lost answer to the registration does not lose the first event of a process."""
    queue = connect(proxy.url())
    proxy.drop_reply_to(DESTINATION.queue.encode())

    receipt = queue.enqueue({"n": 0})

    assert proxy.replies_dropped == 1
    assert receipt == IN_REDIS
    assert stored(redis) == numbers(1)


def test_a_server_that_comes_back_without_scripts(redis: redis_py.Redis, proxy: TcpProxy) -> None:
    """A connection breaks and the server has lost its scripts: the event is stored."""
    queue = connect(proxy.url())
    queue.enqueue({"n": 0})
    redis.script_flush()
    proxy.drop_reply_to(b'{"n":1}')

    receipt = queue.enqueue({"n": 1})

    assert proxy.replies_dropped == 1
    assert receipt == IN_REDIS
    assert stored(redis) == numbers(2)


def test_script_flush_is_mended(redis: redis_py.Redis, redis_url: str) -> None:
    """A server that forgot its scripts is given them; the event is stored once."""
    queue = connect(redis_url, batch={"events_per_request": 30})
    queue.enqueue({"n": 0})

    for n in range(1, 60):
        redis.script_flush()
        assert queue.enqueue({"n": n}) == IN_REDIS

    assert stored(redis) == numbers(60)


def test_flushall_is_mended(redis: redis_py.Redis, redis_url: str) -> None:
    """After FLUSHALL, the next event registers the queue again and is stored."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    redis.flushall()

    receipts = [queue.enqueue({"n": 1}), *queue.enqueue_many([{"n": 2}, {"n": 3}])]

    assert receipts == [IN_REDIS] * 3
    assert stored(redis) == numbers(3, start=1)
    fleet = worker_fleet(queue)
    assert list(fleet.registrations().readable) == [queue.name]
    assert [shard.keys.name for shard in fleet.watched()] == [f"{queue.name}:0"]


def test_a_server_that_is_not_there_costs_little_time() -> None:
    """If connections are refused, the event is dropped at once and counted; nothing is raised."""
    queue = connect(f"redis://127.0.0.1:{free_port()}/0", enqueue_timeout_seconds=TIMEOUT_SECONDS)
    started = time.monotonic()

    receipts = [queue.enqueue({"n": 0}), *queue.enqueue_many([{"n": 1}, {"n": 2}])]

    assert receipts == [UNAVAILABLE] * 3
    assert time.monotonic() - started < SOON_SECONDS
    assert queue.dropped == {"redis_unavailable": 3}


@pytest.mark.parametrize("connected", [True, False])
def test_a_server_that_is_silent_costs_little_time(
    redis: redis_py.Redis, proxy: TcpProxy, connected: bool
) -> None:
    """A network that answers nothing holds a caller for little more than the timeout."""
    queue = connect(proxy.url(), enqueue_timeout_seconds=TIMEOUT_SECONDS)
    if connected:
        queue.enqueue({"n": 0})
    proxy.blackhole()
    started = time.monotonic()

    receipt = queue.enqueue({"n": "swallowed"})

    assert receipt == UNAVAILABLE
    assert time.monotonic() - started < SOON_SECONDS


def test_a_server_that_comes_back_takes_events_again() -> None:
    """While the server is down, receipts say "dropped"; once it is back without scripts, events are
    stored again.
    """
    with RedisServer(appendonly=True) as server:
        queue = connect(server.url, enqueue_timeout_seconds=TIMEOUT_SECONDS)
        queue.enqueue({"n": 0})
        server.kill()
        while_down = queue.enqueue({"n": "down"})
        server.start()

        receipt = wait_until(lambda: queue.enqueue({"n": 1}), what="a receipt")

        assert while_down == UNAVAILABLE
        assert receipt == IN_REDIS
        with redis_py.Redis.from_url(server.url) as client:
            assert stored(client) == numbers(2)


def test_a_server_without_memory_refuses_and_says_so() -> None:
    """An event that Redis has no memory for is dropped and counted; nothing is raised."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        queue = connect(server.url)
        queue.enqueue({"n": 0})
        client.config_set("maxmemory", 1)

        receipts = [queue.enqueue({"n": 1}), connect(server.url).enqueue({"n": 2})]

        client.config_set("maxmemory", 0)
        assert receipts == [UNAVAILABLE] * 2
        assert stored(client) == numbers(1)
        client.close()


def test_what_other_programs_break_raises_nothing(redis: redis_py.Redis, redis_url: str) -> None:
    """A key of the wrong type raises nothing: the application sees it as any failure of Redis."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    redis.delete(producer_of(queue).shards[0].keys.open)
    redis.set(producer_of(queue).shards[0].keys.open, "not a list")

    receipt = queue.enqueue({"n": 1})

    assert receipt == UNAVAILABLE


def raising(kind: str) -> Callable[..., Any]:
    """A command that raises what no client documents, with the command in its text."""

    def execute_command(*words: Any, **_: Any) -> Any:
        raise type(kind, (Exception,), {})(f"cannot run {words}")

    return execute_command


@pytest.mark.parametrize("pushed", [False, True], ids=["first event", "later event"])
def test_an_exception_that_no_client_documents_leaves_no_call(
    redis: redis_py.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pushed: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It counts as a push that failed: spooled, told to the breaker, logged once without its text."""
    client = redis_py.Redis(connection_pool=redis.connection_pool)
    queue = vwo_celery.connect(DESTINATION, redis=client, spool_dir=str(tmp_path))
    events = [{"n": 0}] if pushed else []
    assert all(queue.enqueue_many(events))
    clients = producer_of(queue).fleet.client, producer_of(queue).host.open_fleet().client
    kind = f"Unforeseen{len(events)}"  # each kind is logged once a minute

    with monkeypatch.context() as failing:
        for each in clients:
            for way in ("execute_command", "exchange", "pipeline"):
                failing.setattr(each, way, raising(kind))
        receipts = [queue.enqueue({"n": "secret"}), *queue.enqueue_many([{"n": "secret"}] * 2)]
        flushed = queue.flush_events(0)
        drained = queue.drain_spool(0)
        breaker_open = producer_of(queue).host.breaker.is_open
    wait_until(lambda: queue.drain_spool(1), what="an empty spool")

    assert receipts == [SPOOLED] * 3
    assert (bool(flushed), bool(drained), breaker_open) == (False, False, True)
    assert len(stored(redis)) == len(events) + 3
    reported = [line for line in caplog.messages if "please report it" in line]
    assert len(reported) == 1
    assert kind in reported[0]
    assert "secret" not in caplog.text


def test_an_exception_that_no_client_documents_leaves_no_await(
    redis_server: RedisServer, redis: redis_py.Redis, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The same with asyncio; what ends the program, such as a cancellation, is not held back."""
    queue = aio.connect(DESTINATION, redis_url=redis_server.url, spool_dir=str(tmp_path))

    async def run() -> list[Receipt]:
        first = await queue.enqueue({"n": 0})
        unforeseen = raising("UnforeseenByAsyncio")
        monkeypatch.setattr(AsyncClient, "exchange", unforeseen)
        second = await queue.enqueue({"n": 1})
        await queue.aclose()
        return [first, second]

    receipts = asyncio.run(run())
    wait_until(lambda: queue.sync.drain_spool(1), what="an empty spool")

    assert receipts == [IN_REDIS, SPOOLED]
    assert len(stored(redis)) == 2


def test_what_ends_the_program_passes(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A KeyboardInterrupt during a push is the application's, as it is anywhere else."""
    client = redis_py.Redis(connection_pool=redis.connection_pool)
    queue = vwo_celery.connect(DESTINATION, redis=client, spool_dir="")
    assert queue.enqueue({"n": 0})

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(producer_of(queue).fleet.client, "exchange", interrupt)

    with pytest.raises(KeyboardInterrupt):
        queue.enqueue({"n": 1})
