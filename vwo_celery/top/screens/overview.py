"""The first screen: the verdict with its remedies, the last hour, and every queue. Nothing to lose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static

from vwo_celery.operating.looks.states import state_of
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.text.amounts import count, span
from vwo_celery.top.looking import series, steering
from vwo_celery.top.looking.checkup import Verdict
from vwo_celery.top.looking.desk import Desk
from vwo_celery.top.looking.scenes import Scene
from vwo_celery.top.parts.charts import Chart, draw_all
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.parts.tables import Column, Table
from vwo_celery.top.parts.words import finding_lines, joined, safe, wrapped

#: Width of the terminal from which the table has all of its columns.
WIDE: Final = 120
_NARROW = (
    Column("queue"), Column("state"), Column("waiting", right=True), Column("oldest", right=True),
    Column("dead", right=True), Column("per s", right=True),
)  # fmt: skip
_WIDE = (
    Column("queue"), Column("state"), Column("open", right=True), Column("ready", right=True),
    Column("in flight", right=True), Column("released", right=True), Column("oldest", right=True),
    Column("dead", right=True), Column("per s", right=True), Column("accepted", right=True),
)  # fmt: skip


def _busy(scene: Scene, view: QueueView) -> float:
    return scene.speeds.queues.get(view.queue) or 0.0


#: Orders of the queues by their names: the first one is that of the look, trouble first.
ORDERS: Final[Mapping[str, Callable[[Scene, QueueView], Any]]] = {
    "trouble first": lambda _, __: 0,
    "by name": lambda _, view: view.queue,
    "most waiting first": lambda _, view: -view.undelivered,
    "oldest first": lambda _, view: -(view.oldest_age_seconds or 0.0),
    "most dead first": lambda _, view: -view.dead,
    "fastest first": lambda scene, view: -_busy(scene, view),
}


class Overview(Frame):
    """Verdict, charts and queues."""

    changes = frozenset({"flush", "pause"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "dead", "Dead"),
        Binding("v", "verdict", "Verdict"),
        Binding("f", "flush", "Flush"),
        Binding("p", "pause", "Pause"),
        Binding("slash", "filter", "Filter"),
        Binding("s", "sort", "Sort"),
        Binding("escape", "back", show=False),
    ]

    def __init__(self, desk: Desk, go: Callable[[str, str], None]) -> None:
        super().__init__(desk)
        self._go = go
        self._wanted = ""
        self._order = 0
        self._wide = False

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        with VerticalScroll(id="verdict"):
            yield Static(id="findings")
        with Horizontal(id="charts"):
            yield Chart("rate")
            yield Chart("waiting")
        yield Input(id="wanted", placeholder="part of a queue's name, or a state such as paused")
        yield Table(_NARROW, id="queues", takes_marks=self.desk.operate)

    def on_mount(self) -> None:
        """Begin with the table."""
        self.query_one("#wanted").display = False
        self.query_one(Table).focus()

    def on_resize(self, event: events.Resize) -> None:
        """Show more columns where there is room for them."""
        self._wide = event.size.width >= WIDE
        self.query_one(Table).head(_WIDE if self._wide else _NARROW)
        self.show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether an action is there: there is nothing to go back to but from a filter."""
        if action == "back":
            return bool(self._wanted)
        return super().check_action(action, parameters)

    def follow(self, scene: Scene) -> None:
        """Show what a look saw."""
        draw_all(self, series.of_all(scene))
        table = self.query_one(Table)
        views = self._picked(scene)
        table.fill({view.queue: self._row(scene, view) for view in views})
        self._head_table(table, scene, len(views))

    def _picked(self, scene: Scene) -> list[QueueView]:
        wanted = self._wanted.lower()
        picked = [view for view in scene.look.views if not wanted or self._matches(view, wanted)]
        return sorted(picked, key=partial([*ORDERS.values()][self._order], scene))

    def _matches(self, view: QueueView, wanted: str) -> bool:
        state = state_of(view, self.desk.source.settings).word
        return wanted in view.queue.lower() or wanted in state

    def _head_table(self, table: Table, scene: Scene, shown: int) -> None:
        queues = len(scene.look.views)
        title = count(queues, "queue")
        if self._wanted:
            title = f"{shown:,} of {title} that match {self._wanted}"
        elif not queues:
            title = "no queue yet: an application registers its queue with its first event"
        table.border_title = Content(f"{title} · {[*ORDERS][self._order]}")

    def _row(self, scene: Scene, view: QueueView) -> Sequence[Text]:
        state = state_of(view, self.desk.source.settings)
        speed = series.spelled_rate(scene.speeds.queues.get(view.queue))
        name, word = safe(view.queue), safe(state.word, state.style or "green")
        oldest, dead, rate = _number(_oldest(view)), _amount(view.dead, "yellow"), _number(speed)
        if not self._wide:
            return name, word, _amount(view.undelivered), oldest, dead, rate
        held = (view.open, view.ready, view.in_flight, view.released)
        accepted = view.delivered_age_seconds
        last = "never" if accepted is None else f"{span(accepted)} ago"
        return name, word, *map(_amount, held), oldest, dead, rate, _number(last)

    def tick(self) -> None:
        """Show the verdict and its age."""
        super().tick()
        box, verdict, scene = self.query_one("#verdict"), self.desk.verdict, self.desk.scene
        box.border_title = Content(_verdict_title(verdict))
        box.set_class(bool(verdict and verdict.bad), "bad")
        box.set_class(bool(verdict and not verdict.bad), "well")
        self.say("#findings", _verdict_text(verdict, scene))

    def action_open(self) -> None:
        """Open the queue under the cursor."""
        if chosen := self.query_one(Table).chosen:
            self._go("queue", chosen)

    def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Enter, or a click, opens it."""
        self.action_open()

    def action_dead(self) -> None:
        """Show the dead letters of all queues."""
        self._go("dead", "")

    def action_verdict(self) -> None:
        """Show all that the doctor found."""
        self._go("verdict", "")

    def action_flush(self) -> None:
        """Plan a flush of the queues that are marked, or of the one under the cursor."""
        if meant := self.query_one(Table).meant:
            self.change(lambda fleet: steering.plan_flush(fleet, meant))

    def action_pause(self) -> None:
        """Plan a pause of the queues that are marked, or of the one under the cursor, or its end."""
        if meant := self.query_one(Table).meant:
            self.change(lambda fleet: steering.plan_pause(fleet, meant))

    def action_filter(self) -> None:
        """Type what the queues are picked by."""
        wanted = self.query_one("#wanted", Input)
        wanted.display = True
        wanted.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Pick while it is typed."""
        self._wanted = event.value.strip()
        self.refresh_bindings()
        self.show()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Back to the table, with what was picked."""
        self.query_one("#wanted").display = bool(self._wanted)
        self.query_one(Table).focus()

    def action_back(self) -> None:
        """Pick all queues again: there is no screen beneath."""
        self.query_one("#wanted", Input).value = ""
        self.query_one("#wanted").display = False
        self.query_one(Table).focus()

    def action_sort(self) -> None:
        """Take the next order."""
        self._order = (self._order + 1) % len(ORDERS)
        self.show()


def _oldest(view: QueueView) -> str:
    """The age of the oldest event, against the interval that was promised."""
    oldest, interval = view.oldest_age_seconds, view.interval_seconds
    if oldest is None:
        return "-"
    age = ("≥ " * view.incomplete) + span(oldest)
    return f"{age} of {span(interval)}" if interval else age


def _amount(number: int, style: str = "") -> Text:
    return _number(f"{number:,}", style) if number else _number("0")


def _number(text: str, style: str = "") -> Text:
    return safe(text, "dim" if text in ("0", "-", "?", "never") else style, right=True)


def _verdict_title(verdict: Verdict | None) -> str:
    if verdict is None:
        return "verdict: the doctor looks for the first time"
    states = [each.state for each in verdict.bad]
    problems = count(states.count("problem"), "problem")
    told = f"{problems}, {count(states.count('warn'), 'warning')}" if states else "all is well"
    if not verdict.complete:
        return f"{told} so far · the doctor is still looking"
    checks = count(len(verdict.findings), "check")
    return f"{told} · {checks}, {span(int(verdict.age_seconds))} ago"


def _verdict_text(verdict: Verdict | None, scene: Scene | None) -> Text:
    away = [wrapped(each, "bold red") for each in (scene.away if scene else ())]
    if verdict is None:
        return joined(away)
    if not verdict.bad:
        well = wrapped("every check of the doctor is ok; v lists them", "green")
        return joined([*away, well])
    return joined([*away, *map(finding_lines, verdict.bad), wrapped("v shows all of each", "dim")])
