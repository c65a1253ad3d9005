"""Cost of a look at a shard that holds 200,000 batches, against a snapshot of it, as before 0.2.0."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from shared import destination, show

import vwo_celery
from vwo_celery.connections import open_client
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.testing import RedisServer

BATCHES, GLANCES, SNAPSHOTS = 200_000, 300, 5
_PAGE = 1_000
_MICROSECONDS = 1_000_000


def main() -> None:
    """Print the table."""
    with RedisServer() as server:
        shard = _fill(server.url)
        glance, snapshot, pairs = [], [], []
        for _ in range(SNAPSHOTS):
            some = [_microseconds(lambda: take_glances([shard])) for _ in range(GLANCES)]
            glance.append(statistics.median(some))
            snapshot.append(_microseconds(lambda: take_snapshot(shard)))
            pairs.append(snapshot[-1] / glance[-1])
    rows = [
        ("glance", f"{statistics.median(glance):,.0f}"),
        ("snapshot", f"{statistics.median(snapshot):,.0f}"),
        ("snapshot / glance", f"{statistics.median(pairs):,.0f}"),
    ]
    show(f"A look at {BATCHES:,} batches", rows, "", "µs, answer included")


def _fill(url: str) -> Shard:
    """A shard with that many batches of one event, eight of them in flight."""
    queue = vwo_celery.connect(
        destination(),
        batch_event_data={"events_per_request": 1, "request_time_interval": 60},
        redis_url=url,
    )
    events = [{"d": {"msgId": str(number)}} for number in range(_PAGE)]
    for start in range(0, BATCHES, _PAGE):
        queue.enqueue_many(events[: BATCHES - start])
    name = producer_of(queue).registration.destination.queue
    shard = Fleet(open_client(url, timeout_seconds=30), "vwo").shard(name, 0)
    for _ in range(8):
        shard.claim(token="", lease_seconds=600)
    return shard


def _microseconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return _MICROSECONDS * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
