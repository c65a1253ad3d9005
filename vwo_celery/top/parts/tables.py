"""A table that keeps its place: the cursor stays on its row while rows come, go and change their order.

Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: Its heading, which is its key, too.
        right: Whether its cells are aligned to the right, as numbers are.
    """

    name: str
    right: bool = False


class Table(DataTable[Text]):
    """Rows by their keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open"),
        Binding("j", "cursor_down", show=False),
        Binding("k", "cursor_up", show=False),
    ]

    def __init__(self, columns: Sequence[Column], **options: Any) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True, **options)
        self._shown_columns: tuple[Column, ...] = ()
        self._shown: dict[str, Sequence[Text]] = {}
        self.head(columns)

    def head(self, columns: Sequence[Column]) -> None:
        """Have these columns from now on; the rows follow with `fill`."""
        if tuple(columns) == self._shown_columns:
            return
        self.clear(columns=True)
        self._shown_columns, self._shown = tuple(columns), {}
        for column in columns:
            label = Text(column.name, justify="right" if column.right else "left")
            self.add_column(label, key=column.name)

    def fill(self, rows: Mapping[str, Sequence[Text]]) -> None:
        """Show these rows in their order, by their keys; the cursor stays on the row that it is on."""
        if [*rows] == [*self._shown]:
            self._update(rows)
        else:
            self._rebuild(rows)
        self._shown = dict(rows)

    def _update(self, rows: Mapping[str, Sequence[Text]]) -> None:
        for key, cells in rows.items():
            for column, cell, before in zip(
                self._shown_columns, cells, self._shown[key], strict=True
            ):
                if cell != before or cell.style != before.style:
                    self.update_cell(key, ColumnKey(column.name), cell, update_width=True)

    def _rebuild(self, rows: Mapping[str, Sequence[Text]]) -> None:
        chosen, place, scrolled = self.chosen, self.cursor_row, self.scroll_y
        self.clear()
        for key, cells in rows.items():
            self.add_row(*cells, key=key)
        keys = [*rows]
        row = keys.index(chosen) if chosen in rows else min(place, len(keys) - 1)
        if row > 0:
            self.move_cursor(row=row, animate=False, scroll=chosen not in rows)
        self.scroll_to(y=scrolled, animate=False, immediate=True)

    @property
    def chosen(self) -> str:
        """Key of the row under the cursor; "" if there is none."""
        keys = [*self._shown]
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else ""
