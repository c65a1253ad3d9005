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

#: What can become of a line; it is not run if one that it needs did not pass.
PASSED, FAILED, NOT_RUN = "passed", "FAILED", "not run"


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
        verdict: PASSED, FAILED or NOT_RUN.
        seconds: How long it took.
        note: What it says of itself, or why it failed.
    """

    name: str
    verdict: str
    seconds: float
    note: str

    @property
    def passed(self) -> bool:
        """Whether its promise holds."""
        return self.verdict == PASSED


def run_lines(
    lines: Sequence[Line], console: Console, clock: Callable[[], float] = time.monotonic
) -> list[Ended]:
    """Run each line, whatever became of those before that it does not need."""
    ended: list[Ended] = []
    for number, line in enumerate(lines, 1):
        console.print(f"== {number}/{len(lines)} {line.name}", highlight=False, markup=False)
        missing = [each.name for each in ended if each.name in line.needs and not each.passed]
        if missing:
            last = Ended(line.name, NOT_RUN, 0.0, _needs(missing))
            console.print(f"   {last.verdict}: {last.note}", highlight=False, markup=False)
        else:
            last = _run(line, clock)
            console.print(f"   {last.verdict} after {duration(last.seconds)}", highlight=False)
            if not last.passed:
                console.print(last.note, highlight=False, markup=False)
        ended.append(last)
    return ended


def _needs(missing: list[str]) -> str:
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"needs {missing[0]}{others}"


def _run(line: Line, clock: Callable[[], float]) -> Ended:
    began = clock()
    try:
        verdict, note = PASSED, line.run()
    except Refused as exc:
        verdict, note = FAILED, str(exc)
    return Ended(line.name, verdict, clock() - began, note)


def passed(ended: Sequence[Ended]) -> bool:
    """Whether there was a line, and each passed."""
    return bool(ended) and all(each.passed for each in ended)


def table(ended: Sequence[Ended], heading: str) -> Table:
    """One row for each line; of a note that has several lines, the first.

    Args:
        ended: What became of the lines.
        heading: Of the column with the notes.
    """
    shown = Table("line", "verdict", "time", heading, box=None, pad_edge=False)
    for each in ended:
        first = each.note.strip().partition("\n")[0]
        style = None if each.passed else "red"
        shown.add_row(each.name, each.verdict, duration(each.seconds), first, style=style)
    return shown


def counted(ended: Sequence[Ended]) -> str:
    """How many lines had each verdict: "3 passed, 1 FAILED, 2 not run"."""
    counts = {
        verdict: sum(each.verdict == verdict for each in ended)
        for verdict in (PASSED, FAILED, NOT_RUN)
    }
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)


def duration(seconds: float) -> str:
    """Spell a time: "8 s", "3 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
