"""This project compared with the alternatives, on the same events.

Measures the cost of a call to the caller and of an event in it (where events wait in Redis: while no
worker competes for the processor), events a second from the first call until the server has received
the last, and the memory of a waiting event. Each way and round has a new producer process and, if the
way needs one, a new Celery worker process. Rounds run in turns; the table shows their medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from alternatives_parts import EventSink, Way, producer, worker
from shared import EVENT_BYTES, HERE, KEY, Sink, console, event, show, sink

from vwo_celery.connections import open_client
from vwo_celery.testing import RedisServer

#: Word that is in every event exactly once, by which the server counts them.
WORD = "benched-event"
#: Longest waits for the first batch, and for the last event after its call, s.
WARMUP_SECONDS, SEND_SECONDS = 60, 90
#: Largest batch of the SDKs, and a number of events below it, which their queues therefore keep.
UNSENT_PER_REQUEST, WEIGHED = 5_000, 3_000
BATCHES_FOLDER = ".build/celery-batches"
BATCHES_REMEDY = (
    f"python3 -m venv {BATCHES_FOLDER} && {BATCHES_FOLDER}/bin/pip install celery-batches "
    "'celery[redis]<5.7' requests hiredis   (it takes no Celery 5.7)"
)


class Round(NamedTuple):
    """Result of one round: µs of a call and of an event in it, events/s, bytes of a waiting event."""

    p50: float
    p99: float
    each: float
    rate: float
    weight: float | None
    missing: int


class Bench:
    """The servers, and the measurements on them."""

    def __init__(self, redis_url: str, target: Sink, options: argparse.Namespace) -> None:
        self.redis_url, self.options = redis_url, options
        self.target = EventSink(target.port)
        self.client = open_client(redis_url, timeout_seconds=5)

    def why_not(self, way: Way) -> str:
        """Reason why a way cannot be measured here, or ""; then its versions are printed."""
        if not Path(way.python).exists():
            return f"there is no {way.python}"
        with producer(way, self._env(way), self._task(way)) as made:
            if not made.missing:
                console.print(f"{way.title}: {made.versions}", soft_wrap=True, highlight=False)
            return made.missing

    def run(self, way: Way) -> Round:
        """One round of one way."""
        sent, costs = self._send(way)
        weight: float | None = None
        if way.waits_in == "Redis":
            costs, weight = self._store(way)
        elif way.waits_in == "process":
            weight = self._weigh(way)
        came, rate = sent
        return Round(
            costs["p50"], costs["p99"], costs["each"], rate, weight, self.options.events - came
        )

    def _send(self, way: Way) -> tuple[tuple[int, float], dict[str, float]]:
        """Number of events that arrived, their rate, and the cost of the calls, after a first batch."""
        self.client.flushall()
        events, batch = self.options.events, self.options.per_request
        with ExitStack() as stack:
            if way.app:
                stack.enter_context(worker(way, self._env(way)))
            made = stack.enter_context(producer(way, self._env(way), self._task(way)))
            self.target.count(WORD)
            made.ask("time", batch)
            if self.target.await_words(batch, WARMUP_SECONDS)[0] != batch:
                raise RuntimeError(f"{way.title}: the first batch did not arrive")
            self.target.count(WORD)
            costs = made.ask("time", events)
            came, last = self.target.await_words(events, SEND_SECONDS)
        return (came, came / (last - costs["started"])), costs

    def _store(self, way: Way) -> tuple[dict[str, float], float]:
        """Cost of the calls, and Redis memory for each event, while no worker runs."""
        self.client.flushall()
        with producer(way, self._env(way), self._task(way)) as made:
            made.ask("time", self.options.per_request)
            before = self._used_memory()
            costs = made.ask("time", self.options.events)
            return costs, (self._used_memory() - before) / self.options.events

    def _weigh(self, way: Way) -> float:
        """Memory of an event in the producer, while none leaves it."""
        with producer(way, self._env(way), self._task(way, UNSENT_PER_REQUEST)) as made:
            return float(made.ask("weigh", WEIGHED)["bytes_an_event"])

    def _used_memory(self) -> int:
        return int(self.client.info("memory")["used_memory"])

    def _env(self, way: Way) -> dict[str, str]:
        return {
            "VWO_CELERY_REDIS_URL": self.redis_url,
            "VWO_CELERY_ALLOWED_HOSTS": f"127.0.0.1:{self.target.port}",
            "BROKER": self.redis_url,
            "SINK": self.target.url,
            "PER_REQUEST": str(self.options.per_request),
            "PREFETCH": str(way.prefetch),
        }

    def _task(self, way: Way, per_request: int = 0) -> dict[str, Any]:
        made = event()
        props = made["d"]["visitor"]["props"]
        props["note"] = WORD + props["note"][len(WORD) :]
        return {
            "way": way.name,
            "packages": way.packages,
            "event": made,
            "event_bytes": EVENT_BYTES,
            "word": WORD,
            "key": KEY,
            "redis": self.redis_url,
            "sink": self.target.url,
            "per_request": per_request or self.options.per_request,
        }


def main() -> None:
    """Print the versions, what could not be measured, and the table."""
    options = _options()
    with RedisServer() as server, sink() as target:
        bench = Bench(server.url, target, options)
        ways = [way for way in _ways(options) if _is_there(bench, way)]
        rounds: dict[str, list[Round]] = {way.name: [] for way in ways}
        for _ in range(options.rounds):
            for way in ways:
                rounds[way.name].append(bench.run(way))
    show(
        f"{options.events:,} events of {EVENT_BYTES} bytes, {options.per_request} a request: cost of a "
        "call, events/s to the server, memory of a waiting event "
        f"(×: times that of {ways[0].title})",
        [_row(way, rounds[way.name], rounds[ways[0].name]) for way in ways],
        "", "p50, µs", "p99, µs", "µs an event", "events/s", "bytes", "where", "missing",
    )  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000, help="a multiple of --per-request")
    parser.add_argument("--per-request", type=int, default=100, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    folders = {"celery-batches": BATCHES_FOLDER, "legacy-sdk": ".venv-sdk-legacy"}
    for name, folder in folders.items():
        default = HERE.parent / folder / "bin" / "python"
        parser.add_argument(f"--{name}-python", type=Path, default=default, metavar="PATH")
    options = parser.parse_args()
    if options.events % options.per_request:
        parser.error("--events must be a multiple of --per-request: a rest would wait for its age")
    return options


def _ways(options: argparse.Namespace) -> list[Way]:
    here, stack = sys.executable, ("celery", "redis", "hiredis")
    ours = ("vwo-celery", *stack)
    # Not resolved: Python finds its environment through the link.
    batches = str(options.celery_batches_python.absolute())
    legacy = str(options.legacy_sdk_python.absolute())
    # Each worker has the prefetch multiplier that was fastest for it; 0 is no limit.
    return [
        Way("enqueue", "ours", "Redis", here, "worker_app", 1, ours),
        Way("enqueue_many(100)", "ours in pages", "Redis", here, "worker_app", 1, ours),
        Way("aio, 50 awaits", "ours at once", "Redis", here, "worker_app", 1, ours),
        Way(
            "celery-batches", "celery-batches", "Redis", batches, "alternatives_app", 0,
            ("celery-batches", *stack), BATCHES_REMEDY,
        ),
        Way("a task an event", "celery task", "Redis", here, "alternatives_app", 20, stack),
        Way("a post an event", "direct", "", here, "", 0, ("requests",)),
        Way(
            "FME SDK's queue", "fme", "process", here, "", 0,
            ("vwo-fme-python-sdk",), "pip install vwo-fme-python-sdk",
        ),
        Way(
            "legacy SDK's", "legacy", "process", legacy, "", 0,
            ("vwo-python-sdk",), "tests/sdk/run.sh legacy",
        ),
    ]  # fmt: skip


def _is_there(bench: Bench, way: Way) -> bool:
    reason = bench.why_not(way)
    if reason:
        console.print(f"{way.title}: not measured: {reason}", soft_wrap=True, highlight=False)
        console.print(f"    {way.remedy}", soft_wrap=True, highlight=False, markup=False)
    return not reason


def _row(way: Way, found: list[Round], ours: list[Round]) -> tuple[str, ...]:
    cells = []
    for measure in Round._fields[:-1]:
        theirs = [getattr(each, measure) for each in found]
        reference = [getattr(each, measure) for each in ours]
        cells.append("-" if None in theirs else _cell(theirs, reference))
    return way.title, *cells, way.waits_in or "-", f"{sum(each.missing for each in found):,}"


def _cell(found: Sequence[float], ours: Sequence[float]) -> str:
    """The median, and the median of its ratio to ours over the rounds."""
    times = statistics.median(a / b for a, b in zip(found, ours, strict=True))
    return f"{statistics.median(found):,.0f}\n× {times:.{0 if times >= 10 else 2}f}"


if __name__ == "__main__":
    main()
