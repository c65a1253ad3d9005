"""Memory of a process for each of its queues, and of Redis for each event that waits.

The first is measured in a process of its own, before and after it has connected so many queues, each of
which has stored two events. The second is compared with the same events in one plain list, and must not
exceed the formula by which `vwo-celery plan --outage` sizes Redis.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from typing import Any

import redis
import shared
from shared import HERE, destination, event, show

import vwo_celery
from vwo_celery.events import encode
from vwo_celery.operating.past.memory import maxmemory_bytes
from vwo_celery.testing import RedisServer

QUEUES, SHARDS = (100, 1_000), (1, 8)
EVENTS_PER_REQUEST, EVENT_SIZES = (1, 10, 100, 500, 5_000), (300, 700, 2_000)
EVENTS = 20_000
AIM_MB, AIM_RATIO = 1.0, 1.1


def main() -> None:
    """Print both tables."""
    with RedisServer() as server:
        rows = [
            _of_queues(server.url, queues, shards, away)
            for away in (False, True)
            for shards in SHARDS
            for queues in QUEUES
        ]
        title = f"A process with many queues; aim: {AIM_MB:.0f} MB for 100 queues"
        show(title, rows, "", "MB for 100 queues", "threads", "open files")
    show(
        f"Redis, of {EVENTS:,} waiting events; aim: at most {AIM_RATIO} of their bytes from n = 100 on",
        [_of_events(most, size) for most in EVENTS_PER_REQUEST for size in EVENT_SIZES],
        "", "bytes an event", "/ its bytes", "plain list", "/ plain list", "of the formula",
    )  # fmt: skip


def _of_queues(url: str, queues: int, shards: int, away: bool) -> tuple[str, ...]:
    """One row, from a process of its own."""
    command = [sys.executable, __file__, url, str(queues), str(shards), str(int(away))]
    folders = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": folders}
    answer = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    name = f"{queues:,} queues of {shards} shard{'s' * (shards > 1)}"
    return (name + ", Redis away" * away, *answer.split())


def measure(url: str, queues: int, shards: int, away: bool) -> None:
    """Print what so many queues add to this process: MB for 100, threads, open files."""
    settings = vwo_celery.Settings.load(
        redis_url="redis://127.0.0.1:9/0" if away else url, shards=shards, max_spool_bytes=2**30
    )

    def connect(account: int) -> vwo_celery.Queue:
        return vwo_celery.connect(
            vwo_celery.Destination(account_id=account, sdk_key=shared.KEY, generation="fme"),
            batch_event_data={"events_per_request": 500, "request_time_interval": 600},
            settings=settings,
        )

    kept = [connect(1)]
    assert kept[0].enqueue({"n": 1})
    before = _state()
    kept += [connect(2 + number) for number in range(queues)]
    for _ in range(2):
        assert all(queue.enqueue({"n": 1}) for queue in kept)
    grown = [after - first for after, first in zip(_state(), before, strict=True)]
    print(f"{grown[0] / queues * 100 / 1e6:.2f}", grown[1], grown[2])


def _state() -> tuple[int, int, int]:
    """Bytes that only this process has, its threads, and its open files."""
    gc.collect()
    with open("/proc/self/smaps_rollup") as file:
        private = [line.split()[1] for line in file if line.startswith("Private")]
    return sum(map(int, private)) * 1024, threading.active_count(), len(os.listdir("/proc/self/fd"))


def _of_events(most: int, size: int) -> tuple[str, ...]:
    """One row: waiting events of *size* bytes, *most* a request, and the same ones in a plain list."""
    made = [encode(event(number)) for number in range(min(EVENTS, 1_000))]
    texts = [_resized(each, size) for each in made]
    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)
        queue = vwo_celery.connect(
            destination(), redis_url=server.url,
            batch_event_data={"events_per_request": most, "request_time_interval": 600},
        )  # fmt: skip
        assert queue.enqueue_many(texts[:1])
        before = _used(client)
        for _ in range(EVENTS // len(texts)):
            assert all(queue.enqueue_many(texts))
        ours = (_used(client) - before) / EVENTS
        formula = maxmemory_bytes(EVENTS, size, EVENTS / most)
        of_the_formula = _used(client) / formula
        assert of_the_formula <= 1, f"maxmemory of {formula:,} bytes is too small"
        client.flushall()
        before = _used(client)
        for _ in range(EVENTS // len(texts)):
            client.lpush("plain", *texts)
        plain = (_used(client) - before) / EVENTS
    ratios = (
        f"{ours / size:.2f}", f"{plain:,.0f}", f"{ours / plain:.2f}", f"{of_the_formula:.2f}"
    )  # fmt: skip
    return (f"n = {most:,}, {size:,} bytes", f"{ours:,.0f}", *ratios)


def _resized(text: bytes, size: int) -> bytes:
    """The event with a longer or shorter note, or a small one of that size."""
    missing = size - len(text)
    if missing >= 0:
        return text.replace(b'"note":"', b'"note":"' + b"x" * missing)
    head, tail = b'{"n":"' + text[60:100].hex().encode(), b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


def _used(client: Any) -> int:
    return int(client.info("memory")["used_memory_dataset"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
    else:
        main()
