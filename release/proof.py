"""What README claims, tried on this machine one after the other: `make proof`.

    python -m release.proof              every line
    python -m release.proof demo soak    some of them

Each line is a command of the Makefile, in its short form where it has one; the table at the end names
the longer form. A line that fails stops no other. Exits with 1 if one failed, and with 2 for a name that
is none. If this process dies, the commands have still written what they write.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

import msgspec
from rich.console import Console

from release.commands import CHECKOUT
from release.lines import Line, Refused, counted, duration, passed, run_lines, table


class Claim(msgspec.Struct, frozen=True):
    """Something that README claims, and the command that shows it.

    Attributes:
        name: Its name in the table and among ARGS.
        shows: What it shows, in a few words.
        command: The command and its arguments; it exits with 0 if the claim holds.
        longer: The command that tries it for longer or wider.
        minutes: How long it takes on two cores, environments not counted.
    """

    name: str
    shows: str
    command: tuple[str, ...]
    longer: str
    minutes: float


#: By these `make proof ARGS=…` would hand its ARGS to the commands, which have others.
_OF_MAKE = frozenset({"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"})
#: Of the benchmarks, what a request pays, and how fast a backlog leaves.
_BENCHES = "BENCHES=benchmarks/bench_enqueue.py benchmarks/bench_drain.py"
CLAIMS = (
    Claim("demo", "a worker is killed, nothing is lost", ("make", "demo"), "docs/tutorial.md", 1),
    Claim("tests", "every promise, against the wheel", ("make", "test"), "make test-all", 30),
    Claim("sdks", "both SDKs, beside their own queues", ("make", "sdk-test"), "make sdk-matrix", 5),
    Claim("chaos", "six faults, no event lost", ("make", "chaos", "ARGS=--short"), "make chaos", 3),
    Claim("soak", "random faults under load", ("make", "soak", "MINUTES=2"), "make soak", 4),
    Claim("speed", "figures of this machine", ("make", "bench", _BENCHES), "make bench", 3),
)


def chosen(names: Sequence[str], claims: Sequence[Claim]) -> list[Claim]:
    """The claims of those names, in the order in which they run; all of them without a name.

    Raises:
        KeyError: No claim has such a name.
    """
    unknown = set(names) - {claim.name for claim in claims}
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    return [claim for claim in claims if not names or claim.name in names]


def try_claim(claim: Claim) -> str:
    """Run a claim's command, whose output goes to the terminal; returns what the table says.

    Raises:
        Refused: It exited with another code than 0, or could not be started.
    """
    said = f"{claim.shows}; more: {claim.longer}"
    variables = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
    try:
        code = subprocess.run(claim.command, cwd=CHECKOUT, env=variables, check=False).returncode
    except OSError as exc:
        raise Refused(f"{exc}; {said}") from exc
    if code != 0:
        raise Refused(f"exit code {code}; {said}")
    return said


def main(names: Sequence[str], claims: Sequence[Claim] = CLAIMS) -> int:
    """Say how long it takes, try the claims, and print the table; returns the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        tried = chosen(names, claims)
    except KeyError as exc:
        known = " ".join(claim.name for claim in claims)
        console.print(f"no line is called {exc.args[0]}; there are: {known}", highlight=False)
        return 2
    minutes = sum(claim.minutes for claim in tried)
    console.print(
        f"{len(tried)} lines, about {duration(60 * minutes)} on two cores; the first time some more,"
        " to make environments",
        highlight=False,
    )
    ended = run_lines([Line(claim.name, partial(try_claim, claim)) for claim in tried], console)
    console.print(table(ended, "what it shows, and what shows more"))
    console.print(counted(ended), highlight=False)
    failed = " ".join(each.name for each in ended if not each.passed)
    if failed:
        console.print(f'again: make proof ARGS="{failed}"', highlight=False, markup=False)
    return 0 if passed(ended) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
