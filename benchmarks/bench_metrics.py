"""Cost of a scrape of 500 queues, for its process and for Redis, beside one HGETALL for each queue.

No exporter that reads queues from Redis can do with less than one command for each; what a glance needs
beside that is the rest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from shared import KEY, show

import vwo_celery
from vwo_celery.connections import open_client
from vwo_celery.metrics import exposition
from vwo_celery.metrics.measuring import read
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.counts import accepted, request
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer

QUEUES, ROUNDS = 500, 7


def main() -> None:
    """Print the table."""
    with RedisServer() as server:
        fleet = Fleet(open_client(server.url, timeout_seconds=30), "vwo")
        names = [_fill(fleet, server.url, account) for account in range(1, QUEUES + 1)]
        least = _least(fleet, names)
        runs: dict[str, Callable[[], object]] = {
            "HGETALL of each tally": least,
            "look alone": lambda: read(fleet),
            "scrape, 100 by name": _scrape(fleet, server.url, 100),
            "scrape, all by name": _scrape(fleet, server.url, QUEUES),
        }
        rows = [(name, *_cost(fleet.client, run)) for name, run in runs.items()]
    show(f"A scrape of {QUEUES} queues", rows, "", "ms", "ms of this process", "ms of Redis")


def _fill(fleet: Fleet, url: str, account: int) -> str:
    """A queue with an open event and a full tally, as one that has delivered for a while."""
    queue = vwo_celery.connect(
        vwo_celery.Destination(account_id=account, sdk_key=KEY, generation="fme"),
        batch_event_data={"events_per_request": 100, "request_time_interval": 60},
        redis_url=url,
    )
    queue.enqueue({"n": 1})
    shard = fleet.shard(producer_of(queue).registration.destination.queue, 0)
    counts: dict[str, int] = {}
    for seconds in (0.04, 0.2, 0.7, 3, 20, 100, 1_000):
        for answer in ("200", "503", "timeout"):
            counts |= request(answer, seconds=seconds, events=100)
        counts |= accepted(seconds)
    fleet.client.hset(shard.keys.tally, mapping=counts)
    return str(shard.keys.tally)


def _least(fleet: Fleet, keys: list[str]) -> Callable[[], object]:
    def run() -> object:
        pipe = fleet.client.pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key)
        return pipe.execute()

    return run


def _scrape(fleet: Fleet, url: str, most: int) -> Callable[[], object]:
    settings = Settings(redis_url=url, metrics_max_queues=most)
    return lambda: exposition(fleet, settings)


def _cost(client: Any, run: Callable[[], object]) -> tuple[str, str, str]:
    """Medians: time, processor time of this process, processor time of Redis."""
    found = []
    for _ in range(ROUNDS):
        redis, own, began = _redis_seconds(client), time.process_time(), time.perf_counter()
        run()
        spent = time.perf_counter() - began, time.process_time() - own
        found.append((*spent, _redis_seconds(client) - redis))
    medians = (statistics.median(each) for each in zip(*found, strict=True))
    wall, own_time, redis_time = (f"{1000 * each:,.0f}" for each in medians)
    return wall, own_time, redis_time


def _redis_seconds(client: Any) -> float:
    told = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


if __name__ == "__main__":
    main()
