"""The app: one desk, its screens, and the keys that hold on all of them.

Reads and acts through the desk only. If it dies, nothing is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Final

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input

from vwo_celery.logs import log
from vwo_celery.operating.batches.listing import ListedBatch
from vwo_celery.text.lines import one_line
from vwo_celery.top.looking.desk import LONGEST_SECONDS, SHORTEST_SECONDS, Desk
from vwo_celery.top.looking.watching import Source
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.screens.audit import AuditScreen
from vwo_celery.top.screens.batch import BatchScreen, ShownEvent
from vwo_celery.top.screens.dead import DeadScreen
from vwo_celery.top.screens.event import EventScreen
from vwo_celery.top.screens.help import HelpScreen
from vwo_celery.top.screens.overview import Overview
from vwo_celery.top.screens.queue import QueueScreen
from vwo_celery.top.screens.verdict import VerdictScreen
from vwo_celery.top.screens.workers import WorkersScreen

#: Time between two updates of what changes by itself, such as ages and silences.
_TICK_SECONDS: Final = 0.25
#: The second key after g, and the screen it leads to.
_PLACES: Final = {
    "o": "overview", "q": "overview", "d": "dead", "w": "workers", "a": "audit", "v": "verdict",
}  # fmt: skip
_FASTER: Final = 0.5


class _Come(Message):
    """Something to be done in the app's own thread."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act


class _Warnings(logging.Handler):
    """What our own log warns of is shown, since a line printed over the screen would be lost."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Show it."""
        self._say(one_line(record.getMessage()))


class Top(App[None]):
    """The fleet in a terminal.

    Args:
        source: Where everything comes from.
        seconds: Time between two looks, 0.5 to 10.
        operate: Whether changes are allowed.
    """

    TITLE = "vwo-celery top"
    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "open('help')", "Help"),
        Binding("q", "quit", "Quit"),
        Binding("space", "freeze", show=False),
        Binding("plus,equals_sign", f"pace({_FASTER})", show=False),
        Binding("minus", f"pace({1 / _FASTER})", show=False),
    ]

    def __init__(self, source: Source, *, seconds: float, operate: bool) -> None:
        super().__init__()
        self.desk = Desk(
            source, seconds=seconds, operate=operate,
            come_back=lambda act: self.post_message(_Come(act)),
        )  # fmt: skip
        self.desk.changed = self._show
        self._going = False
        self._warnings = _Warnings(self._warn)

    def on_mount(self) -> None:
        """Show the overview, and begin to look."""
        log.addHandler(self._warnings)
        self.push_screen(Overview(self.desk, self.go))
        self.set_interval(_TICK_SECONDS, self._tick)
        self.desk.start()

    def on_unmount(self) -> None:
        """Look no more."""
        self.desk.end()
        log.removeHandler(self._warnings)

    def on__come(self, message: _Come) -> None:
        """Do in this thread what another one asked for."""
        message.act()

    def _warn(self, text: str) -> None:
        self.post_message(
            _Come(lambda: self.notify(text, severity="warning", timeout=15, markup=False))
        )

    def _frame(self) -> Frame | None:
        """The screen on top, beneath a question."""
        return next((each for each in reversed(self.screen_stack) if isinstance(each, Frame)), None)

    def _show(self) -> None:
        if (frame := self._frame()) is not None:
            with suppress(NoMatches):  # a screen that is about to go has lost its parts
                frame.show()

    def _tick(self) -> None:
        if (frame := self._frame()) is not None:
            with suppress(NoMatches):
                frame.tick()

    async def on_key(self, event: events.Key) -> None:
        """Keys of two letters: g, and where to."""
        if isinstance(self.screen, ModalScreen) or isinstance(self.focused, Input):
            return
        if self._going:
            self._going = False
            if (place := _PLACES.get(event.key)) is not None:
                event.stop()
                event.prevent_default()
                self.go(place, "")
        elif event.key == "g":
            self._going = True

    def go(self, place: str, what: str) -> None:
        """Show a screen; *what* is the queue, or the filter of dead letters."""
        if place == "overview":
            while len(self.screen_stack) > 2:
                self.pop_screen()
            return
        makers: dict[str, Callable[[], Frame]] = {
            "queue": lambda: QueueScreen(self.desk, what, self.go, self._open_batch),
            "dead": lambda: DeadScreen(self.desk, what, self._open_batch),
            "workers": lambda: WorkersScreen(self.desk),
            "audit": lambda: AuditScreen(self.desk),
            "verdict": lambda: VerdictScreen(self.desk),
            "help": lambda: HelpScreen(self.desk),
        }
        self.push_screen(makers[place]())

    def _open_batch(self, batch: ListedBatch) -> None:
        self.push_screen(BatchScreen(self.desk, batch, self._open_event))

    def _open_event(self, event: ShownEvent) -> None:
        self.push_screen(EventScreen(self.desk, event))

    def action_open(self, place: str) -> None:
        """Show a screen."""
        if not isinstance(self.screen, ModalScreen):
            self.go(place, "")

    def action_freeze(self) -> None:
        """Look no more, or again."""
        watch = self.desk.watch
        watch.frozen = not watch.frozen
        if not watch.frozen:
            watch.hurry()

    def action_pace(self, factor: float) -> None:
        """Look more often, or less often."""
        watch = self.desk.watch
        watch.seconds = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, watch.seconds * factor))
