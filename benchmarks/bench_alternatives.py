"""The same events by this project and by what one would do without it.

What a call costs the caller, events a second from the first call until the server has got the last,
and the memory that an event takes while it waits. Each way has processes of its own and one Celery
worker process where it has any; rounds in turns; what is shown is the median of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from alternatives_parts import EventSink, Way, producer, worker
from ground import EVENT_BYTES, HERE, KEY, Sink, console, event, show, sink

from vwo_celery.connections import open_client
from vwo_celery.testing import RedisServer

#: In every event once and nowhere else: how the server knows how many have come.
WORD = "benched-event"
WARMUP_SECONDS, STALL_SECONDS = 60, 15
WEIGHED_AFTER, WEIGHED = 1_000, 3_000
#: More than are weighed, and as many as the SDKs take: their queues then keep what they hold.
UNSENT_PER_REQUEST = 5_000
BATCHES_FOLDER = ".build/celery-batches"
BATCHES_REMEDY = (
    f"python3 -m venv {BATCHES_FOLDER} && {BATCHES_FOLDER}/bin/pip install celery-batches "
    "'celery[redis]<5.7' requests hiredis   (it takes no Celery 5.7)"
)


class Round(NamedTuple):
    """What one round found; costs in microseconds."""

    p50: float
    p99: float
    rate: float
    lost: int


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
        with producer(way, self._env(), self._task(way)) as made:
            if not made.missing:
                console.print(f"{way.title}: {made.versions}", soft_wrap=True, highlight=False)
            return made.missing

    def weigh(self, way: Way) -> float:
        """Bytes that a waiting event takes, while nothing takes it away."""
        self.client.flushall()
        if way.waits_in == "process":
            with producer(way, self._env(), self._task(way, UNSENT_PER_REQUEST)) as made:
                return float(made.ask("weigh", WEIGHED)["bytes_an_event"])
        with producer(way, self._env(), self._task(way)) as made:
            made.ask("time", WEIGHED_AFTER)
            before = self._used_memory()
            made.ask("time", WEIGHED)
            return (self._used_memory() - before) / WEIGHED

    def run(self, way: Way) -> Round:
        """Have all events handed over and sent, once all that takes part is warm."""
        self.client.flushall()
        events, batch = self.options.events, self.options.per_request
        with ExitStack() as stack:
            if way.app:
                stack.enter_context(worker(way, self._env()))
            made = stack.enter_context(producer(way, self._env(), self._task(way)))
            self.target.count(WORD)
            made.ask("time", batch)
            if self.target.await_words(batch, WARMUP_SECONDS)[0] != batch:
                raise RuntimeError(f"{way.title}: the first batch did not arrive")
            self.target.count(WORD)
            told = made.ask("time", events)
            came, last = self.target.await_words(events, STALL_SECONDS)
        return Round(told["p50"], told["p99"], came / (last - told["started"]), events - came)

    def _used_memory(self) -> int:
        return int(self.client.info("memory")["used_memory"])

    def _env(self) -> dict[str, str]:
        return {
            "VWO_CELERY_REDIS_URL": self.redis_url,
            "VWO_CELERY_ALLOWED_HOSTS": f"127.0.0.1:{self.target.port}",
            "BROKER": self.redis_url,
            "SINK": self.target.url,
            "PER_REQUEST": str(self.options.per_request),
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
        weights = {way.name: bench.weigh(way) for way in ways if way.waits_in}
        rounds: dict[str, list[Round]] = {way.name: [] for way in ways}
        for _ in range(options.rounds):
            for way in ways:
                rounds[way.name].append(bench.run(way))
    rows = [_row(way, rounds, weights) for way in ways]
    show(
        f"{options.events:,} events of {EVENT_BYTES} bytes from one process, {options.per_request} a "
        f"request; in brackets, times that of {ways[0].title}",
        rows, "", "call p50, µs", "call p99, µs", "events/s", "bytes an event", "waits in", "lost",
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
    batches, legacy = str(options.celery_batches_python), str(options.legacy_sdk_python)
    return [
        Way("vwo_celery", "ours", "Redis", here, "bench_app", ("vwo-celery", *stack)),
        Way(
            "celery-batches", "celery-batches", "Redis", batches, "alternatives_app",
            ("celery-batches", *stack), BATCHES_REMEDY,
        ),
        Way("a Celery task an event", "celery task", "Redis", here, "alternatives_app", stack),
        Way("a requests.post an event", "direct", "", here, "", ("requests",)),
        Way(
            "the FME SDK's own queue", "fme", "process", here, "",
            ("vwo-fme-python-sdk",), "pip install vwo-fme-python-sdk",
        ),
        Way(
            "the legacy SDK's own queue", "legacy", "process", legacy, "",
            ("vwo-python-sdk",), "tests/sdk/run.sh legacy",
        ),
    ]  # fmt: skip


def _is_there(bench: Bench, way: Way) -> bool:
    reason = bench.why_not(way)
    if reason:
        console.print(f"{way.title}: not measured: {reason}", soft_wrap=True, highlight=False)
        console.print(f"    {way.remedy}", soft_wrap=True, highlight=False, markup=False)
    return not reason


def _row(way: Way, rounds: dict[str, list[Round]], weights: dict[str, float]) -> tuple[str, ...]:
    found, ours = rounds[way.name], rounds["ours"]
    costs_and_rate = [
        _cell([each[i] for each in found], [each[i] for each in ours]) for i in range(3)
    ]
    memory = _cell([weights[way.name]], [weights["ours"]]) if way.waits_in else "none waits"
    lost = sum(each.lost for each in found)
    return way.title, *costs_and_rate, memory, way.waits_in or "-", f"{lost:,}"


def _cell(found: list[float], ours: list[float]) -> str:
    """The median, and the median over the rounds of how many times ours it is."""
    times = statistics.median(a / b for a, b in zip(found, ours, strict=True))
    return f"{statistics.median(found):,.0f} ({times:.2f})"


if __name__ == "__main__":
    main()
