"""How long each command holds Redis, by INFO commandstats, at any size of a batch."""

from __future__ import annotations

from typing import Any

from ground import EVENT_BYTES, destination, event, show

import vwo_celery
from vwo_celery.events import encode
from vwo_celery.testing import RedisServer

SIZES = (1, 100, 500, 1000, 5000)
ROUNDS = 20
#: One command may hold Redis for so long for each thousand events.
MS_PER_THOUSAND = 1.0


def main() -> None:
    """Print a row for each command and size."""
    with RedisServer() as server:
        rows = [row for size in SIZES for row in _measure(server.url, size)]
    show(
        f"Redis time, events of {EVENT_BYTES} bytes",
        rows, "command", "events", "µs a call", "µs an event",
    )  # fmt: skip


def _measure(url: str, size: int) -> list[tuple[str, ...]]:
    queue = vwo_celery.connect(
        destination(),
        batch_event_data={"events_per_request": size},
        redis_url=url,
        max_queue_events=10**7,
    )
    client, shard = queue.fleet.client, queue.shards[0]
    client.flushall()
    texts = [encode(event(number)) for number in range(size)]
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS + 1):
        _time(client, found, f"enqueue_many({min(size, 1000)})", lambda: queue.enqueue_many(texts))
        batch: list[Any] = []
        _time(client, found, "claim", lambda: batch.append(shard.claim(token="", lease_seconds=60)))
        _time(client, found, "read (LRANGE, a page)", lambda: shard.read(batch[0]))
        _time(client, found, "release", lambda: shard.release(batch[0], delay_seconds=0, error=""))
        again = shard.claim(token="", lease_seconds=60)
        _time(client, found, "ack", lambda: shard.ack(again.id))
        _time(client, found, "sweep", lambda: shard.sweep(force=False, horizon_ms=10**6, idle_ms=10**6))
    return [_row(name, size, sorted(each[1:])) for name, each in found.items()]


def _time(client: Any, found: dict[str, list[float]], name: str, work: Any) -> None:
    """Note the longest single command that *work* ran."""
    client.config_resetstat()
    work()
    stats = client.info("commandstats")
    longest = max(
        stats[key]["usec_per_call"] for key in ("cmdstat_evalsha", "cmdstat_lrange") if key in stats
    )
    found.setdefault(name, []).append(longest)


def _row(name: str, size: int, times: list[float]) -> tuple[str, ...]:
    median = times[len(times) // 2]
    moved = min(size, 1000) if "(" in name else size
    return name, str(size), f"{median:.0f}", f"{median / moved:.2f}"


if __name__ == "__main__":
    main()
