"""The events of one batch, page by page; single ones of a dead letter are sent again or dropped here.

Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import ClassVar, Final, NamedTuple

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from vwo_celery.events import decode
from vwo_celery.operating.batches.found import WHY_NO_ATTEMPTS
from vwo_celery.operating.batches.listing import ListedBatch, events_in
from vwo_celery.operating.batches.payloads import names_of, visitor_of
from vwo_celery.operating.batches.showing import masked
from vwo_celery.queue.fleet import Fleet
from vwo_celery.text.amounts import count, size, span
from vwo_celery.top.looking import changes
from vwo_celery.top.looking.desk import Desk
from vwo_celery.top.looking.scenes import Scene
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.parts.tables import Column, Table
from vwo_celery.top.parts.words import joined, safe, wrapped

#: Events that are read at once.
_PAGE_EVENTS: Final = 200
#: Most letters of an event in the list; its own screen has all of them.
_MOST_LETTERS: Final = 200
_COLUMNS = (
    Column("place", right=True), Column("event"), Column("visitor"), Column("size", right=True),
    Column("begins"),
)  # fmt: skip


class ShownEvent(NamedTuple):
    """One event as it is shown.

    Attributes:
        place: Its place in the batch, from 1 for the oldest.
        name: What it is called, "" if it cannot be told.
        visitor: Its visitor's id, "" if it has none.
        size: Its size in bytes.
        text: The event, with the SDK key masked.
    """

    place: int
    name: str
    visitor: str
    size: int
    text: str


def _shown(place: int, event: bytes, sdk_key: str) -> ShownEvent:
    known = decode(event)
    name = " ".join(names_of(known)) if isinstance(known, dict) else ""
    visitor = visitor_of(known) if isinstance(known, dict) else ""
    return ShownEvent(place, name, visitor, len(event), masked(event, sdk_key))


class BatchScreen(Frame):
    """One batch."""

    changes = frozenset({"redrive", "purge"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket", "page(1)", "Next"),
        Binding("left_square_bracket", "page(-1)", "Before"),
        Binding("r", "redrive", "Redrive"),
        Binding("P", "purge", "Purge"),
    ]

    def __init__(
        self, desk: Desk, batch: ListedBatch, open_event: Callable[[ShownEvent], None]
    ) -> None:
        super().__init__(desk)
        self.page = "batch"
        self._batch = batch
        self._open_event = open_event
        self._start = 0
        self._events: dict[str, ShownEvent] = {}

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        with VerticalScroll(id="numbers") as box:
            box.border_title = Content(f"{self._batch.batch} of {self._batch.queue}")
            yield Static(joined(_facts(self._batch)), id="facts")
        takes_marks = self.desk.operate and self._batch.state == "dead"
        yield Table(_COLUMNS, id="events", takes_marks=takes_marks)

    def on_mount(self) -> None:
        """Read its first events."""
        self.query_one(Table).focus()
        self._load()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether an action is there: those on single events are for dead letters."""
        if action in self.changes and self._batch.state != "dead":
            return False
        return super().check_action(action, parameters)

    def follow(self, scene: Scene) -> None:
        """A batch is frozen: its events stay as they are, so a look changes nothing here."""

    def _load(self) -> None:
        self.desk.ask(partial(self._read, start=self._start), self._found, self._failed)

    def _read(self, fleet: Fleet, start: int) -> Sequence[ShownEvent]:
        registration = fleet.registrations().readable.get(self._batch.queue)
        key = registration.destination.sdk_key if registration is not None else ""
        events = events_in(fleet, self._batch, start, _PAGE_EVENTS)
        return [_shown(start + number, event, key) for number, event in enumerate(events, 1)]

    def _found(self, found: Sequence[ShownEvent]) -> None:
        if not self.is_attached:
            return
        self._events = {str(each.place): each for each in found}
        table = self.query_one(Table)
        table.fill({key: _cells(each) for key, each in self._events.items()})
        if not found:
            title = "it is gone: a worker has settled it, or somebody has changed it"
        else:
            of = count(self._batch.events, "event")
            title = f"events {found[0].place:,} to {found[-1].place:,} of {of}"
        table.border_title = Content(title)

    def _failed(self, why: str) -> None:
        self.tell(why)

    def action_page(self, step: int) -> None:
        """Show the next events, or those before."""
        start = self._start + step * _PAGE_EVENTS
        if 0 <= start < self._batch.events:
            self._start = start
            self._load()

    def action_open(self) -> None:
        """Show the event under the cursor."""
        if (event := self._events.get(self.query_one(Table).chosen)) is not None:
            self._open_event(event)

    def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Enter, or a click, shows it."""
        self.action_open()

    def action_redrive(self) -> None:
        """Plan to send the events that are marked, or the one under the cursor, again."""
        self._change("redrive")

    def action_purge(self) -> None:
        """Plan to drop the events that are marked, or the one under the cursor, for good."""
        self._change("purge")

    def _change(self, operation: str) -> None:
        if meant := self.query_one(Table).meant:
            places = [*map(int, meant)]
            self.change(lambda fleet: changes.plan_events(fleet, operation, self._batch, places))


def _cells(each: ShownEvent) -> Sequence[Text]:
    return (
        safe(f"{each.place:,}", right=True),
        safe(each.name or "-"),
        safe(each.visitor or "-"),
        safe(size(each.size), right=True),
        safe(each.text[:_MOST_LETTERS], "dim"),
    )


def _facts(batch: ListedBatch) -> list[Text]:
    is_unclear = batch.state == "dead" and not batch.attempts
    attempts = "no attempt alone" if is_unclear else count(batch.attempts, "attempt")
    events = count(batch.events, "event")
    oldest = batch.oldest_age_seconds
    age = "" if oldest is None else f"; its oldest event was {span(oldest)} old"
    state = batch.state.replace("_", " ")
    lines = [wrapped(f"{state} when it was opened: {events}, {size(batch.bytes)}, {attempts}{age}")]
    lines += [wrapped(WHY_NO_ATTEMPTS, "dim")] if is_unclear else []
    return [*lines, *([wrapped(batch.reason, "yellow")] if batch.reason else [])]
