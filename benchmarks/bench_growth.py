"""How costs grow: with waiting events, queues, shards and lanes, against a plain list of the same size.

All points stand side by side in one Redis, each in a namespace of its own, and are measured in turns. A
cost is processor time, of Redis and of the caller. `--save` keeps the figures for docs/build_growth.py.

At a point with W waiting events, W events wait before each round, which enqueues as many as fill some
batches, and takes these out again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
from costs import Cost, Meter, medians, used_seconds
from machine import about
from shared import HERE, KEY, Sink, console, event, program, show, sink

import vwo_celery
from vwo_celery.connections import open_client
from vwo_celery.events import encode
from vwo_celery.operating.looks.looking import look
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.work import sweeping
from vwo_celery.testing import RedisServer
from vwo_celery.testing.waiting import wait_for

FIGURES = HERE.parent / "docs" / "growth.json"
DIMENSIONS = {
    "waiting events": (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
    "queues": (1, 10, 100, 1_000, 10_000),
    "shards": (1, 2, 4, 8, 16),
    "lanes": (1, 2, 4, 8, 16, 32, 64),
}
PER_REQUEST, BATCHES, ROUNDS = 100, 20, 7
#: As many as the lanes hold and a round claims. A sweep hands out so many wake-ups at most.
MOST_SENDS = 100
#: Sweeps and looks of one round, over all queues together.
_LOOKS_A_ROUND, _PAGE = 20, 1_000
#: The server of the lanes: its latency, a batch's events, the batches of each lane.
LATENCY_MS, LANE_EVENTS, LANE_BATCHES, LANES = 100, 50, 40, (1, 4, 16, 64)
#: Sizes of batches that one lane sends to a server that answers at once, and how many batches at most.
SIZES, SIZE_BATCHES = (10, 100, 500, 1_000, 5_000), 400
#: Time for a worker to finish its start, s.
SETTLE_SECONDS = 2
CELERY = ("-m", "celery", "-A", "worker_app", "worker", "--without-mingle", "--without-gossip")


#: A piece of work of one round; returns how many calls it made.
Work = Callable[[], int]


class Point:
    """One size in one dimension, filled, beside a plain list that is as long."""

    def __init__(self, url: str, dimension: str, size: int) -> None:
        self.size = size
        self.queues = size if dimension == "queues" else 1
        self.shards = size if dimension == "shards" else 1
        self.settings = vwo_celery.Settings.load(
            redis_url=url,
            namespace=f"{dimension.replace(' ', '-')}-{size}",
            shards=self.shards,
            max_parallel_sends=MOST_SENDS,
            max_queue_events=10**8,
            max_queue_bytes=10**11,
        )
        self.queue = self._connect(0)
        self.fleet = Fleet(open_client(url, timeout_seconds=60), self.settings.namespace)
        self.bare = self.fleet.client
        self.list = f"bare:{self.settings.namespace}"
        self.events = [encode(event(number)) for number in range(_PAGE)]
        self._fill(size if dimension == "waiting events" else 1)
        self._hold(size if dimension == "lanes" else 0)
        self.claimed: list[Any] = []

    def _connect(self, number: int) -> vwo_celery.Queue:
        return vwo_celery.connect(
            vwo_celery.Destination(account_id=888888 + number, sdk_key=KEY, generation="fme"),
            batch_event_data={"events_per_request": PER_REQUEST, "request_time_interval": 86_400},
            settings=self.settings,
        )

    def _fill(self, waiting: int) -> None:
        for number in range(1, self.queues):
            self._connect(number).enqueue(self.events[0])
            self.bare.lpush(f"{self.list}:{number}", self.events[0])
        for start in range(0, waiting, _PAGE):
            page = self.events[: waiting - start]
            assert all(self.queue.enqueue_many(page))
            self.bare.lpush(self.list, *page)

    def _hold(self, lanes: int) -> None:
        """Let that many batches be in flight."""
        for _ in range(lanes):
            self.queue.enqueue_many(self.events[:PER_REQUEST])
            self._all_shards()[0].claim(token="", lease_seconds=86_400)

    def _all_shards(self) -> list[Shard]:
        name = producer_of(self.queue).name
        return [self.fleet.shard(name, number) for number in range(self.shards)]

    def work(self) -> dict[str, Work]:
        """What one round does, in this order; it leaves the point as it was."""
        return {
            "enqueue": self._enqueue,
            "LPUSH": self._lpush,
            "sweep": lambda: self._often(lambda: sweeping.sweep(self.fleet, by="listener")),
            "status": lambda: self._often(lambda: look(self.fleet, self.settings, ())),
            "claim": self._claim,
            "ack": self._ack,
            "RPOP of 100": self._rpop,
        }

    def _enqueue(self) -> int:
        for number in range(BATCHES * PER_REQUEST):
            self.queue.enqueue(self.events[number % _PAGE])
        return BATCHES * PER_REQUEST

    def _lpush(self) -> int:
        for number in range(BATCHES * PER_REQUEST):
            self.bare.lpush(self.list, self.events[number % _PAGE])
        return BATCHES * PER_REQUEST

    def _often(self, do: Callable[[], object]) -> int:
        times = max(1, _LOOKS_A_ROUND // self.queues)
        for _ in range(times):
            do()
        return times

    def _claim(self) -> int:
        calls = 0
        for shard in self._all_shards():  # a push goes to a random shard: some have fewer batches
            while len(self.claimed) < BATCHES:
                calls += 1
                batch = shard.claim(token="", lease_seconds=600)
                if not batch:
                    break
                self.claimed.append((shard, batch.id))
        return calls

    def _ack(self) -> int:
        done, self.claimed = self.claimed, []
        for shard, batch_id in done:
            shard.ack(batch_id)
        return len(done)

    def _rpop(self) -> int:
        for _ in range(BATCHES):
            self.bare.rpop(self.list, PER_REQUEST)
        return BATCHES


def main() -> None:
    """Print a table for each dimension and one of lanes, and save them if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help=f"into {FIGURES}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    parser.add_argument(
        "--largest", type=int, default=10**9, metavar="N", help="leave out larger sizes"
    )
    options = parser.parse_args()
    with RedisServer() as server:
        found = {
            name: _grow(server.url, name, _up_to(options.largest, sizes), options.rounds)
            for name, sizes in DIMENSIONS.items()
        }
        for dimension, points in found.items():
            _show(dimension, points)
    with RedisServer() as server, sink(latency_ms=LATENCY_MS) as target:
        counts = _up_to(options.largest, LANES)
        lanes = {
            count: _drain(server.url, target, count, LANE_EVENTS, LANE_BATCHES * count)
            for count in counts
        }
    with RedisServer() as server, sink() as target:
        sizes = {
            size: _drain(server.url, target, 1, size, min(SIZE_BATCHES, 400_000 // size))
            for size in _up_to(100 * options.largest, SIZES)
        }
    _show_lanes("lanes", f"a server that takes {LATENCY_MS} ms", lanes)
    _show_lanes("events a batch", "one lane, a server that answers at once", sizes)
    if options.save:
        _save(
            FIGURES, {"measured": about(), "costs": found, "lanes": lanes, "events a batch": sizes}
        )


def _up_to(largest: int, sizes: Iterable[int]) -> list[int]:
    return [size for size in sizes if size <= largest]


def _grow(
    url: str, dimension: str, sizes: Iterable[int], rounds: int
) -> dict[int, dict[str, Cost]]:
    points = [Point(url, dimension, size) for size in sizes]
    meter = Meter(url)
    found: dict[int, dict[str, list[Cost]]] = {point.size: {} for point in points}
    for turn in range(rounds + 1):
        for point in points:
            for name, work in point.work().items():
                cost = meter.measure(work)
                if turn:
                    found[point.size].setdefault(name, []).append(cost)
    return {
        size: {name: medians(each) for name, each in costs.items()} for size, costs in found.items()
    }


# -- lanes at work


def _drain(url: str, target: Sink, lanes: int, size: int, batches: int) -> dict[str, float]:
    """Events/s of so many lanes of one worker process, and what a batch costs Redis and the worker."""
    env = {"VWO_CELERY_REDIS_URL": url, "VWO_CELERY_ALLOWED_HOSTS": f"127.0.0.1:{target.port}"}
    account = 888888 + 1000 * lanes + size
    queue = vwo_celery.connect(
        vwo_celery.Destination(
            account_id=account, sdk_key=KEY, generation="fme", base_url=target.url
        ),
        batch_event_data={"events_per_request": size},
        redis_url=url,
        max_parallel_sends=lanes,
        max_queue_events=10**8,
        max_queue_bytes=10**11,
    )
    producer = producer_of(queue)
    assert producer.register()
    producer.shards[0].pause("until the worker listens")
    page = [encode(event(number)) for number in range(size)]
    for _ in range(batches):
        assert all(queue.enqueue_many(page))
    target.reset()
    with program(*CELERY, "--pool=threads", f"--concurrency={lanes}", **env) as process:
        wait_for(producer.fleet.listeners, 60, what="the worker to listen", every_seconds=0.2)
        time.sleep(SETTLE_SECONDS)
        seen, client = psutil.Process(process.pid), producer.fleet.client
        own, redis = sum(seen.cpu_times()[:2]), used_seconds(client)
        producer.shards[0].resume()
        while (stats := target.stats())[0] < batches:
            time.sleep(0.2)
        own, redis = sum(seen.cpu_times()[:2]) - own, used_seconds(client) - redis
    return {
        "rate": batches * size / (stats[3] - stats[2]),
        "redis": redis / batches * 1e6,
        "worker": own / batches * 1e6,
    }


# -- telling


def _show(dimension: str, points: dict[int, dict[str, Cost]]) -> None:
    smallest, *_ = points.values()
    rows = []
    for size, costs in points.items():
        cells = (
            f"{cost.redis[0]:,.0f}  ×{cost.redis[0] / smallest[name].redis[0]:.2f}"
            for name, cost in costs.items()
        )
        rows.append((f"{size:,}", *cells))
    show(
        f"µs of Redis a call, and its ratio to the smallest number of {dimension}",
        rows, dimension, *smallest,
    )  # fmt: skip
    callers = [
        (f"{size:,}", *(f"{cost.caller:,.0f}" for cost in costs.values()))
        for size, costs in points.items()
    ]
    show("µs of the caller's processor", callers, dimension, *smallest)


def _show_lanes(name: str, how: str, found: dict[int, dict[str, float]]) -> None:
    first = next(iter(found.values()))["rate"]
    rows = [
        (
            f"{count}", f"{told['rate']:,.0f}", f"{told['rate'] / first:.1f}",
            f"{told['redis']:,.0f}", f"{told['worker']:,.0f}",
        )
        for count, told in found.items()
    ]  # fmt: skip
    show(
        f"One worker process by its {name}: {how}",
        rows, name, "events/s", "times", "Redis, µs a batch", "worker, µs a batch",
    )  # fmt: skip


def _save(path: Path, found: dict[str, Any]) -> None:
    path.write_text(json.dumps(dict(_plain(found)), indent=1) + "\n", "utf-8")
    console.print(f"saved at {datetime.datetime.now(datetime.timezone.utc):%H:%M} UTC in {path}")


def _plain(found: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name, each in found.items():
        if isinstance(each, Cost):
            yield str(name), [round(each.redis[0], 1), round(each.caller, 1)]
        elif isinstance(each, dict):
            yield str(name), dict(_plain(each))
        else:
            yield str(name), round(each, 1) if isinstance(each, float) else each


if __name__ == "__main__":
    main()
