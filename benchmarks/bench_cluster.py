"""A Redis Cluster of three masters: what an event costs each of them, with 1, 3 and 6 shards.

Storing (one event a call, and a hundred) and draining are measured apart, against LPUSH to as many plain
lists with the same hash tags, so on the same masters.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from costs import Cost, Meter, medians
from shared import KEY, Sink, cluster, event, program, show, sink

import vwo_celery
import vwo_celery.aio
from vwo_celery.events import encode
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing import RedisServer
from vwo_celery.testing.waiting import wait_for

SHARDS = (1, 3, 6)
MASTERS, PER_REQUEST, PER_CALL, AWAITS = 3, 500, 100, 50
SINGLE, MANY, ROUNDS = 4_000, 40_000, 5
#: Time for a worker to finish its start, s.
_SETTLE_SECONDS = 2
CELERY = ("-m", "celery", "-A", "worker_app", "worker", "--without-mingle", "--without-gossip")


class Queue:
    """A queue of some shards in the Cluster, and plain lists that lie where its shards do."""

    def __init__(self, group: Any, target: Sink, shards: int) -> None:
        self.group, self.target, self.shards = group, target, shards
        destination = vwo_celery.Destination(
            account_id=888888 + shards, sdk_key=KEY, generation="fme", base_url=target.url
        )
        batch = {"events_per_request": PER_REQUEST, "request_time_interval": 86_400}
        settings = vwo_celery.Settings.load(
            redis_url=group.url, shards=shards, max_queue_events=10**8, max_queue_bytes=10**11,
            max_parallel_sends=16,
        )  # fmt: skip
        self.queue = vwo_celery.connect(destination, batch_event_data=batch, settings=settings)
        self.aio = vwo_celery.aio.connect(destination, batch_event_data=batch, settings=settings)
        self.loop = asyncio.new_event_loop()
        self.producer = producer_of(self.queue)
        self.client = self.producer.fleet.client
        names = [shard.keys.name for shard in self.producer.shards]
        self.lists = [f"bare:{{{name}}}" for name in names]
        self.on = [group.masters.index(group.owner_of(group.slot_of(key))) for key in self.lists]
        made = [event(number) for number in range(PER_CALL)]
        self.event, self.page = made[0], made
        self.encoded = [encode(each) for each in made]

    def enqueue(self) -> int:
        for _ in range(SINGLE):
            self.queue.enqueue(self.event)
        return SINGLE

    def lpush(self) -> int:
        for number in range(SINGLE):
            self.client.lpush(self.lists[number % self.shards], self.encoded[0])
        return SINGLE

    def enqueue_many(self) -> int:
        for _ in range(MANY // PER_CALL):
            self.queue.enqueue_many(self.page)
        return MANY

    def enqueue_at_once(self) -> int:
        self.loop.run_until_complete(self._many_clients())
        return SINGLE

    async def _many_clients(self) -> None:
        async def client() -> None:
            for _ in range(SINGLE // AWAITS):
                await self.aio.enqueue(self.event)

        await asyncio.gather(*(client() for _ in range(AWAITS)))

    def close(self) -> None:
        self.loop.run_until_complete(self.aio.aclose())
        self.loop.close()

    def pause(self) -> None:
        for shard in self.producer.shards:
            shard.pause("until the worker listens")

    def drain(self) -> int:
        """Let the worker, which listens, send all that waits in full batches."""
        waiting = sum(self._batches(shard) for shard in self.producer.shards)
        self.target.reset()
        for shard in self.producer.shards:
            shard.resume()
        while self.target.stats()[0] < waiting:
            time.sleep(0.2)
        return waiting * PER_REQUEST

    def _batches(self, shard: Any) -> int:
        return int(self.client.zcard(shard.keys.ready))


def main() -> None:
    """Print a table for each way of storing, and one of draining."""
    with ExitStack() as stack:
        group = stack.enter_context(cluster(MASTERS))
        broker = stack.enter_context(RedisServer())
        target = stack.enter_context(sink())
        queues = {shards: Queue(group, target, shards) for shards in SHARDS}
        meter = Meter(*(master.url for master in group.masters))
        ways: dict[str, Callable[[Queue], int]] = {
            "enqueue": Queue.enqueue,
            "LPUSH": Queue.lpush,
            f"aio.enqueue, {AWAITS} awaits": Queue.enqueue_at_once,
            f"enqueue_many({PER_CALL})": Queue.enqueue_many,
        }
        found = _in_turns(meter, queues, ways)
        for queue in queues.values():
            queue.close()
        for name, costs in found.items():
            _show(name, queues, costs)
        _show("draining", queues, _drained(meter, queues, broker, target))


def _in_turns(
    meter: Meter, queues: dict[int, Queue], ways: dict[str, Callable[[Queue], int]]
) -> dict[str, dict[int, Cost]]:
    """The cost of each way, for each queue by its number of shards."""
    found: dict[str, dict[int, list[Cost]]] = {
        name: {shards: [] for shards in queues} for name in ways
    }
    for turn in range(ROUNDS + 1):
        for shards, queue in queues.items():
            for name, way in ways.items():
                cost = meter.measure(partial(way, queue))
                if turn:
                    found[name][shards].append(cost)
    return {
        name: {shards: medians(costs) for shards, costs in those.items()}
        for name, those in found.items()
    }


def _drained(
    meter: Meter, queues: dict[int, Queue], broker: RedisServer, target: Sink
) -> dict[int, Cost]:
    """Each queue drained by one worker, one queue after the other."""
    for queue in queues.values():
        queue.pause()
    env = {
        "VWO_CELERY_REDIS_URL": next(iter(queues.values())).group.url,
        "VWO_CELERY_BROKER_URL": broker.url,
        "VWO_CELERY_ALLOWED_HOSTS": f"127.0.0.1:{target.port}",
    }
    fleet = next(iter(queues.values())).producer.fleet
    with program(*CELERY, "--pool=threads", "--concurrency=4", **env):
        wait_for(fleet.listeners, 60, what="the worker to listen", every_seconds=0.2)
        time.sleep(_SETTLE_SECONDS)
        return {shards: meter.measure(queue.drain) for shards, queue in queues.items()}


def _show(name: str, queues: dict[int, Queue], costs: dict[int, Cost]) -> None:
    rows = []
    for shards, cost in costs.items():
        on, mean = queues[shards].on, statistics.mean(cost.redis)
        masters = (f"{each:.2f} ({on.count(number)})" for number, each in enumerate(cost.redis))
        busiest = max(cost.redis)
        rows.append(
            (
                f"{shards}", *masters, f"{sum(cost.redis):.2f}", f"{busiest / mean:.2f}",
                f"{1e6 / busiest:,.0f}",
            )
        )  # fmt: skip
    show(
        f"{name}: µs of each master an event, and its number of shards",
        rows, "shards", *(f"master {number + 1}" for number in range(MASTERS)), "all",
        "busiest / mean", "events/s that fill the busiest",
    )  # fmt: skip


if __name__ == "__main__":
    main()
