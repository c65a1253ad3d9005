"""The fault matrix: `python -m chaos.run`, from the folder tests.

Tries the rows one by one on real processes and prints the fate of every event. Exits with 1 if a
row breaks its promise. `make chaos` runs all of them against the built wheel and writes the table
into docs/reliability.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console

import vwo_celery
from chaos.faults import MATRIX, SHORT, Row
from chaos.fleet import Fleet
from chaos.kit import Kit
from chaos.report import last_run, markdown_table, terminal_table, write_between
from chaos.trial import Result, try_row


class Fleets:
    """The fleet for each row: the previous one, if it has the right kit and recovered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._fleet: Fleet | None = None
        self._count = 0
        self.redis_version = ""

    def __enter__(self) -> Fleets:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def of(self, kit: Kit) -> Fleet:
        """A running fleet of *kit*."""
        if self._fleet is None or self._fleet.kit != kit:
            self.discard()
            self._count += 1
            folder = self._folder / f"fleet{self._count}"
            folder.mkdir()
            self._fleet = self._stack.enter_context(Fleet(folder, kit))
            self.redis_version = self._fleet.client.info("server")["redis_version"]
        return self._fleet

    def discard(self) -> None:
        """End the present fleet; the next row gets another."""
        self._fleet = None
        self._stack.close()

    def give_up(self) -> None:
        """Kill the programs of a fleet that did not recover; the next row gets another."""
        if self._fleet is not None:
            self._fleet.broken = True
        self.discard()


def try_rows(rows: Sequence[Row], fleets: Fleets) -> Iterator[tuple[Row, Result]]:
    """Try each of *rows*, grouped by kit."""
    kits = list(dict.fromkeys(row.kit for row in rows))
    for row in sorted(rows, key=lambda row: kits.index(row.kit)):
        result = try_row(fleets.of(row.kit), row)
        if result.problems:
            fleets.give_up()
        yield row, result


def chosen(names: Sequence[str], short: bool) -> list[Row]:
    """The rows of these names; without names, all rows or those of the short form."""
    known = {row.name: row for row in MATRIX}
    unknown = set(names) - known.keys()
    if unknown:
        raise click.UsageError(f"no such row: {', '.join(sorted(unknown))}; there are {[*known]}")
    return [known[name] for name in names or (SHORT if short else known)]


@click.command()
@click.argument("names", nargs=-1)
@click.option("--short", is_flag=True, help="Only the most important rows.")
@click.option("--list", "only_list", is_flag=True, help="Print the rows and exit.")
@click.option(
    "--write", type=click.Path(path_type=Path, exists=True), help="Markdown file to update."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder in which the logs stay.")
def main(
    names: tuple[str, ...], short: bool, only_list: bool, write: Path | None, keep: Path | None
) -> None:
    """Try the rows NAMES of the fault matrix, or all of them."""
    console, rows = Console(width=200 if not sys.stdout.isatty() else None), chosen(names, short)
    if only_list:
        for row in rows:
            console.print(f"{row.name:32}{row.fault}", highlight=False)
        return
    started, results = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="vwo-celery-chaos-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        console.print(f"vwo_celery of {Path(vwo_celery.__file__).parent}", highlight=False)
        with Fleets(folder) as fleets:
            for row, result in try_rows(rows, fleets):
                results.append((row, result))
                _show(console, row, result, time.monotonic() - started)
            version = fleets.redis_version
    results.sort(key=lambda each: rows.index(each[0]))
    console.print(terminal_table(results))
    if write is not None and len(rows) == len(MATRIX):
        text = f"{last_run(version)}\n\n{markdown_table(results)}"
        write_between(write, "fault matrix", text)
    broken = [row.name for row, result in results if result.problems]
    console.print(
        f"{len(broken)} of {len(results)} rows broke their promise: {', '.join(broken)}"
        if broken
        else f"all {len(results)} rows kept their promise"
    )
    sys.exit(bool(broken))


def _show(console: Console, row: Row, result: Result, passed: float) -> None:
    verdict = "[red]BROKEN[/]" if result.problems else "kept"
    console.print(f"{passed:6.0f} s  {verdict:7} {row.name}", highlight=False)
    for problem in result.problems:
        console.print(f"          {problem}", style="red", highlight=False)


if __name__ == "__main__":
    main()
