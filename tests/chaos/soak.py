"""The soak: `python -m chaos.soak`, from the folder tests, or `make soak MINUTES=30`.

The load is steady with bursts, while faults of the matrix follow one another in the order of a
seed, which is printed and can be given. No fault ends one of the workers: its memory is measured.
At the end the oracle looks for every event. Exits with 1 if a promise is broken.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import msgspec
from rich.console import Console

from chaos.faults import MATRIX, Row
from chaos.fleet import Fleet
from chaos.kit import Kit, Traffic
from chaos.memory import Memory, Sample, growth
from chaos.oracle import Evidence, Judgement, judge
from chaos.report import last_run, write_between

#: Allowed growth of a worker over the second half: a share of its size, and a constant for
#: allocators.
_GROWTH_SHARE = 0.05
_GROWTH_MB = 3.0
#: Allowed growth of Redis from before the load to after the drain in MB: marks, counters, limits.
_REDIS_GROWTH_MB = 2.0
#: Longest call of an application while no fault of the matrix allows a longer one.
_LONGEST_ENQUEUE_MS = 2_500.0
_DRAIN_SECONDS = 90.0
_TRAFFIC = Traffic(per_second=50, burst=60, burst_every_seconds=2, jitter=1, poison_every=500)
_KIT = Kit(own_broker=True)
#: A shorter soak is a trial and is not written to the documentation.
_LEAST_WRITTEN_MINUTES = 10


class Outcome(msgspec.Struct, frozen=True):
    """Results of a soak.
    Attributes:
        seed: Seed of the order of faults.
        minutes: Duration of the load.
        faults: How often each fault was inflicted.
        judgement: The oracle's judgement.
        unreadable: Number of dead letters that VWO could not read.
        spooled: Events promised with a receipt "spooled".
        dropped: Events with a receipt "dropped", by reason.
        longest_enqueue_ms: Longest call of an application during each fault and the rest after it.
        drain_seconds: From the end of load and faults until nothing waited; None: never.
        samples: Memory over time.
        before: Memory before the load.
        after: Memory after the drain.
        problems: Broken promises.
    """

    seed: int
    minutes: float
    faults: dict[str, int]
    judgement: Judgement
    unreadable: int
    spooled: int
    dropped: dict[str, int]
    longest_enqueue_ms: dict[str, float]
    drain_seconds: float | None
    samples: list[Sample]
    before: Sample
    after: Sample
    problems: tuple[str, ...] = ()


def soak(folder: Path, seed: int, minutes: float, console: Console) -> tuple[Outcome, str]:
    """Soak a fleet for the given minutes; the outcome, and the version of its Redis."""
    with Fleet(folder, _KIT) as fleet:
        with Memory(fleet.start_steady_worker(), fleet.redis.port) as memory:
            before = memory.look()
            fleet.open_queue(_TRAFFIC)
            faults, longest = _inflict_many(fleet, random.Random(seed), 60 * minutes, console)
            fleet.applications.hush()
            fleet.hold(0.3)
            drain_seconds = _drain(fleet)
        outcome = _outcome(fleet, seed, minutes, faults, longest, drain_seconds, memory, before)
        version = fleet.client.info("server")["redis_version"]
        problems = _problems(fleet, outcome)
    return msgspec.structs.replace(outcome, problems=tuple(problems)), version


def _inflict_many(
    fleet: Fleet, dice: random.Random, seconds: float, console: Console
) -> tuple[Counter[str], dict[str, float]]:
    """Inflict and heal faults until the time is over; how often each, and its longest call."""
    rows, faults = [row for row in MATRIX if row.soak], Counter[str]()
    longest: dict[str, float] = {}
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds:
        row = dice.choice(rows)
        held, rest = row.seconds * dice.uniform(0.3, 1.2), dice.uniform(0.5, 3)
        _say(console, fleet, passed, row, held)
        with row.inflict(fleet):
            fleet.hold(held)
        faults[row.name] += 1
        fleet.hold(rest)  # a call that the fault held up ends now
        fleet.receipts.read()
        took = fleet.receipts.take_longest()
        longest[row.name] = max(took, longest.get(row.name, 0.0))
    return faults, longest


def _say(console: Console, fleet: Fleet, passed: float, row: Row, held: float) -> None:
    fleet.receipts.read()
    waiting = len(fleet.fates.undelivered())
    console.print(
        f"{passed:6.0f} s  {len(fleet.receipts.promised):8,} promised  {waiting:6,} not yet accepted  "
        f"now {row.name} for {held:.1f} s",
        highlight=False,
    )


def _drain(fleet: Fleet) -> float | None:
    fates, started = fleet.fates, time.monotonic()

    def is_done() -> bool:
        fleet.receipts.read()
        dead, waiting = fates.held()
        return not (waiting or fates.undelivered() - dead or fates.snapshot().events("in_flight"))

    try:
        fleet.wait_until(is_done, _DRAIN_SECONDS)
    except TimeoutError:
        return None
    return time.monotonic() - started


def _outcome(
    fleet: Fleet,
    seed: int,
    minutes: float,
    faults: Counter[str],
    longest: dict[str, float],
    drain_seconds: float | None,
    memory: Memory,
    before: Sample,
) -> Outcome:
    receipts, (dead, waiting) = fleet.receipts, fleet.fates.held()
    evidence = Evidence(
        promised=frozenset(receipts.promised),
        taken=fleet.vendor.taken(str(fleet.account)),
        dead=dead,
        waiting=waiting,
        next_number=receipts.next_number,
        burst=2 * _TRAFFIC.burst + 1,
    )
    return Outcome(
        seed=seed,
        minutes=minutes,
        faults=dict(faults),
        judgement=judge(evidence),
        unreadable=len(fleet.fates.unreadable()),
        spooled=receipts.spooled,
        dropped=dict(receipts.dropped),
        longest_enqueue_ms=longest,
        drain_seconds=drain_seconds,
        samples=memory.samples,
        before=before,
        after=memory.look(),
    )


def allowed_repeats(faults: dict[str, int]) -> int:
    """Number of events that lost leases may have repeated."""
    return sum(row.leases_lost * faults.get(row.name, 0) for row in MATRIX)


def _problems(fleet: Fleet, outcome: Outcome) -> list[str]:
    snapshot, judgement = fleet.fates.snapshot(), outcome.judgement
    allowed = allowed_repeats(outcome.faults)
    good = len(fleet.fates.held()[0] - fleet.fates.unreadable())
    found = {
        f"{len(judgement.lost)} promised events are lost: {sorted(judgement.lost)[:5]}": (
            judgement.lost
        ),
        f"{judgement.unexcused} events came again after VWO's answer, at most {allowed} may": (
            judgement.unexcused > allowed
        ),
        f"VWO got events that nobody made: {sorted(judgement.strangers)[:5]}": judgement.strangers,
        f"{good} good events are dead letters": good,
        f"events were dropped: {outcome.dropped}": outcome.dropped,
        f"not drained within {_DRAIN_SECONDS:g} s": outcome.drain_seconds is None,
        f"{len(judgement.waiting)} promised events still wait": judgement.waiting,
        "the ledger is out of balance": not snapshot.balanced,
        f"the queue is paused: {snapshot.paused}": snapshot.paused,
        "no event was promised: nothing was tried": not judgement.promised,
        **_growths(outcome),
        **dict.fromkeys(slow_calls(outcome.longest_enqueue_ms), True),
    }
    steady = [death for death in fleet.deaths if death.startswith("steady")]
    return [problem for problem, holds in found.items() if holds] + steady


def slow_calls(longest_ms: dict[str, float]) -> list[str]:
    """The faults during which a call of an application took longer than it may, in words.

    Args:
        longest_ms: The longest call during each fault, by its name.
    """
    most = {row.name: max(row.longest_enqueue_ms, _LONGEST_ENQUEUE_MS) for row in MATRIX}
    return [
        f"one enqueue took {ms:,.0f} ms at {name}, at most {most[name]:,.0f} it may"
        for name, ms in longest_ms.items()
        if ms > most[name]
    ]


def _longest_call(longest_ms: dict[str, float]) -> str:
    name = max(longest_ms, key=lambda each: longest_ms[each])
    return f"{longest_ms[name]:,.0f} ms, at {name}"


def worker_growth(outcome: Outcome) -> tuple[float, float]:
    """Growth of the steady worker over the second half, and the allowed growth, in MB."""
    half = outcome.samples[len(outcome.samples) // 2 :]
    points = [(sample.at, sample.worker_mb) for sample in half]
    size = max((sample.worker_mb for sample in half), default=0.0)
    return growth(points), _GROWTH_SHARE * size + _GROWTH_MB


def _growths(outcome: Outcome) -> dict[str, bool]:
    grown, may = worker_growth(outcome)
    before, after = outcome.before.redis_mb or 0.0, outcome.after.redis_mb or 0.0
    return {
        f"the worker grew by {grown:.1f} MB over the second half, by {may:.1f} it may": grown > may,
        f"Redis held {before:.1f} MB before and holds {after:.1f} MB after the drain": (
            after > before + _REDIS_GROWTH_MB
        ),
    }


def lines_of(outcome: Outcome) -> dict[str, str]:
    """Results of a soak as rows of a table with two columns."""
    judgement, (grown, may) = outcome.judgement, worker_growth(outcome)
    first, last = outcome.samples[0], outcome.samples[-1]
    drained = "never" if outcome.drain_seconds is None else f"{outcome.drain_seconds:.1f} s"
    return {
        "load": f"{outcome.minutes:g} minutes, seed {outcome.seed}",
        "faults": f"{sum(outcome.faults.values())}, of {len(outcome.faults)} kinds",
        "events promised": f"{judgement.promised:,}, {outcome.spooled:,} of them spooled",
        "lost": f"{len(judgement.lost):,}",
        "duplicated": f"{judgement.duplicated:,}, {judgement.unexcused:,} of them after a lost lease",
        "unreadable, dead-lettered": f"{outcome.unreadable:,}",
        "longest enqueue": _longest_call(outcome.longest_enqueue_ms),
        "drained after": drained,
        "worker and its children": (
            f"{first.worker_mb:.0f} MB at the start, {last.worker_mb:.0f} MB at the end; "
            f"{grown:+.1f} MB over the second half, {may:.1f} allowed"
        ),
        "data in Redis": (
            f"{outcome.before.redis_mb or 0:.2f} MB before, {outcome.after.redis_mb or 0:.2f} MB "
            f"after the drain, {_REDIS_GROWTH_MB:g} more allowed"
        ),
        "broken promises": "; ".join(outcome.problems) or "none",
    }


@click.command()
@click.option("--minutes", default=30.0, show_default=True, help="Duration of the load.")
@click.option(
    "--seed", type=int, help="Seed of the order of faults; random and printed if not given."
)
@click.option(
    "--write", type=click.Path(path_type=Path, exists=True), help="Markdown file to update."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder in which the logs stay.")
def main(minutes: float, seed: int | None, write: Path | None, keep: Path | None) -> None:
    """Soak a fleet in load and faults."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    seed = seed if seed is not None else random.SystemRandom().randrange(1_000_000)
    console.print(f"soak of {minutes:g} minutes, SEED={seed}", highlight=False)
    with tempfile.TemporaryDirectory(prefix="vwo-celery-soak-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outcome, version = soak(folder, seed, minutes, console)
    lines = lines_of(outcome)
    for name, value in lines.items():
        console.print(f"{name:26}{value}", highlight=False)
    if write is not None and minutes >= _LEAST_WRITTEN_MINUTES:
        table = "\n".join(f"| {name} | {value} |" for name, value in lines.items())
        text = f"{last_run(version)}\n\n| | |\n| --- | --- |\n{table}"
        write_between(write, "soak", text)
    sys.exit(bool(outcome.problems))


if __name__ == "__main__":
    main()
