"""The asyncio producer in many event loops, in loops that end, and in those of a busy program."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
import vwo_celery.aio
from tools.producers import BATCH, DESTINATION, KEPT, numbers, stored
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.receipts import IN_REDIS, Receipt
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*KEPT)
THREADS = 8
#: Longest wait for what should come at once, so that a test ends.
DEADLINE_SECONDS = 30
#: Enough for a busy machine: no event of these tests may go to the spool.
PATIENT: dict[str, Any] = {"enqueue_timeout_seconds": 20.0, "spool_dir": ""}


def connect(url: str, **settings: Any) -> vwo_celery.aio.AioQueue:
    """A queue of the tests, as at the top of a module."""
    return vwo_celery.aio.connect(
        DESTINATION, batch_event_data=BATCH, redis_url=url, **PATIENT | settings
    )


async def soon(answers: Iterable[Awaitable[Any]]) -> list[Any]:
    """The results of all *answers*, errors among them; none may stay away."""
    gathered = asyncio.gather(*answers, return_exceptions=True)
    return list(await asyncio.wait_for(gathered, DEADLINE_SECONDS))


def test_threads_use_a_queue_in_loops_of_their_own(redis: redis_py.Redis, redis_url: str) -> None:
    """Under `async_to_sync` each request has a loop: awaits in one of them wait for no other."""
    queue = connect(redis_url)
    start, receipts = threading.Barrier(THREADS), []

    def serve() -> None:
        start.wait()
        for n in range(20):
            receipts.extend(asyncio.run(soon([queue.enqueue({"n": n}), queue.enqueue({"n": n})])))

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)

    assert receipts == [IN_REDIS] * THREADS * 40
    assert len(stored(redis)) == THREADS * 40


def test_a_loop_that_has_ended_is_forgotten(redis_url: str) -> None:
    """A queue keeps neither the loops that were closed without `aclose`, nor their connections."""
    queue = connect(redis_url)
    loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    async def once() -> Receipt:
        loops.add(asyncio.get_running_loop())
        return await queue.enqueue({"n": 1})

    receipts = [asyncio.run(once()) for _ in range(20)]
    gc.collect()

    assert receipts == [IN_REDIS] * 20
    assert len(loops) <= 1


def test_closing_a_queue_in_one_loop_leaves_it_to_the_others(redis_url: str) -> None:
    """`aclose` waits for, and closes, what belongs to its own loop."""
    queue = connect(redis_url)
    other = asyncio.new_event_loop()

    async def close() -> Receipt:
        receipt = await queue.enqueue({"n": 2})
        await queue.aclose()
        return receipt

    receipts = [other.run_until_complete(queue.enqueue({"n": 1})), asyncio.run(close())]
    receipts.append(other.run_until_complete(queue.enqueue({"n": 3})))
    other.run_until_complete(queue.aclose())
    other.close()

    assert receipts == [IN_REDIS] * 3


async def before_it_began(proxy: TcpProxy) -> None:
    """Cancel the task that sends before its first step."""
    assert len(asyncio.all_tasks()) > 1


async def while_it_sends(proxy: TcpProxy) -> None:
    """Cancel it while a push is under way, which has arrived and is not answered."""
    await asyncio.to_thread(wait_until, lambda: proxy.replies_dropped > 0, DEADLINE_SECONDS)


@pytest.mark.parametrize("moment", [before_it_began, while_it_sends], ids=lambda m: m.__name__)
def test_whoever_ends_the_loop_leaves_no_await_without_an_answer(
    moment: Callable[[TcpProxy], Awaitable[None]],
    redis: redis_py.Redis,
    redis_server: RedisServer,
) -> None:
    """With the task cancelled that sends, a thread stores what it left, each event once, in order."""

    async def main() -> list[Any]:
        queue = connect(proxy.url())
        assert await queue.enqueue({"n": 0}) == IN_REDIS  # a thread's connection registers it
        assert await queue.enqueue({"n": 1}) == IN_REDIS  # this loop's connection is open now
        proxy.swallow_replies()
        answers = [asyncio.ensure_future(queue.enqueue({"n": n})) for n in range(2, 3011)]
        await asyncio.sleep(0)
        await moment(proxy)
        for task in asyncio.all_tasks() - {asyncio.current_task(), *answers}:
            task.cancel()
        await asyncio.sleep(0)
        proxy.pass_through()
        receipts = await soon(answers)
        receipts += await soon([queue.enqueue({"n": 3011})])
        await queue.aclose()
        return receipts

    with TcpProxy(redis_server.port) as proxy:
        receipts = asyncio.run(main())

    assert receipts == [IN_REDIS] * 3010
    assert events_in_order(redis) == numbers(3012)


def events_in_order(redis: redis_py.Redis) -> list[bytes]:
    """All stored events, oldest first, also those in sealed batches."""
    sealed = sorted(
        redis.scan_iter("*:batch:*", count=1000),
        key=lambda key: numbered(redis.lindex(key, -1)),
    )
    keys = [*sealed, *redis.scan_iter("*:open", count=1000)]
    return [event for key in keys for event in reversed(redis.lrange(key, 0, -1))]


def numbered(event: bytes) -> int:
    """The number of an event `{"n": 5}`."""
    return int(event.removeprefix(b'{"n":').removesuffix(b"}"))


def test_events_of_a_loop_that_is_ended_are_stored(redis: redis_py.Redis, redis_url: str) -> None:
    """`asyncio.run` cancels all tasks at its end: events whose awaits it cancels are stored as well."""
    queue = connect(redis_url)

    async def main() -> None:
        await queue.enqueue({"n": 0})
        for n in range(1, 100):
            asyncio.ensure_future(queue.enqueue({"n": n})).add_done_callback(lambda _: None)
        await asyncio.sleep(0)

    asyncio.run(main())

    wait_until(lambda: len(stored(redis)) == 100, DEADLINE_SECONDS)
    assert sorted(stored(redis), key=numbered) == numbers(100)


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_busy_executor_delays_no_event(first: bool, redis_url: str) -> None:
    """Registration, and what follows a sealed batch, wait for none of the program's own threads."""
    queue, end = connect(redis_url), threading.Event()

    async def main() -> list[Any]:
        if not first:
            await queue.enqueue({"n": 0})
        busy = [asyncio.ensure_future(asyncio.to_thread(end.wait)) for _ in range(100)]
        try:
            receipts = await soon(queue.enqueue({"n": n}) for n in range(1, 2001))
            flushed = await soon([queue.flush_events(timeout_seconds=0), queue.spooled()])
        finally:
            end.set()
            await asyncio.gather(*busy)
        await queue.aclose()
        return [receipts, flushed[0].pending, flushed[1]]

    receipts, pending, spooled = asyncio.run(main())

    assert receipts == [IN_REDIS] * 2000
    assert (pending, spooled) == (2000 if first else 2001, 0)


def test_where_no_thread_can_be_started_the_loop_waits(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process at its limit of threads stores its events all the same."""
    queue = connect(redis_url)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> list[Any]:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            receipts = await soon(queue.enqueue({"n": n}) for n in range(10))
        await queue.aclose()
        return receipts

    assert asyncio.run(main()) == [IN_REDIS] * 10
