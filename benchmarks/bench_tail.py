"""The slowest calls: `enqueue` against a bare LPUSH, each while its batches leave at 1,000 events/s.

Open loop: calls are due at fixed times, and one that comes late because the one before it was slow
counts from the time when it was due. So a stall is told of every call that it delays.
"""

from __future__ import annotations

import gc
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, NamedTuple

import redis
from shared import Sink, console, destination, event, program, show, sink

import vwo_celery
from vwo_celery.events import encode
from vwo_celery.testing import RedisServer

PER_REQUEST = (20, 100, 500)
EVENTS_PER_SECOND, SECONDS, ROUNDS, WARM_UP_SECONDS = 1_000, 4.0, 7, 2.0
#: Time between two looks of the bare loop, in seconds.
POLL_SECONDS = 0.005
CELERY = ("-m", "celery", "-A", "worker_app", "worker", "--without-mingle", "--without-gossip")
OURS, BARE = "enqueue", "LPUSH"


class Calls(NamedTuple):
    """Calls of one turn, each in microseconds: what it took, and what it took of the processor."""

    took: list[float]
    cpu: list[float]

    def late(self) -> list[float]:
        """The time from when each was due to its end, had nothing but the calls before it delayed it."""
        gap = 1e6 / EVENTS_PER_SECOND
        return list(accumulate(self.took, lambda late, took: max(0.0, late - gap) + took))


def main() -> None:
    """Print a table for each number of events a request."""
    with RedisServer() as server, sink() as target:
        for most in PER_REQUEST:
            _measure(server.url, target, most)


