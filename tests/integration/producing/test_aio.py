"""The asyncio producer: the same receipts, in fewer round trips."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import redis as redis_py

import vwo_celery
import vwo_celery.aio
from tools.tcpproxy import TcpProxy
from vwo_celery.producing.producer import Producer
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import RedisServer

DESTINATION = vwo_celery.Destination(account_id=1, sdk_key="k" * 32, generation="fme")
BATCH = {"events_per_request": 1000, "request_time_interval": 600}
KEPT = ("open", "watched", "ready", "info", "batch", "slots", "wakeups")
#: Longest wait for what should come at once, so that a test ends.
DEADLINE_SECONDS = 30
Answer = TypeVar("Answer")

pytestmark = pytest.mark.declared_keys(*KEPT)


def _run(
    url: str, work: Callable[[vwo_celery.aio.AioQueue], Awaitable[Answer]], **settings: Any
) -> Answer:
    """The result of *work*, run in its own event loop."""

    async def main() -> Answer:
        queue = vwo_celery.aio.connect(
            DESTINATION, batch_event_data=BATCH, redis_url=url, **settings
        )
        try:
            return await work(queue)
        finally:
            await queue.aclose()

    return asyncio.run(main())


def _stored(redis: redis_py.Redis) -> Any:
    return take_snapshot(producer_of(vwo_celery.connect(DESTINATION, redis=redis)).shards[0])


def test_awaits_at_the_same_time_share_round_trips(redis: redis_py.Redis, redis_url: str) -> None:
    """Two hundred concurrent awaits take a few commands, and each gets its receipt."""

    async def work(queue: vwo_celery.aio.AioQueue) -> list[vwo_celery.Receipt]:
        await queue.enqueue({"n": -1})
        redis.config_resetstat()
        return list(await asyncio.gather(*(queue.enqueue({"n": n}) for n in range(200))))

    receipts = _run(redis_url, work)

    assert receipts == [IN_REDIS] * 200
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] <= 5
    assert _stored(redis).accepted == 201


def test_order_is_kept(redis: redis_py.Redis, redis_url: str) -> None:
    """Events are stored in the order in which they were enqueued."""

    async def work(queue: vwo_celery.aio.AioQueue) -> str:
        await asyncio.gather(*(queue.enqueue({"n": n}) for n in range(2500)))
        return producer_of(queue.sync).shards[0].keys.prefix

    prefix = _run(redis_url, work)

    keys = [*sorted(redis.scan_iter(f"{prefix}batch:*")), f"{prefix}open".encode()]
    texts = [text for key in keys for text in reversed(redis.lrange(key, 0, -1))]
    assert texts == [b'{"n":%d}' % n for n in range(2500)]


def test_one_bad_event_is_dropped_alone(redis: redis_py.Redis, redis_url: str) -> None:
    """An event that JSON cannot carry is dropped with its own receipt; the others are stored."""

    async def work(queue: vwo_celery.aio.AioQueue) -> list[vwo_celery.Receipt]:
        return await queue.enqueue_many([{"n": 1}, {"n": float("nan")}, {"n": 3}])

    receipts = _run(redis_url, work)

    assert [receipt.where for receipt in receipts] == ["redis", "dropped", "redis"]
    assert receipts[1].reason == "not_json"
    assert _stored(redis).accepted == 2


def test_a_lost_answer_does_not_store_twice(
    redis: redis_py.Redis, redis_server: RedisServer
) -> None:
    """A push whose answer was lost is sent again, and stored once."""
    with TcpProxy(redis_server.port) as proxy:

        async def work(queue: vwo_celery.aio.AioQueue) -> list[vwo_celery.Receipt]:
            await queue.enqueue({"n": 0})
            proxy.drop_reply_to(b"EVALSHA")
            return [await queue.enqueue({"n": 1})]

        receipts = _run(proxy.url(), work)

        assert receipts == [IN_REDIS]
        assert proxy.replies_dropped == 1
    assert _stored(redis).accepted == 2


@pytest.mark.parametrize(
    "failure",
    [
        AttributeError("'NoneType' object has no attribute '_add_writer'"),
        TypeError("'NoneType' object is not callable"),
    ],
    ids=["lost in the write", "lost before it"],
)
def test_a_write_to_a_lost_connection_is_repeated(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error that asyncio of Python 3.12 and 3.13 raises reaches no caller: the push is repeated.

    It shows where redis-py writes, as to a connection that it has just opened.
    """
    raised: list[Exception] = []

    def writelines(stream: asyncio.StreamWriter, data: Any) -> None:
        if not raised:
            raised.append(failure)
            raise failure
        stream.write(b"".join(data))

    async def work(queue: vwo_celery.aio.AioQueue) -> vwo_celery.Receipt:
        await queue.enqueue({"n": 0})
        (gathering,) = queue._gatherings.values()
        await gathering.share.client.connection_pool.disconnect()
        monkeypatch.setattr(asyncio.StreamWriter, "writelines", writelines)
        return await queue.enqueue({"n": 1})

    with RedisServer(arguments=["--requirepass", "secret"]) as server:
        url = server.url.replace("redis://", "redis://:secret@")
        receipt = _run(url, work)

        assert receipt == IN_REDIS
        assert raised == [failure]
        with redis_py.Redis.from_url(url) as client:
            assert _stored(client).accepted == 2


