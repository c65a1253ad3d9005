"""Time for which each command holds Redis, from INFO commandstats, for several batch sizes.

Each row is a run of calls of one kind: one script's garbage in Lua is not collected on the account of
the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared import EVENT_BYTES, destination, event, show

import vwo_celery
from vwo_celery.events import encode
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing import RedisServer

SIZES = (1, 100, 500, 1000, 5000)
BATCHES = 100
COMMANDS = ("cmdstat_evalsha", "cmdstat_lrange")


def main() -> None:
    """Print a row for each command and size."""
    with RedisServer() as server:
        rows = [row for size in SIZES for row in _Measure(server.url, size).rows()]
    show(
        f"Redis time, events of {EVENT_BYTES} bytes",
        rows, "command", "events", "µs a call", "µs an event moved",
    )  # fmt: skip


class _Measure:
    def __init__(self, url: str, size: int) -> None:
        self.queue = vwo_celery.connect(
            destination(),
            batch_event_data={"events_per_request": size},
            redis_url=url,
            max_queue_events=10**8,
            max_queue_bytes=10**11,
            max_parallel_sends=64,
        )
        producer = producer_of(self.queue)
        self.client, self.shard, self.size = producer.fleet.client, producer.shards[0], size
        self.client.flushall()
        self.count = BATCHES if size <= 1000 else BATCHES // 5
        self.encoded = [encode(event(number)) for number in range(size)]

    def rows(self) -> list[tuple[str, ...]]:
        """Fill, claim, read, release, claim and ack, each for all batches before the next."""
        page = min(self.size, 1000)
        rows = [self._row(f"enqueue_many({page})", page, self._fill)]
        claimed: list[Any] = []
        rows.append(self._row("claim", 0, lambda: self._claim(claimed)))
        rows.append(self._row(f"read, {page} a page", page, lambda: self._read(claimed)))
        rows.append(self._row("extend", 0, lambda: self._extend(claimed)))
        rows.append(self._row("release", 0, lambda: self._release(claimed)))
        rows.append(self._row("sweep", 0, self._sweep))
        again: list[Any] = []
        self._claim(again)
        rows.append(self._row("ack", 0, lambda: self._ack(again)))
        return rows

    def _row(self, name: str, moved: int, work: Callable[[], None]) -> tuple[str, ...]:
        self.client.config_resetstat()
        work()
        stats = self.client.info("commandstats")
        longest = max(stats[each]["usec_per_call"] for each in COMMANDS if each in stats)
        each = f"{longest / moved:.2f}" if moved else "–"
        return name, str(self.size), f"{longest:.0f}", each

    def _fill(self) -> None:
        for _ in range(self.count):
            self.queue.enqueue_many(self.encoded)

    def _claim(self, claimed: list[Any]) -> None:
        while batch := self.shard.claim(token="", lease_seconds=600):
            claimed.append(batch)

    def _read(self, claimed: list[Any]) -> None:
        for batch in claimed:
            self.shard.read(batch)

    def _extend(self, claimed: list[Any]) -> None:
        for batch in claimed:
            self.shard.extend(batch, lease_seconds=600)

    def _release(self, claimed: list[Any]) -> None:
        for batch in claimed:
            self.shard.release(batch, delay_seconds=0, error="")

    def _sweep(self) -> None:
        for _ in range(self.count):
            self.shard.sweep(force=False, idle_ms=10**6)

    def _ack(self, claimed: list[Any]) -> None:
        for batch in claimed:
            self.shard.ack(batch.id)


if __name__ == "__main__":
    main()
