"""The same events by this project and by what one would do without it.

What a call costs the caller (where events wait in Redis: while no worker competes for the processor),
events a second from the first call until the server has got the last, and the memory of an event
that waits. One producing process and, where there are any, one Celery worker process, new ones for
each way and round; rounds in turns; medians of the rounds.
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
from ground import EVENT_BYTES, HERE, KEY, Sink, console, event, show, sink

from vwo_celery.connections import open_client
from vwo_celery.testing import RedisServer

#: In every event once and nowhere else: how the server knows how many have come.
WORD = "benched-event"
#: Longest waits for the first batch, and for the last event after its call.
WARMUP_SECONDS, SEND_SECONDS = 60, 90
#: As many as the SDKs take for a batch, and fewer: their queues then keep what they hold.
UNSENT_PER_REQUEST, WEIGHED = 5_000, 3_000
BATCHES_FOLDER = ".build/celery-batches"
BATCHES_REMEDY = (
    f"python3 -m venv {BATCHES_FOLDER} && {BATCHES_FOLDER}/bin/pip install celery-batches "
    "'celery[redis]<5.7' requests hiredis   (it takes no Celery 5.7)"
)


class Round(NamedTuple):
    """What one round found: costs of a call in µs, events/s, and bytes where events wait."""

    p50: float
    p99: float
    rate: float
    weight: float | None
    missing: int


class Bench:
    """The servers, and what is done on them."""

    def __init__(self, redis_url: str, target: Sink, options: argparse.Namespace) -> None:
        self.redis_url, self.options = redis_url, options
        self.target = EventSink(target.port)
        self.client = open_client(redis_url, timeout_seconds=5)

    def why_not(self, way: Way) -> str:
        """Why it cannot be measured here; says with which versions where it can."""
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
        return Round(costs["p50"], costs["p99"], rate, weight, self.options.events - came)

    def _send(self, way: Way) -> tuple[tuple[int, float], dict[str, float]]:
        """How many came at which rate, and what the calls cost, once all that takes part is warm."""
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
        """What the calls cost and what Redis takes for an event, while no worker runs."""
        self.client.flushall()
        with producer(way, self._env(way), self._task(way)) as made:
            made.ask("time", self.options.per_request)
            before = self._used_memory()
            costs = made.ask("time", self.options.events)
            return costs, (self._used_memory() - before) / self.options.events

    def _weigh(self, way: Way) -> float:
        """What an event takes in the producer, while nothing leaves it."""
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
        "", "p50, µs", "p99, µs", "events/s", "bytes", "where", "missing",
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
    # Not resolved: the link is what tells Python of its environment.
    batches = str(options.celery_batches_python.absolute())
    legacy = str(options.legacy_sdk_python.absolute())
    # Of how much a worker may hold, 0 being no limit, each has what was fastest for it.
    return [
        Way("vwo_celery", "ours", "Redis", here, "bench_app", 1, ("vwo-celery", *stack)),
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
    for measure in Round._fields[:4]:
        theirs = [getattr(each, measure) for each in found]
        reference = [getattr(each, measure) for each in ours]
        cells.append("-" if None in theirs else _cell(theirs, reference))
    return way.title, *cells, way.waits_in or "-", f"{sum(each.missing for each in found):,}"


def _cell(found: Sequence[float], ours: Sequence[float]) -> str:
    """The median, and the median over the rounds of how many times ours it is."""
    times = statistics.median(a / b for a, b in zip(found, ours, strict=True))
    return f"{statistics.median(found):,.0f}\n× {times:.{0 if times >= 10 else 2}f}"


if __name__ == "__main__":
    main()
