"""What every screen has: its head, what was done last, its keys, and the looks that it follows.

Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from threading import Event
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, Static

from vwo_celery.text.amounts import count, span
from vwo_celery.text.lines import one_line
from vwo_celery.top.looking.desk import Desk
from vwo_celery.top.looking.plans import Nothing, Plan
from vwo_celery.top.looking.scenes import Scene
from vwo_celery.top.parts.asking import Progress, Question
from vwo_celery.top.parts.tables import Table


class Frame(Screen[None]):
    """A screen that follows the looks.

    Args:
        desk: What all screens share.

    Attributes:
        page: Its name, in the head.
        changes: Names of its actions that change something: without --operate, they are not there.
    """

    page = ""
    changes: frozenset[str] = frozenset()
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace", "back", "Back")]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._planning = self._ready = False
        self._said: dict[str, Text] = {}

    def compose(self) -> ComposeResult:
        """Head, body, what was done, keys."""
        yield Static(id="head")
        yield Static(id="away")
        yield from self.body()
        yield Static(id="did")
        yield Footer(show_command_palette=False, compact=True)

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        return ()

    def follow(self, scene: Scene) -> None:
        """Show what a look saw."""

    def on_mount(self) -> None:
        """Show what is known already; subclasses' own is called before this one."""
        self._ready = True
        self.show()

    def on_screen_resume(self) -> None:
        """Show what was seen while another screen was on top."""
        self.show()

    def show(self) -> None:
        """Show what is known now."""
        if not self._ready:
            return
        if self.desk.scene is not None:
            self.follow(self.desk.scene)
        self.tick()

    def tick(self) -> None:
        """Show what changes by itself: how long Redis has been silent, and what was done."""
        if not self._ready:
            return
        away, did = self.desk.away, self.desk.did
        self.say("#head", self._head())
        self.say("#away", Text(one_line(away), "bold"))
        self.query_one("#away").display = bool(away)
        self.say("#did", Text(did))
        self.query_one("#did").display = bool(did)
        self.set_class(bool(away), "stale")

    def tell(self, words: str) -> None:
        """Have these words in the line that says what was done last."""
        self.desk.did = one_line(words)
        self.tick()

    def say(self, where: str, text: Text) -> None:
        """Have a text stand in one of the screen's parts; nothing is drawn anew if it does already."""
        if self._said.get(where) != text:
            self._said[where] = text
            self.query_one(where, Static).update(text)

    def _head(self) -> Text:
        desk, page = self.desk, self.page
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append("vwo-celery top", "bold")
        text.append(" · may operate" if desk.operate else " · read-only")
        text.append(f" · {page} · " if page else " · ")
        text.append(_seen(desk))
        return text.append(one_line(f" · {desk.source.place}"), "dim")

    def action_back(self) -> None:
        """Back to the screen beneath."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether an action is there: those that change something need --operate."""
        return self.desk.operate or action not in self.changes

    def change(self, plan: Any) -> None:
        """Plan a change, ask, and carry it out.

        Args:
            plan: Given the queues, makes the plan or says why there is `Nothing` to change.
        """
        if self._planning:
            return
        self._planning = True
        self.desk.ask(plan, self._ask, self._cannot)

    def _cannot(self, why: str) -> None:
        self._planning = False
        self.tell(why)

    def _ask(self, plan: Plan | Nothing) -> None:
        self._planning = False
        if isinstance(plan, Nothing):
            self.tell(plan.why)
        else:
            self.app.push_screen(Question(plan), partial(self._agreed, plan))

    def _agreed(self, plan: Plan, reason: str | None) -> None:
        if reason is None:
            return
        for table in self.query(Table):
            table.unmark()
        brake = Event()
        if plan.batches is None:
            self.desk.act(plan, reason, brake, lambda _: None, lambda: None)
            return
        progress = Progress(plan, brake)
        self.app.push_screen(progress)
        self.desk.act(plan, reason, brake, progress.note, progress.end)


def _seen(desk: Desk) -> str:
    """When the last look was, and who works, in words."""
    scene = desk.scene
    if scene is None:
        return "looking for the first time"
    every = "frozen" if desk.watch.frozen else f"every {span(desk.watch.seconds)}"
    return f"{_who(scene)} · {scene.clock}, {every}"


def _who(scene: Scene) -> str:
    heard, sweeps = scene.look.heard, scene.look.sweeps_ms
    workers = (
        "workers not known"
        if heard is None
        else count(len(heard), "worker listens", "workers listen")
    )
    if sweeps is None:
        return workers
    last_ms = max(sweeps.values(), default=0)
    if not last_ms:
        return f"{workers}, never swept"
    return f"{workers}, swept {span(max(0, scene.look.now_ms - last_ms) / 1000)} ago"
