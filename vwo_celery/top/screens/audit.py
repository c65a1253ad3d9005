"""Who changed what within a day, through which door, and what came of it. Nothing to lose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.text import Text
from textual.content import Content
from textual.widget import Widget

from vwo_celery.operating.past.audit import Change, changes
from vwo_celery.queue.fleet import Fleet
from vwo_celery.text.amounts import count, span
from vwo_celery.text.moments import since
from vwo_celery.top.looking.scenes import Scene
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.parts.tables import Column, Table
from vwo_celery.top.parts.words import safe

_DAY_MS: Final = 86_400_000
_COLUMNS = (
    Column("when"), Column("who"), Column("by"), Column("command"), Column("done", right=True),
    Column("result"), Column("what"),
)  # fmt: skip
_STYLES: Final = {"failed": "bold red", "interrupted": "yellow", "unfinished": "yellow"}


class AuditScreen(Frame):
    """The audit."""

    page = "audit"

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        yield Table(_COLUMNS, id="audit")

    def on_mount(self) -> None:
        """Begin with the list."""
        self.query_one(Table).focus()

    def follow(self, scene: Scene) -> None:
        """Read it with each look."""
        self.desk.ask(
            _of_a_day, lambda found: self._found(found, scene.look.now_ms), lambda _: None
        )

    def _found(self, found: Sequence[Change], now_ms: int) -> None:
        if not self.is_attached:
            return
        table = self.query_one(Table)
        table.fill({each.change: _cells(each, now_ms) for each in reversed(found)})
        title = f"{count(len(found), 'change')} within a day, the latest on top"
        table.border_title = Content(title if found else "nobody has changed anything within a day")


def _of_a_day(fleet: Fleet) -> Sequence[Change]:
    return changes(fleet, since_ms=max(0, fleet.now_ms() - _DAY_MS))


def _cells(each: Change, now_ms: int) -> Sequence[Text]:
    took = "" if each.duration_seconds is None else f" in {span(each.duration_seconds)}"
    what = (each.filter, ", ".join(each.queues), each.reason, each.error, each.note)
    return (
        safe(since(max(0, now_ms - each.at_ms) / 1000).removeprefix("since ")),
        safe(f"{each.who} on {each.host}"),
        safe(each.door),
        safe(each.command),
        safe(each.amount, right=True),
        safe(f"{each.result}{took}", _STYLES.get(each.result, "")),
        safe("; ".join(part for part in what if part) or "-"),
    )
