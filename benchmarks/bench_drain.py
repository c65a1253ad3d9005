"""Rate at which a backlog leaves: one worker process against a bare loop, 32 lanes against one."""

from __future__ import annotations

import statistics
import time
from typing import Any

from shared import Sink, destination, event, program, show, sink

import vwo_celery
from vwo_celery.connections import open_client
from vwo_celery.events import encode
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing import RedisServer

EVENTS, PER_REQUEST, ROUNDS = 200_000, 500, 3
LANES, LATENCY_MS = 32, 100
CELERY = ("-m", "celery", "-A", "worker_app", "worker", "--without-mingle", "--without-gossip")


def main() -> None:
    """Print both tables."""
    with RedisServer() as server:
        with sink() as fast:
            _against_bare_loop(server.url, fast)
        with sink(latency_ms=LATENCY_MS) as slow:
            _lanes(server.url, slow)


def _against_bare_loop(url: str, fast: Sink) -> None:
    ours, bare = [], []
    for _ in range(ROUNDS):
        _fill(url, fast, EVENTS, PER_REQUEST)
        with program(*CELERY, "--pool=solo", **_env(url, fast)):
            ours.append(_rate(fast, EVENTS, PER_REQUEST))
        _fill_bare(url)
        with program("bare_loop.py", url, fast.url, str(PER_REQUEST)):
            bare.append(_rate(fast, EVENTS, PER_REQUEST))
    share = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    rows = [
        ("one worker process (solo)", f"{statistics.median(ours):,.0f}"),
        ("bare loop of RPOP and requests.post", f"{statistics.median(bare):,.0f}"),
        ("worker / bare loop", f"{share:.0%}"),
    ]
    show(f"Draining {EVENTS:,} events, {PER_REQUEST} a request", rows, "", "events/s")


def _lanes(url: str, slow: Sink) -> None:
    rates = {}
    for lanes, batches in ((1, 60), (LANES, 60 * LANES)):
        events = batches * PER_REQUEST // 10
        _fill(url, slow, events, PER_REQUEST // 10, max_parallel_sends=LANES)
        with program(*CELERY, "--pool=threads", f"--concurrency={lanes}", **_env(url, slow)):
            rates[lanes] = _rate(slow, events, PER_REQUEST // 10)
    rows = [(f"{lanes} lanes", f"{rate:,.0f}") for lanes, rate in rates.items()]
    rows.append((f"{LANES} lanes / 1 lane", f"{rates[LANES] / rates[1]:.1f}"))
    show(f"A server that takes {LATENCY_MS} ms", rows, "", "events/s")


def _env(url: str, target: Sink) -> dict[str, str]:
    return {"VWO_CELERY_REDIS_URL": url, "VWO_CELERY_ALLOWED_HOSTS": f"127.0.0.1:{target.port}"}


def _fill(url: str, target: Sink, events: int, per_request: int, **settings: Any) -> None:
    queue = vwo_celery.connect(
        destination(target.url),
        batch_event_data={"events_per_request": per_request},
        redis_url=url,
        **settings,
    )
    producer_of(queue).fleet.client.flushall()
    encoded = [encode(event(number)) for number in range(1000)]
    for start in range(0, events, len(encoded)):
        assert all(queue.enqueue_many(encoded[: events - start]))
    target.reset()


def _fill_bare(url: str) -> None:
    client = open_client(url, timeout_seconds=5)
    client.flushall()
    encoded = [encode(event(number)) for number in range(1000)]
    for _ in range(EVENTS // len(encoded)):
        client.lpush("bare", *encoded)


def _rate(target: Sink, events: int, per_request: int) -> float:
    """Events a second between the first and the last request, once all have arrived."""
    wanted = -(-events // per_request)
    while (stats := target.stats())[0] < wanted:
        time.sleep(0.2)
    target.reset()
    return events / (stats[3] - stats[2])


if __name__ == "__main__":
    main()
