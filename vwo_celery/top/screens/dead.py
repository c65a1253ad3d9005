"""Dead letters by a filter: why they died, and all that match sent again or dropped.

Nothing to lose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static

from vwo_celery.errors import FilterError
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import Scan, find_dead
from vwo_celery.operating.batches.found import NO_ATTEMPTS, WHY_NO_ATTEMPTS, DeadBatch
from vwo_celery.operating.batches.listing import ListedBatch
from vwo_celery.operating.looks import inspector
from vwo_celery.queue.fleet import Fleet
from vwo_celery.sending.outcomes import answer_of
from vwo_celery.text.amounts import count, span
from vwo_celery.text.lines import one_line
from vwo_celery.top.looking import changes
from vwo_celery.top.looking.desk import Desk
from vwo_celery.top.looking.scenes import Scene
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.parts.tables import Column, Table
from vwo_celery.top.parts.words import joined, safe, shortened, wrapped

#: Most batches in the list.
_MOST_BATCHES: Final = 500
_MOST_ANSWERS: Final = 6
_COLUMNS = (
    Column("died", right=True), Column("events", right=True), Column("queue"), Column("why"),
    Column("attempts", right=True), Column("batch"),
)  # fmt: skip


class DeadScreen(Frame):
    """Dead letters."""

    page = "dead letters"
    changes = frozenset({"redrive", "purge", "redrive_all", "purge_all"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter"),
        Binding("r", "redrive", "Redrive"),
        Binding("a", "redrive_all", "all"),
        Binding("P", "purge", "Purge"),
        Binding("A", "purge_all", "all"),
    ]

    def __init__(self, desk: Desk, wanted: str, open_batch: Callable[[ListedBatch], None]) -> None:
        super().__init__(desk)
        self._wanted = Filter.parse(wanted)
        self._open_batch = open_batch
        self._found: dict[str, DeadBatch] = {}
        self._dead: tuple[int, ...] = ()
        self._loading = False

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        yield Input(
            str(self._wanted), id="wanted",
            placeholder="such as: answer:413 died:>2h event:purchase reason:\"not accepted\"",
        )  # fmt: skip
        yield Static(id="told")
        yield Table(_COLUMNS, id="dead", takes_marks=self.desk.operate)

    def on_mount(self) -> None:
        """Begin with the list."""
        self.query_one(Table).focus()

    def follow(self, scene: Scene) -> None:
        """Look again whenever the numbers of dead letters have changed."""
        dead = tuple(view.dead_batches for view in scene.look.views)
        if dead != self._dead or not self._found:
            self._dead = dead
            self._load()

    def _load(self) -> None:
        if not self._loading:
            self._loading = True
            self.desk.ask(partial(_find, wanted=self._wanted), self._show_found, self._failed)

    def _show_found(self, found: tuple[Sequence[DeadBatch], Scan]) -> None:
        self._loading = False
        if not self.is_attached:
            return
        batches, scan = found
        self._found = {f"{each.queue} {each.shard} {each.batch}": each for each in batches}
        table = self.query_one(Table)
        table.fill({key: _cells(each) for key, each in self._found.items()})
        table.border_title = Content(_title(batches, self._wanted))
        told = [_told(batches, scan)]
        told += [] if all(each.attempts for each in batches) else [WHY_NO_ATTEMPTS]
        self.say("#told", joined([wrapped(each, "dim") for each in told]))

    def _failed(self, why: str) -> None:
        self._loading = False
        if self.is_attached:
            self.say("#told", wrapped(why, "bold red"))

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one("#wanted", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Look for what it picks; a filter that cannot be read changes nothing."""
        try:
            self._wanted = Filter.parse(event.value)
        except FilterError as exc:
            self.say("#told", wrapped(str(exc), "bold red"))
            return
        self._found = {}
        self.query_one(Table).focus()
        self._load()

    def action_open(self) -> None:
        """Show the events of the batch under the cursor."""
        if (dead := self._chosen()) is not None:
            self._open_batch(_listed(dead))

    def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Enter, or a click, shows them."""
        self.action_open()

    def _chosen(self) -> DeadBatch | None:
        return self._found.get(self.query_one(Table).chosen)

    def action_redrive(self) -> None:
        """Plan to send the batches that are marked, or the one under the cursor, again."""
        self._change_meant("redrive")

    def action_purge(self) -> None:
        """Plan to drop the batches that are marked, or the one under the cursor, for good."""
        self._change_meant("purge")

    def _change_meant(self, operation: str) -> None:
        """Plan a change of the batches that are marked, or of the one under the cursor."""
        table = self.query_one(Table)
        meant = [self._found[key] for key in table.meant if key in self._found]
        if meant:
            queues = tuple(dict.fromkeys(each.queue for each in meant))
            wanted = Filter(queues=queues, batches=tuple(each.batch for each in meant))
            plan = partial(changes.plan_dead, operation=operation, wanted=wanted)
            self.change(partial(plan, marked=bool(table.marked)))

    def action_redrive_all(self) -> None:
        """Plan to send all that match again."""
        self.change(lambda fleet: changes.plan_dead(fleet, "redrive", self._wanted))

    def action_purge_all(self) -> None:
        """Plan to drop all that match for good."""
        self.change(lambda fleet: changes.plan_dead(fleet, "purge", self._wanted))


def _find(fleet: Fleet, wanted: Filter) -> tuple[Sequence[DeadBatch], Scan]:
    scan, found = Scan(), fleet.registrations()
    chosen = inspector.choose(found.readable, wanted.queues, found.unreadable)
    return [*islice(find_dead(fleet, chosen, wanted, scan), _MOST_BATCHES)], scan


def _listed(dead: DeadBatch) -> ListedBatch:
    age = (dead.died_ms - dead.first_ms) / 1000 + dead.died_age_seconds if dead.first_ms else None
    return ListedBatch(
        dead.queue, dead.shard, dead.batch, "dead", dead.events, dead.bytes, dead.attempts, age,
        -dead.died_age_seconds, dead.reason,
    )  # fmt: skip


def _cells(each: DeadBatch) -> Sequence[Text]:
    return (
        safe(f"{span(each.died_age_seconds)} ago", right=True),
        safe(f"{each.events:,}", right=True),
        safe(each.queue),
        safe(shortened(each.reason) or "-", "yellow"),
        safe(str(each.attempts or NO_ATTEMPTS), right=True),
        safe(each.batch, "dim"),
    )


def _title(batches: Sequence[DeadBatch], wanted: Filter) -> str:
    events = sum(each.events for each in batches)
    told = f"{count(events, 'event')} in {count(len(batches), 'batch', 'batches')}"
    picked = f"that match {wanted}" if wanted else "of all queues"
    latest = f" · the latest {_MOST_BATCHES} are listed" if len(batches) == _MOST_BATCHES else ""
    return one_line(f"{told} {picked}{latest}")


def _told(batches: Sequence[DeadBatch], scan: Scan) -> str:
    """By what VWO answered, and what could not be looked at."""
    if not batches:
        return "no dead letter matches; / changes the filter"
    answers = Counter(answer_of(each.reason) or "other" for each in batches).most_common()
    told = ", ".join(f"{number:,} × {answer}" for answer, number in answers[:_MOST_ANSWERS])
    unread = scan.not_looked_at
    rest = f"; {count(unread, 'event')} not looked at: narrow the filter" if unread else ""
    return f"by VWO's answer: {told}{rest}"
