"""Results of `chaos.run` and `chaos.soak` as tables, for a terminal and docs/reliability.md."""

from __future__ import annotations

import os
import platform
import textwrap
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import celery
import redis as redis_py
from rich.table import Table

import vwo_celery
from chaos.faults import Row
from chaos.trial import Result

_PROSE_WIDTH = 100
HEADINGS = ("fault", "events", "lost", "duplicated", "longest enqueue", "time to recover", "")


def cells(row: Row, result: Result) -> tuple[str, ...]:
    """One row of the matrix as text."""
    recover = "never" if result.recover_seconds is None else f"{result.recover_seconds:.1f} s"
    return (
        row.fault,
        f"{result.promised:,}",
        f"{result.lost}",
        f"{result.duplicated}",
        f"{result.longest_enqueue_ms:,.0f} ms",
        recover,
        _remark(row, result),
    )


def _remark(row: Row, result: Result) -> str:
    remarks = {
        f"{result.spooled:,} spooled": result.spooled,
        f"{result.repeated:,} sent again by clients": result.repeated,
        f"{result.dropped:,} dropped, as the receipts say": result.dropped,
        f"{result.dead:,} dead-lettered": result.dead,
        f"{result.requests} requests during the fault": row.most_requests is not None,
        f"not promised; on record: {result.accounted}": row.loss != "none",
        f"{'; '.join(result.notes)}; started again": result.notes,
        "BROKEN: " + "; ".join(result.problems): result.problems,
    }
    return ", ".join(remark for remark, holds in remarks.items() if holds)


def terminal_table(results: Sequence[tuple[Row, Result]]) -> Table:
    """The matrix as a table for a terminal."""
    table = Table("row", *HEADINGS, box=None, pad_edge=False)
    for row, result in results:
        style = "red" if result.problems else None
        table.add_row(row.name, *cells(row, result), style=style)
    return table


def markdown_table(results: Sequence[tuple[Row, Result]]) -> str:
    """The matrix as Markdown for docs/reliability.md."""
    lines = [HEADINGS, ("---",) * len(HEADINGS)]
    lines += [cells(row, result) for row, result in results]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def last_run(redis_version: str) -> str:
    """Date, machine and versions of this run, in lines as long as the page's prose."""
    today = datetime.now(timezone.utc).date().isoformat()
    text = (
        f"Last run: {today}, {os.cpu_count()} cores ({platform.machine()}, {platform.system()}), "
        f"Python {platform.python_version()}, Redis {redis_version}, Celery {celery.__version__}, "
        f"redis-py {redis_py.__version__}, vwo-celery {vwo_celery.__version__}."
    )
    return textwrap.fill(text, _PROSE_WIDTH)


def write_between(path: Path, name: str, text: str) -> None:
    """Put *text* between the markers of *name* in a Markdown file.

    Raises:
        ValueError: The file has no such markers.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = path.read_text("utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{path} has no {begin} … {end}")
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", "utf-8")
