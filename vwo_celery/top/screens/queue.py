"""One queue: what is wrong with it, its numbers and ledger, its last hour, and its batches.

Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from vwo_celery.operating.batches.listing import BATCH_STATES, ListedBatch, State, list_batches
from vwo_celery.operating.looks.states import state_of
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.queue.fleet import Fleet
from vwo_celery.text.amounts import count, size, span
from vwo_celery.top.looking import series, steering
from vwo_celery.top.looking.desk import Desk
from vwo_celery.top.looking.scenes import Scene
from vwo_celery.top.parts.charts import Chart, draw_all
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.parts.tables import Column, Table
from vwo_celery.top.parts.words import joined, lines_of, safe, shortened, wrapped

#: Most batches of each state in the list.
_MOST_BATCHES: Final = 200
_COLUMNS = (
    Column("state"), Column("events", right=True), Column("attempts", right=True),
    Column("oldest", right=True), Column("when"), Column("why"), Column("size", right=True),
    Column("batch"),
)  # fmt: skip
_STYLES: Final = {"released": "yellow", "dead": "yellow"}


class QueueScreen(Frame):
    """One queue."""

    changes = frozenset({"flush", "pause"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "dead", "Dead"),
        Binding("f", "flush", "Flush"),
        Binding("p", "pause", "Pause"),
        Binding("t", "state", "State"),
    ]

    def __init__(
        self, desk: Desk, queue: str, go: Callable[[str, str], None],
        open_batch: Callable[[ListedBatch], None],
    ) -> None:  # fmt: skip
        super().__init__(desk)
        self.page = "queue"
        self._queue = queue
        self._go = go
        self._open_batch = open_batch
        self._batches: dict[str, ListedBatch] = {}
        self._loading = False
        self._state = 0

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        with VerticalScroll(id="numbers"):
            yield Static(id="facts")
        with Horizontal(id="charts"):
            yield Chart("rate")
            yield Chart("waiting")
        yield Table(_COLUMNS, id="batches")

    def on_mount(self) -> None:
        """Have its history read as well."""
        self.desk.watch.focus = self._queue
        self.desk.watch.hurry()
        self.query_one(Table).focus()

    def on_unmount(self) -> None:
        """Have its history read no more."""
        if self.desk.watch.focus == self._queue:
            self.desk.watch.focus = ""

    def follow(self, scene: Scene) -> None:
        """Show what a look saw, and look for its batches."""
        view = scene.views.get(self._queue)
        if view is None:
            self.say(
                "#facts",
                wrapped("This queue is not registered any more, and holds nothing.", "bold"),
            )
            return
        self.say("#facts", joined([*lines_of(scene.look.notes[view.queue]), *_facts(scene, view)]))
        box, state = self.query_one("#numbers"), state_of(view, self.desk.source.settings)
        box.border_title = Content(f"{self._queue}: {state.word}")
        draw_all(self, series.of_queue(scene, view.queue))
        self._load()

    def _load(self) -> None:
        if not self._loading:
            self._loading = True
            self.desk.ask(self._find, self._found, self._failed)

    def _find(self, fleet: Fleet) -> Sequence[ListedBatch]:
        registration = fleet.registrations().readable.get(self._queue)
        if registration is None:
            return ()
        return [
            each
            for state in self._states()
            for each in list_batches(fleet, self._queue, registration, state, _MOST_BATCHES)
        ]

    def _states(self) -> Sequence[State]:
        """The states whose batches are listed: all, or one of them."""
        return BATCH_STATES if self._state == 0 else (BATCH_STATES[self._state - 1],)

    def _found(self, found: Sequence[ListedBatch]) -> None:
        self._loading = False
        if not self.is_attached:
            return
        self._batches = {each.batch: each for each in found}
        table = self.query_one(Table)
        table.fill({each.batch: batch_cells(each) for each in found})
        states = "in any state" if self._state == 0 else self._states()[0].replace("_", " ")
        more = f", at most {_MOST_BATCHES} of each state" if len(found) >= _MOST_BATCHES else ""
        batches = count(len(found), "batch", "batches")
        table.border_title = Content(f"{batches} {states}{more} · those that leave first on top")

    def _failed(self, _: str) -> None:
        self._loading = False  # the head tells why

    def action_state(self) -> None:
        """List the batches of the next state, or of all."""
        self._state = (self._state + 1) % (len(BATCH_STATES) + 1)
        self._load()

    def action_open(self) -> None:
        """Show the events of the batch under the cursor."""
        if (batch := self._batches.get(self.query_one(Table).chosen)) is not None:
            self._open_batch(batch)

    def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Enter, or a click, shows them."""
        self.action_open()

    def action_dead(self) -> None:
        """Show its dead letters."""
        self._go("dead", f"queue:{self._queue}")

    def action_flush(self) -> None:
        """Plan a flush of it."""
        self.change(lambda fleet: steering.plan_flush(fleet, [self._queue]))

    def action_pause(self) -> None:
        """Plan a pause of it, or the end of one."""
        self.change(lambda fleet: steering.plan_pause(fleet, [self._queue]))


def batch_cells(each: ListedBatch) -> Sequence[Text]:
    """A batch in a list."""
    oldest = "-" if each.oldest_age_seconds is None else span(each.oldest_age_seconds)
    return (
        safe(each.state.replace("_", " "), _STYLES.get(each.state, "")),
        safe(f"{each.events:,}", right=True),
        safe(str(each.attempts), right=True),
        safe(oldest, right=True),
        safe(_when(each)),
        safe(shortened(each.reason) or "-"),
        safe(size(each.bytes), right=True),
        safe(each.batch, "dim"),
    )


def _when(each: ListedBatch) -> str:
    ahead, ago = each.at_seconds, span(max(0.0, -each.at_seconds))
    if each.state == "dead":
        return f"died {ago} ago"
    if each.state == "in_flight":
        return f"lease ends in {span(max(0.0, ahead))}"
    return f"due in {span(ahead)}" if ahead > 0 else f"due for {ago}"


def _facts(scene: Scene, view: QueueView) -> list[Text]:
    ledger = view.ledger
    sums = (
        f"accepted {ledger.accepted:,} = delivered {ledger.delivered:,} + dead {ledger.dead:,} + dropped "
        f"{ledger.dropped:,} + pending {ledger.pending:,} + in flight {ledger.in_flight:,} + released "
        f"{ledger.released:,}"
    )
    now = (
        f"open {view.open:,}, ready {view.ready:,}, in flight {view.in_flight:,}, released "
        f"{view.released:,}; {size(view.bytes)}, {view.fullness:.1%} of its capacity"
    )
    lines = [wrapped(now), wrapped(sums, "dim"), wrapped(_ages(view))]
    apart = scene.look.apart.get(view.queue)
    return [*lines, *([wrapped(apart, "dim")] if apart else [])]


def _ages(view: QueueView) -> str:
    oldest = "nothing waits"
    if view.oldest_age_seconds is not None:
        promised = f" of {span(view.interval_seconds)} promised" if view.interval_seconds else ""
        oldest = f"oldest {span(view.oldest_age_seconds)}{promised}"
    accepted = view.delivered_age_seconds
    last = "VWO has accepted nothing yet"
    if accepted is not None:
        last = f"VWO accepted the last batch {span(accepted)} ago"
    limits = view.limits
    sent = f"; batches of up to {limits.most_events:,}" if limits is not None else ""
    return f"{oldest}; {last}{sent}"
