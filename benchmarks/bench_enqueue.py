"""Cost of storing an event to the caller, against a plain `redis.Redis` of the same server.

`without-hiredis` as an argument: both sides use redis-py's parser in Python.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import threading
from collections.abc import Callable
from typing import Any

if "without-hiredis" in sys.argv:
    sys.modules["hiredis"] = None  # type: ignore[assignment]  # redis-py then finds none

import redis
from shared import console, destination, event, in_turns, ratio, show

import vwo_celery
import vwo_celery.aio
from vwo_celery.events import encode
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing import RedisServer

SINGLE, MANY, PER_CALL, AWAITS, THREADS = 2_000, 20_000, 100, 50, 8
BATCH = {"events_per_request": 500, "request_time_interval": 600}


def main() -> None:
    """Print the five tables."""
    with RedisServer() as server:
        settings = vwo_celery.Settings.load(
            redis_url=server.url, max_queue_events=10**8, max_queue_bytes=10**11
        )
        queue = vwo_celery.connect(destination(), batch_event_data=BATCH, settings=settings)
        bare = redis.Redis.from_url(server.url)
        queue.enqueue(event())
        producer = producer_of(queue)
        producer.fleet.client.hset(producer.shards[0].keys.meta, "watched", 2**52)
        _one_at_a_time(queue, bare)
        bare.delete("bare")
        _threads(queue, bare)
        bare.delete("bare")
        _many(queue, bare)
        bare.delete("bare")
        _asyncio(queue, settings)
        _traced(queue)


def _one_at_a_time(queue: vwo_celery.Queue, bare: redis.Redis) -> None:
    made = event()
    text = encode(made)

    def ours() -> None:
        for _ in range(SINGLE):
            queue.enqueue(made)

    def lpush() -> None:
        for _ in range(SINGLE):
            bare.lpush("bare", text)

    found = in_turns({"enqueue": ours, "LPUSH": lpush}, rounds=11, events=SINGLE)
    _show("One event a call", found, "enqueue", "LPUSH")


def _threads(queue: vwo_celery.Queue, bare: redis.Redis) -> None:
    made = event()
    text = encode(made)

    def ours() -> None:
        for _ in range(SINGLE // THREADS):
            queue.enqueue(made)

    def lpush() -> None:
        for _ in range(SINGLE // THREADS):
            bare.lpush("bare", text)

    contenders = {"enqueue": lambda: _in_threads(ours), "LPUSH": lambda: _in_threads(lpush)}
    found = in_turns(contenders, rounds=15, events=SINGLE)
    _show(f"One event a call, {THREADS} threads", found, "enqueue", "LPUSH")
    console.print(f"{1 / ratio(found, 'enqueue', 'LPUSH'):.2f} times the events a second")


def _in_threads(work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _many(queue: vwo_celery.Queue, bare: redis.Redis) -> None:
    made = [event(number) for number in range(PER_CALL)]
    encoded = [encode(each) for each in made]

    def ours() -> None:
        for _ in range(MANY // PER_CALL):
            queue.enqueue_many(made)

    def pipeline() -> None:
        for _ in range(MANY // PER_CALL):
            pipe = bare.pipeline(transaction=False)
            for each in encoded:
                pipe.lpush("bare", each)
            pipe.execute()

    producer = producer_of(queue)
    receipts: list[vwo_celery.Receipt] = []

    def ours_encoded() -> None:
        for _ in range(MANY // PER_CALL):
            producer.store_encoded(encoded, receipts)

    contenders = {
        "enqueue_many(100)": ours,
        "the same, encoded before": ours_encoded,
        "pipeline of 100 LPUSH": pipeline,
    }
    found = in_turns(contenders, rounds=9, events=MANY)
    _show("A hundred events a call", found, "enqueue_many(100)", "pipeline of 100 LPUSH")
    share = ratio(found, "the same, encoded before", "pipeline of 100 LPUSH")
    console.print(f"encoded before: {share:.2f}")


def _asyncio(queue: vwo_celery.Queue, settings: vwo_celery.Settings) -> None:
    made = event()
    aio = vwo_celery.aio.connect(destination(), batch_event_data=BATCH, settings=settings)
    loop = asyncio.new_event_loop()

    async def client() -> None:
        for _ in range(SINGLE // AWAITS):
            await aio.enqueue(made)

    async def concurrently() -> None:
        await asyncio.gather(*(client() for _ in range(AWAITS)))

    def one_at_a_time() -> None:
        for _ in range(SINGLE):
            queue.enqueue(made)

    name = f"aio.enqueue, {AWAITS} awaits"
    contenders = {name: lambda: loop.run_until_complete(concurrently()), "enqueue": one_at_a_time}
    found = in_turns(contenders, rounds=9, events=SINGLE)
    _show("asyncio against one at a time", found, name, "enqueue")
    console.print(f"{1 / ratio(found, name, 'enqueue'):.1f} times the events a second")
    loop.run_until_complete(aio.aclose())
    loop.close()


def _traced(queue: vwo_celery.Queue) -> None:
    """One event a call: without OpenTelemetry, in a span that is not sampled, and in one that is."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

    made = event()
    trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_ON))  # it exports nothing

    def enqueue() -> None:
        for _ in range(SINGLE):
            queue.enqueue(made)

    def without() -> None:
        api = sys.modules.pop("opentelemetry.trace")
        enqueue()
        sys.modules["opentelemetry.trace"] = api

    def within(sampler: Any) -> Callable[[], None]:
        span = TracerProvider(sampler=sampler).get_tracer("bench").start_span("request")

        def enqueue_within() -> None:
            with trace.use_span(span):
                enqueue()

        return enqueue_within

    work = {"without": without, "not sampled": within(ALWAYS_OFF), "sampled": within(ALWAYS_ON)}
    found = in_turns(work, rounds=11, events=SINGLE)
    _show("One event a call, with OpenTelemetry", found, "not sampled", "without")
    console.print(f"sampled / without: {ratio(found, 'sampled', 'without'):.2f}")


def _show(title: str, found: dict[str, list[float]], ours: str, other: str) -> None:
    rows = [(name, f"{statistics.median(each):.1f}") for name, each in found.items()]
    rows.append((f"{ours} / {other}", f"{ratio(found, ours, other):.2f}"))
    show(title, rows, "", "µs an event")


if __name__ == "__main__":
    main()