def _measure(url: str, target: Sink, most: int) -> None:
    settings = vwo_celery.Settings.load(redis_url=url, enqueue_timeout_seconds=10.0)
    redis.Redis.from_url(url).flushall()
    queue = vwo_celery.connect(
        destination(target.url),
        batch_event_data={"events_per_request": most, "request_time_interval": 600},
        settings=settings,
    )
    made, bare = event(), redis.Redis.from_url(url)
    text = encode(made)
    turns: dict[str, list[Calls]] = {OURS: [], BARE: []}
    env = {
        "VWO_CELERY_REDIS_URL": url,
        "VWO_CELERY_ALLOWED_HOSTS": f"127.0.0.1:{target.port}",
    }
    stats = redis.Redis.from_url(url)
    longest_gc: list[float] = []
    with (
        program(*CELERY, "--pool=solo", **env) as worker,
        program("bare_loop.py", url, target.url, str(most), str(POLL_SECONDS)) as loop,
    ):
        _await_worker(queue, target, most)
        for turn in range(ROUNDS + 1):
            for name, call, argument, other in (
                (OURS, queue.enqueue, made, loop),
                (BARE, lambda text: bare.lpush("bare", text), text, worker),
            ):
                with _standing_still(other), _watching_garbage(longest_gc):
                    found = _turn(
                        call, argument, -(-int(EVENTS_PER_SECOND * SECONDS) // most) * most
                    )
                if turn:
                    turns[name].append(found)
    _show(turns, most)
    pauses = (
        f"{len(longest_gc)} garbage collections, the longest {max(longest_gc, default=0):.0f} µs"
    )
    console.print(pauses)
    if most == PER_REQUEST[-1]:
        _show_commands(stats)


def _await_worker(queue: vwo_celery.Queue, target: Sink, most: int) -> None:
    """Return once the worker has sent a first batch, and a further one in the usual time."""
    for _ in range(2):
        target.reset()
        assert all(queue.enqueue_many([event()] * most))
        while not target.stats()[0]:
            time.sleep(0.05)
    time.sleep(WARM_UP_SECONDS)


@contextmanager
def _standing_still(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The drain of the other contender must not take part."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def _watching_garbage(found: list[float]) -> Iterator[None]:
    """Note how long each search for garbage takes, in microseconds."""
    started = [0]

    def note(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            started[0] = time.perf_counter_ns()
        else:
            found.append((time.perf_counter_ns() - started[0]) / 1e3)

    gc.callbacks.append(note)
    try:
        yield
    finally:
        gc.callbacks.remove(note)


def _turn(call: Callable[[Any], Any], argument: Any, events: int) -> Calls:
    found = Calls([], [])
    begun, gap = time.perf_counter(), 1 / EVENTS_PER_SECOND
    for number in range(events):
        wait = begun + number * gap - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        cpu, started = time.thread_time_ns(), time.perf_counter_ns()
        call(argument)
        ended, cpu_ended = time.perf_counter_ns(), time.thread_time_ns()
        found.took.append((ended - started) / 1e3)
        found.cpu.append((cpu_ended - cpu) / 1e3)
    return found


def _show(turns: dict[str, list[Calls]], most: int) -> None:
    title = f"{EVENTS_PER_SECOND:,} events/s, {most} a request, µs; waits from when a call was due"
    rows = [row for name, each in turns.items() for row in _rows(name, each)]
    show(title, rows, "", "p50", "p99", "p99.9", "p99 / p50")
    kinds = []
    for kind, numbers in _kinds(most, len(turns[OURS][0].took)).items():
        took = [calls.took[i] for calls in turns[OURS] for i in numbers]
        cpu_took = [calls.cpu[i] for calls in turns[OURS] for i in numbers]
        kinds.append((kind, f"{len(took):,}", *_spelled(_percentiles(took))[:3],
                      f"{statistics.median(cpu_took):,.0f}"))  # fmt: skip
    show("enqueue, by what a call does", kinds, "", "calls", "p50", "p99", "p99.9", "CPU p50")


def _rows(name: str, turns: list[Calls]) -> list[tuple[str, ...]]:
    """One contender's wait and its caller's processor time: medians of the turns."""
    waits = [_percentiles(calls.late()) for calls in turns]
    measured = {
        "wait": _medians(waits),
        "wait, quietest turn": min(waits, key=lambda levels: levels[1]),
        "caller's CPU": _medians([_percentiles(calls.cpu) for calls in turns]),
    }
    return [(f"{name}, {what}", *_spelled(levels)) for what, levels in measured.items()]


def _medians(turns: list[tuple[float, float, float]]) -> list[float]:
    return [statistics.median(levels) for levels in zip(*turns, strict=True)]


def _spelled(levels: Sequence[float]) -> tuple[str, ...]:
    """p50, p99, p99.9 and p99 / p50, as columns."""
    return (*(f"{level:,.0f}" for level in levels), f"{levels[1] / levels[0]:.1f}")


def _kinds(most: int, calls: int) -> dict[str, list[int]]:
    """The numbers of a turn's calls, by what each does: the turn begins with an empty list."""
    return {
        "opens a batch": list(range(0, calls, most)),
        "fills a batch": list(range(most - 1, calls, most)),
        "neither": [i for i in range(calls) if 0 < i % most < most - 1],
    }


def _percentiles(found: list[float]) -> tuple[float, float, float]:
    """p50, p99 and p99.9."""
    ordered = sorted(found)
    return tuple(ordered[min(len(ordered) - 1, int(len(ordered) * p))] for p in (0.5, 0.99, 0.999))


def _show_commands(client: Any) -> None:
    """The commands that hold Redis longest, from its own statistics."""
    found = client.info("commandstats")
    rows = sorted(
        ((name.removeprefix("cmdstat_"), each["calls"], each["usec_per_call"])
         for name, each in found.items()), key=lambda row: -row[2],
    )  # fmt: skip
    show("Commands by how long one holds Redis", [
        (name, f"{calls:,}", f"{usec:.0f}") for name, calls, usec in rows[:12]
    ], "", "calls", "µs a call")  # fmt: skip


if __name__ == "__main__":
    main()
