"""Time of one sweep over 10,000 watched queues, against one script call for each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import msgspec
from shared import destination, show

import vwo_celery
from vwo_celery.connections import open_client
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.work import sweeping
from vwo_celery.testing import RedisServer

QUEUES, ROUNDS = 10_000, 5
_PAGE = 500


def main() -> None:
    """Print the table."""
    with RedisServer() as server:
        fleet = Fleet(open_client(server.url, timeout_seconds=30), "vwo")
        _fill(fleet, server.url)
        sweeping.sweep(fleet, by="listener")
        ours, each, pairs = [], [], []
        for _ in range(ROUNDS):
            ours.append(_seconds(lambda: sweeping.sweep(fleet, by="listener")))
            each.append(_seconds(lambda: _one_by_one(fleet)))
            pairs.append(each[-1] / ours[-1])
    rows = [
        ("sweep", f"{statistics.median(ours):.3f}"),
        ("a script call for each", f"{statistics.median(each):.3f}"),
        ("each / sweep", f"{statistics.median(pairs):.1f}"),
    ]
    show(f"A sweep over {QUEUES:,} queues, each with an event that waits", rows, "", "seconds")


def _fill(fleet: Fleet, url: str) -> None:
    """One event that is not due yet in each of many queues."""
    queue = vwo_celery.connect(
        destination(),
        batch_event_data={"events_per_request": 100, "request_time_interval": 600},
        redis_url=url,
    )
    limits = msgspec.to_builtins(producer_of(queue).registration.limits)
    now_ms = fleet.now_ms()
    counts = {"accepted": 1, "events": 1, "bytes": 3, "open_events": 1, "open_bytes": 3}
    times = {"first_ms": now_ms, "watched": now_ms}
    for start in range(0, QUEUES, _PAGE):
        pipe = fleet.client.pipeline(transaction=False)
        for number in range(start, start + _PAGE):
            keys = fleet.shard(f"fme-{number}-0123456789ab", 0).keys
            pipe.hset(keys.meta, mapping={**limits, **counts, **times})
            pipe.lpush(keys.open, b"{}")
            pipe.sadd(fleet.keys.watched, keys.name)
        pipe.execute()


def _one_by_one(fleet: Fleet) -> None:
    """The sweep as it was before 0.2.0: one round trip for each shard."""
    for shard in fleet.watched():
        shard.sweep(force=False, idle_ms=as_ms(sweeping.IDLE_SECONDS))


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
