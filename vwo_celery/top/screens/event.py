"""One event, whole, as JSON that is laid out; the SDK key is masked. Nothing to lose."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from rich.text import Text
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from vwo_celery.text.lines import one_line
from vwo_celery.top.looking.desk import Desk
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.screens.batch import ShownEvent


class EventScreen(Frame):
    """One event."""

    def __init__(self, desk: Desk, event: ShownEvent) -> None:
        super().__init__(desk)
        self.page = "event"
        self._event = event

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        with VerticalScroll(id="all") as box:
            box.border_title = Content(_title(self._event))
            yield Static(Text("\n".join(map(one_line, _laid_out(self._event.text).split("\n")))))


def _title(event: ShownEvent) -> str:
    visitor = f" of visitor {event.visitor}" if event.visitor else ""
    return one_line(f"event {event.place:,}, {event.name or 'without a name'}{visitor}")


def _laid_out(text: str) -> str:
    """An event as indented JSON; as it is, if another program pushed something that is no JSON."""
    try:
        return msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, RecursionError):
        return text
