"""Tables where the terminal is wide enough, blocks of lines where it is not.

No number is ever cut off: a row that does not fit becomes a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from io import StringIO
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vwo_celery.cli.shared.lines import to_show

STYLES = {"ok": "green", "warn": "yellow", "problem": "bold red"}
_GAP = 2
_NARROWEST_TEXT = 30
_INDENT = 2


class Column(NamedTuple):
    """One column; `number` ones are aligned to the right, one that may `wrap` comes last."""

    name: str
    number: bool = False
    wrap: bool = False


class Row(NamedTuple):
    """One row, and its notes, each a text with its style."""

    cells: Sequence[str]
    notes: Sequence[tuple[str, str]] = ()


#: Console of the page that is recorded now, if one is.
_page: ContextVar[Console | None] = ContextVar("page", default=None)


def console(*, stderr: bool = False) -> Console:
    """A console that interprets no markup."""
    recorded = _page.get()
    if recorded is not None and not stderr:
        return recorded
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


@contextmanager
def recorded_page(out: Console) -> Iterator[Callable[[], Text]]:
    """Record what is printed meanwhile, as wide and in the colours of *out*; it prints nothing."""
    kept = StringIO()
    recorder = Console(
        file=kept, width=out.width, force_terminal=out.is_terminal, no_color=out.no_color,
        color_system="auto" if out.is_terminal else None, markup=False, highlight=False, emoji=False,
    )  # fmt: skip
    token = _page.set(recorder)
    try:
        # rich before 14.1 drops the last line's end from a text; so each page ends with one of its own.
        yield lambda: Text.from_ansi(kept.getvalue().removesuffix("\n"), no_wrap=True)
    finally:
        _page.reset(token)


def say(text: str = "", style: str = "") -> None:
    """Print a paragraph, or an empty line."""
    console().print(Text(to_show(text), style))


def print_page(page: RenderableType) -> None:
    """Print a page of texts that were made safe when they were printed onto it."""
    console().print(page)


def moment(unix_ms: int) -> str:
    """A time in this machine's zone."""
    at = datetime.fromtimestamp(unix_ms / 1000).astimezone()
    return at.isoformat(sep=" ", timespec="seconds")


def print_rows(columns: Sequence[Column], rows: Sequence[Row], joints: Sequence[str] = ()) -> None:
    """Print rows as a table, or where that is too wide, each as a block headed by its first cell.

    Args:
        columns: Headings and alignment of the cells.
        rows: Each with as many cells as there are columns.
        joints: Texts between the cells of a block, after its heading.
    """
    out = console()
    clean = [
        Row([to_show(cell) for cell in row.cells], [(to_show(t), s) for t, s in row.notes])
        for row in rows
    ]
    if _table_width(columns, clean) <= out.width:
        _print_table(out, columns, clean)
    else:
        _print_blocks(out, columns, clean, joints or [" · "] * len(columns))


def _table_width(columns: Sequence[Column], rows: Sequence[Row]) -> int:
    widths = []
    for i, column in enumerate(columns):
        width = max([cell_len(column.name), *(cell_len(row.cells[i]) for row in rows)])
        widths.append(min(width, _NARROWEST_TEXT) if column.wrap else width)
    return sum(widths) + _GAP * (len(columns) - 1)


def _print_table(out: Console, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.name,
            justify="right" if column.number else "left",
            no_wrap=not column.wrap,
            overflow="fold",
        )
    for row in rows:
        style = next((style for _, style in row.notes), "")
        first, *others = row.cells
        table.add_row(Text(first, style), *map(_cell, others))
    out.print(table)
    notes = [(row.cells[0], note, style) for row in rows for note, style in row.notes]
    if notes:
        out.print()
    for name, note, style in notes:
        out.print(Text(f"{name}: ", "bold").append(Text(note, style)))


def _print_blocks(
    out: Console, columns: Sequence[Column], rows: Sequence[Row], joints: Sequence[str]
) -> None:
    for row in rows:
        out.print(Text(row.cells[0], "bold"))
        for line in _lines(columns[1:], row.cells[1:], joints, out.width - _INDENT):
            out.print(_indented(line))
        for note, style in row.notes:
            out.print(_indented(Text(note, style)))


def _lines(
    columns: Sequence[Column], cells: Sequence[str], joints: Sequence[str], width: int
) -> list[Text]:
    """Names and values in lines of at most *width*; a name stays with its value."""
    lines = [Text()]
    for i, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        joint = joints[i - 1] if i else ""
        piece = Text(f"{column.name} ", "dim").append_text(Text(cell, _cell(cell).style or "none"))
        after = joints[i].rstrip() if i + 1 < len(cells) else ""
        if i and lines[-1].cell_len + cell_len(joint + after) + piece.cell_len > width:
            lines[-1].append(joint.rstrip(), "dim")
            lines.append(piece)
        else:
            lines[-1].append(joint, "dim").append_text(piece)
    return lines


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, _INDENT), expand=False)


def _cell(text: str) -> Text:
    return Text(text, "dim" if text in ("0", "-") else "")
