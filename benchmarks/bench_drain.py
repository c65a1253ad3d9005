"""Rate at which a backlog leaves: one worker process against a bare loop, 32 lanes against one.

The first comparison is made twice: on the machine as it is, and beside two processes that never rest.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from shared import Sink, destination, event, program, show, sink

import vwo_celery
from vwo_celery.connections import open_client
from vwo_celery.events import encode
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.testing import RedisServer

EVENTS, PER_REQUEST, ROUNDS = 100_000, 500, 7
LANES, LATENCY_MS = 32, 100
BUSY_LOOPS = 2
CELERY = ("-m", "celery", "-A", "worker_app", "worker", "--without-mingle", "--without-gossip")


class Drained(NamedTuple):
    """One drain: events a second, and microseconds of its process for an event."""

    rate: float
    cpu: float


def main() -> None:
    """Print the three tables."""
    with RedisServer() as server:
        with sink() as fast:
            _against_bare_loop(server.url, fast, "")
            with _busy():
                _against_bare_loop(server.url, fast, f", beside {BUSY_LOOPS} busy loops")
        with sink(latency_ms=LATENCY_MS) as slow:
            _lanes(server.url, slow)


@contextmanager
def _busy() -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(BUSY_LOOPS):
            stack.enter_context(program("-c", "while True: pass"))
        yield


def _against_bare_loop(url: str, fast: Sink, beside: str) -> None:
    found: dict[str, list[Drained]] = {"worker": [], "bare": []}
    for turn in range(ROUNDS + 1):
        for name, drain in (("worker", _drain_by_worker), ("bare", _drain_bare)):
            drained = drain(url, fast)
            if turn:
                found[name].append(drained)
    rates = {name: [each.rate for each in of] for name, of in found.items()}
    cpu = {name: [each.cpu for each in of] for name, of in found.items()}
    rows = [
        _row("one worker process (solo)", rates["worker"], cpu["worker"]),
        _row("bare loop of RPOP and requests.post", rates["bare"], cpu["bare"]),
        ("worker / bare loop", _share(rates), _share(cpu)),
    ]
    title = f"Draining {EVENTS:,} events, {PER_REQUEST} a request{beside}"
    show(title, rows, "", "events/s", "CPU of the process, µs an event")


def _row(name: str, rates: list[float], cpu: list[float]) -> tuple[str, str, str]:
    return name, f"{statistics.median(rates):,.0f}", f"{statistics.median(cpu):.2f}"


def _share(found: dict[str, list[float]]) -> str:
    shares = [a / b for a, b in zip(found["worker"], found["bare"], strict=True)]
    return f"{statistics.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"


def _drain_by_worker(url: str, fast: Sink) -> Drained:
    """Let a worker that is up, and whose queue is stopped meanwhile, go on."""
    fleet = _fill(url, fast, EVENTS, PER_REQUEST, stopped=True)
    with program(*CELERY, "--pool=solo", **_env(url, fast)) as worker:
        while not fleet.listeners():
            time.sleep(0.05)
        before = _await_rest(worker.pid)
        fleet.shard(destination(fast.url).queue, 0).resume()
        rate = _rate(fast, EVENTS, PER_REQUEST)
        return Drained(rate, _each(_cpu_seconds(worker.pid) - before))


def _drain_bare(url: str, fast: Sink) -> Drained:
    client = _fill_bare(url)
    with program("bare_loop.py", url, fast.url, str(PER_REQUEST)) as loop:
        client.brpop("ready", timeout=5)
        before = _cpu_seconds(loop.pid)
        client.lpush("go", 1)
        rate = _rate(fast, EVENTS, PER_REQUEST)
        return Drained(rate, _each(_cpu_seconds(loop.pid) - before))


def _each(seconds: float) -> float:
    return seconds / EVENTS * 1e6


def _await_rest(pid: int) -> float:
    """Wait until a process has nothing more to do for its start; its processor time by then."""
    before = _cpu_seconds(pid)
    while True:
        time.sleep(0.5)
        now = _cpu_seconds(pid)
        if now - before <= 0.02:
            return now
        before = now


def _cpu_seconds(pid: int) -> float:
    """Processor time of all threads of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def _fill(
    url: str, target: Sink, events: int, per_request: int, *, stopped: bool = False, **settings: Any
) -> Fleet:
    queue = vwo_celery.connect(
        destination(target.url),
        batch_event_data={"events_per_request": per_request},
        redis_url=url,
        **settings,
    )
    fleet = producer_of(queue).fleet
    fleet.client.flushall()
    if stopped:
        fleet.shard(destination(target.url).queue, 0).pause("until the worker is up")
    encoded = [encode(event(number)) for number in range(1000)]
    for start in range(0, events, len(encoded)):
        assert all(queue.enqueue_many(encoded[: events - start]))
    target.reset()
    return fleet


def _fill_bare(url: str) -> Any:
    client = open_client(url, timeout_seconds=5)
    client.flushall()
    encoded = [encode(event(number)) for number in range(1000)]
    for _ in range(EVENTS // len(encoded)):
        client.lpush("bare", *encoded)
    return client


def _rate(target: Sink, events: int, per_request: int) -> float:
    """Events a second between the first and the last request, once all have arrived."""
    wanted = -(-events // per_request)
    while (stats := target.stats())[0] < wanted:
        time.sleep(0.2)
    target.reset()
    return events / (stats[3] - stats[2])


if __name__ == "__main__":
    main()