def test_without_redis_the_event_is_dropped_in_time(redis: redis_py.Redis) -> None:
    """Without Redis and without a spool, the receipt says "dropped" within the timeout."""

    async def work(queue: vwo_celery.aio.AioQueue) -> vwo_celery.Receipt:
        return await asyncio.wait_for(queue.enqueue({"n": 1}), timeout=5)

    receipt = _run("redis://127.0.0.1:1/0", work, spool_dir="")

    assert (receipt.where, receipt.reason) == ("dropped", "redis_unavailable")


def test_a_server_that_forgot_the_scripts_is_given_them(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """After SCRIPT FLUSH, or if Redis lost everything, a push needs one more attempt."""

    async def work(queue: vwo_celery.aio.AioQueue) -> list[vwo_celery.Receipt]:
        receipts = [await queue.enqueue({"n": 1})]
        redis.script_flush()
        receipts.append(await queue.enqueue({"n": 2}))
        redis.flushall()
        receipts.append(await queue.enqueue({"n": 3}))
        return receipts

    receipts = _run(redis_url, work)

    assert receipts == [IN_REDIS] * 3
    assert _stored(redis).accepted == 1


def test_a_caller_who_gives_up_harms_no_other(redis: redis_py.Redis, redis_url: str) -> None:
    """A cancelled await does not cancel the round trip that it shares with others."""

    async def work(queue: vwo_celery.aio.AioQueue) -> vwo_celery.Receipt:
        await queue.enqueue({"n": 0})
        impatient = asyncio.ensure_future(queue.enqueue({"n": 1}))
        other = asyncio.ensure_future(queue.enqueue({"n": 2}))
        await asyncio.sleep(0)
        impatient.cancel()
        return await other

    assert _run(redis_url, work) == IN_REDIS


def test_a_queue_serves_one_loop_after_another(redis: redis_py.Redis, redis_url: str) -> None:
    """One queue may be used in the loops of several `asyncio.run` calls, one after another."""
    queue = vwo_celery.aio.connect(DESTINATION, batch_event_data=BATCH, redis_url=redis_url)

    async def once() -> vwo_celery.Receipt:
        receipt = await queue.enqueue({"n": 1})
        await queue.aclose()
        return receipt

    assert [asyncio.run(once()), asyncio.run(once())] == [IN_REDIS] * 2


def test_a_closed_queue_opens_again(redis: redis_py.Redis, redis_url: str) -> None:
    """An enqueue after `aclose`, in the same loop, works as usual."""

    async def work(queue: vwo_celery.aio.AioQueue) -> list[vwo_celery.Receipt]:
        before = await queue.enqueue({"n": 1})
        await queue.aclose()
        return [before, await queue.enqueue({"n": 2})]

    assert _run(redis_url, work) == [IN_REDIS] * 2


def test_a_flush_without_workers_says_so(redis: redis_py.Redis, redis_url: str) -> None:
    """flush_events answers within its timeout, and the events stay."""

    async def work(queue: vwo_celery.aio.AioQueue) -> vwo_celery.FlushResult:
        await queue.enqueue({"n": 1})
        return await queue.flush_events(timeout_seconds=0.2)

    result = _run(redis_url, work)

    assert (bool(result), result.pending) == (False, 1)
    assert "no worker listens" in result.reason


def test_many_events_are_one_await(redis: redis_py.Redis, redis_url: str) -> None:
    """Events of one call leave together with those of others; each caller gets its own receipts."""

    async def work(queue: vwo_celery.aio.AioQueue) -> list[list[vwo_celery.Receipt]]:
        await queue.enqueue({"n": -1})
        redis.config_resetstat()
        counts = (1, 700, 2, 1500, 0, 3)
        many = ([{"n": n} for n in range(count)] for count in counts)
        return list(await asyncio.gather(*(queue.enqueue_many(events) for events in many)))

    receipts = _run(redis_url, work)

    assert [len(each) for each in receipts] == [1, 700, 2, 1500, 0, 3]
    assert {receipt for each in receipts for receipt in each} == {IN_REDIS}
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] <= 8
    assert _stored(redis).accepted == 2207


def test_a_page_that_is_dropped_is_known_to_its_events_alone(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """Of events that did not fit into one command, each has the receipt of its own page."""

    async def work(queue: vwo_celery.aio.AioQueue) -> list[vwo_celery.Receipt]:
        return await queue.enqueue_many([{"n": n} for n in range(2500)])

    receipts = _run(redis_url, work, max_queue_events=2200, when_full="drop_newest", spool_dir="")

    assert [receipt.where for receipt in receipts] == ["redis"] * 2000 + ["dropped"] * 500
    assert _stored(redis).accepted == 2000


def test_nobody_waits_while_workers_are_woken(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a Cluster a batch that is sealed needs a further command; its events have receipts before."""
    monkeypatch.setattr("vwo_celery.queue.work.pushes.notice_keys", lambda _: ())
    woken, wake = threading.Event(), Producer.conclude_and_tell

    def wait(self: Producer, *args: Any, **kwargs: Any) -> vwo_celery.Receipt:
        assert woken.wait(DEADLINE_SECONDS)
        return wake(self, *args, **kwargs)

    monkeypatch.setattr(Producer, "conclude_and_tell", wait)

    async def work(queue: vwo_celery.aio.AioQueue) -> list[vwo_celery.Receipt]:
        assert producer_of(queue.sync).register()
        receipts = await queue.enqueue_many([{"n": n} for n in range(1000)])
        receipts.append(await queue.enqueue({"n": 1000}))
        woken.set()
        await queue.aclose()  # which waits for it
        assert redis.llen("vwo:1:wakeups") == 1
        return receipts

    assert _run(redis_url, work) == [IN_REDIS] * 1001
