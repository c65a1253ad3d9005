"""Run lines one after the other, say what goes on, and end with one table of all of them.

A line that fails stops only those that say that they need it. If this process dies, there is no
table, and what the lines made stands in `.build`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
from rich.console import Console
from rich.table import Table


class Refused(Exception):
    """A line's promise is broken, or it cannot be tried; the message says what was found."""


class Line(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        name: What it is called, in the table and among ARGS.
        run: Does it, and returns what the table says of it; raises `Refused` if it failed.
        needs: Names of lines that must have passed before.
    """

    name: str
    run: Callable[[], str]
    needs: tuple[str, ...] = ()


class Ended(msgspec.Struct, frozen=True):
    """What became of a line.

    Attributes:
        name: The line's.
        verdict: "passed", "FAILED", or "not run" since a line that it needs failed.
        seconds: How long it took.
        note: What it says of itself, or why it failed.
    """

    name: str
    verdict: str
    seconds: float
    note: str


def run_lines(
    lines: Sequence[Line], console: Console, clock: Callable[[], float] = time.monotonic
) -> list[Ended]:
    """Run each line, whatever became of those before that it does not need."""
    ended: list[Ended] = []
    for number, line in enumerate(lines, 1):
        console.print(f"== {number}/{len(lines)} {line.name}", highlight=False, markup=False)
        failed = {each.name for each in ended if each.verdict != "passed"}
        ended.append(_run(line, failed.intersection(line.needs), clock))
        last = ended[-1]
        console.print(f"   {last.verdict} after {duration(last.seconds)}", highlight=False)
        if last.verdict != "passed":
            console.print(last.note, highlight=False, markup=False)
    return ended


def _run(line: Line, missing: set[str], clock: Callable[[], float]) -> Ended:
    if missing:
        return Ended(line.name, "not run", 0.0, f"needs {', '.join(sorted(missing))}")
    began = clock()
    try:
        verdict, note = "passed", line.run()
    except Refused as exc:
        verdict, note = "FAILED", str(exc)
    return Ended(line.name, verdict, clock() - began, note)


def passed(ended: Sequence[Ended]) -> bool:
    """Whether there was a line, and each passed."""
    return bool(ended) and all(each.verdict == "passed" for each in ended)


def table(ended: Sequence[Ended], heading: str) -> Table:
    """One row for each line; of a note that has several lines, the first.

    Args:
        ended: What became of the lines.
        heading: Of the column with the notes.
    """
    shown = Table("", "", "time", heading, box=None, pad_edge=False)
    for each in ended:
        first = each.note.strip().partition("\n")[0]
        style = None if each.verdict == "passed" else "red"
        shown.add_row(each.name, each.verdict, duration(each.seconds), first, style=style)
    return shown


def duration(seconds: float) -> str:
    """Spell a time: "8 s", "3 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
