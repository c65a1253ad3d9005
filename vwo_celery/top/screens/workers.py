"""The workers that listen: release, lanes, since when; and in what they differ. Nothing to lose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from vwo_celery.operating.doctor.workers import start_worker
from vwo_celery.operating.looks.workers import WorkerView, differences, view_workers
from vwo_celery.text.amounts import count, size, span
from vwo_celery.top.looking.scenes import Scene
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.parts.tables import Column, Table
from vwo_celery.top.parts.words import joined, safe, wrapped

_COLUMNS = (
    Column("worker"), Column("release"), Column("pool"), Column("busy", right=True),
    Column("up", right=True), Column("last heard", right=True), Column("memory", right=True),
    Column("consumes"),
)  # fmt: skip


class WorkersScreen(Frame):
    """The workers."""

    page = "workers"

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        yield Table(_COLUMNS, id="workers")
        yield Static(id="told")

    def on_mount(self) -> None:
        """Begin with the list."""
        self.query_one(Table).focus()

    def follow(self, scene: Scene) -> None:
        """Ask for their cards with each look."""
        self.desk.ask(view_workers, self._found, lambda _: None)

    def _found(self, found: Sequence[WorkerView]) -> None:
        if not self.is_attached:
            return
        table = self.query_one(Table)
        table.fill({each.worker: _cells(each) for each in found})
        title = count(len(found), "worker listens", "workers listen") if found else ""
        table.border_title = Content(title or f"no worker listens; {start_worker()}")
        told = [
            wrapped(f"workers differ in {each.what}: {_spelled(each.values)}", "yellow")
            for each in differences(found)
        ]
        self.say("#told", joined(told))


def _spelled(values: dict[str, tuple[str, ...]]) -> str:
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in values.items())


def _cells(view: WorkerView) -> Sequence[Text]:
    card, heard = view.card, f"{span(view.heard_age_seconds)} ago"
    if card is None:
        cells = (view.worker, f"no card (release {view.version})", "-", "-", "-", heard, "-", "-")
    else:
        up = "-" if view.up_seconds is None else span(view.up_seconds)
        memory = size(card.rss_bytes) if card.rss_bytes else "-"
        busy = f"{card.busy} of {card.concurrency}"
        consumes = ", ".join(card.celery_queues) or "-"
        cells = (view.worker, card.version, card.pool or "-", busy, up, heard, memory, consumes)
    return [safe(cell, right=column.right) for cell, column in zip(cells, _COLUMNS, strict=True)]
