"""A table that keeps its place: the cursor stays on its row while rows come, go and change their order.

Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.content import Content
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


#: What stands before the first cell of a row that is marked: a sign, since no word needs a colour.
_MARK: Final = "✓ "


class Table(DataTable[Text]):
    """Rows by their keys, of which several may be marked, to be changed together.

    Args:
        columns: Its columns.
        takes_marks: Whether rows may be marked.
        options: Those of a DataTable.

    Attributes:
        marked: Keys of the rows that are marked, each of which is shown; a row that goes takes its
            mark along, so that nothing is changed that nobody sees.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open"),
        Binding("j", "cursor_down", show=False),
        Binding("k", "cursor_up", show=False),
        Binding("x", "mark", "Mark"),
        Binding("u", "unmark", show=False),
    ]

    def __init__(
        self, columns: Sequence[Column], *, takes_marks: bool = False, **options: Any
    ) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True, **options)
        self.marked: frozenset[str] = frozenset()
        self._takes_marks = takes_marks
        self._rows: Mapping[str, Sequence[Text]] = {}
        self._shown_columns: tuple[Column, ...] = ()
        self._shown: dict[str, Sequence[Text]] = {}
        self._chosen_before = ""
        self.head(columns)

    def head(self, columns: Sequence[Column]) -> None:
        """Have these columns from now on; the rows follow with `fill`."""
        if tuple(columns) == self._shown_columns:
            return
        self._chosen_before = self.chosen or self._chosen_before
        self.clear(columns=True)
        self._shown_columns, self._shown = tuple(columns), {}
        for column in columns:
            label = Text(column.name, justify="right" if column.right else "left")
            self.add_column(label, key=column.name)

    def fill(self, rows: Mapping[str, Sequence[Text]]) -> None:
        """Show these rows in their order, by their keys; the cursor stays on the row that it is on."""
        self._rows = dict(rows)
        self.marked &= rows.keys()
        shown = {key: self._with_mark(key, cells) for key, cells in rows.items()}
        if [*shown] == [*self._shown]:
            self._update(shown)
        else:
            self._rebuild(shown)
        self._shown = shown
        self.border_subtitle = Content(f"{len(self.marked):,} marked" if self.marked else "")

    def _with_mark(self, key: str, cells: Sequence[Text]) -> Sequence[Text]:
        if key not in self.marked:
            return cells
        first = Text.assemble((_MARK, "bold"), cells[0], no_wrap=True, justify=cells[0].justify)
        return (first, *cells[1:])

    def _update(self, rows: Mapping[str, Sequence[Text]]) -> None:
        for key, cells in rows.items():
            for column, cell, before in zip(
                self._shown_columns, cells, self._shown[key], strict=True
            ):
                if cell != before or cell.style != before.style:
                    self.update_cell(key, ColumnKey(column.name), cell, update_width=True)

    def _rebuild(self, rows: Mapping[str, Sequence[Text]]) -> None:
        before, self._chosen_before = self._chosen_before, ""
        chosen, place, scrolled = before or self.chosen, self.cursor_row, self.scroll_y
        self.clear()
        for key, cells in rows.items():
            self.add_row(*cells, key=key)
        keys = [*rows]
        row = keys.index(chosen) if chosen in rows else min(place, len(keys) - 1)
        if row > 0:
            self.move_cursor(row=row, animate=False, scroll=bool(before) or chosen not in rows)
        if not before:
            self.scroll_to(y=scrolled, animate=False, immediate=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether an action is there: rows are marked only to be changed."""
        if action in ("mark", "unmark") and not self._takes_marks:
            return False
        return super().check_action(action, parameters)

    def action_mark(self) -> None:
        """Mark the row under the cursor, or take its mark away, and go on to the next row."""
        if chosen := self.chosen:
            self.marked ^= {chosen}
            self.fill(self._rows)
            self.action_cursor_down()

    def action_unmark(self) -> None:
        """Take all marks away."""
        self.unmark()

    def unmark(self) -> None:
        """Have no row marked."""
        self.marked = frozenset()
        self.fill(self._rows)

    @property
    def meant(self) -> Sequence[str]:
        """Keys of the rows to change: those marked, from the top, or the one under the cursor."""
        if self.marked:
            return [key for key in self._shown if key in self.marked]
        return [self.chosen] if self.chosen else []

    @property
    def chosen(self) -> str:
        """Key of the row under the cursor; "" if there is none."""
        keys = [*self._shown]
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else ""
