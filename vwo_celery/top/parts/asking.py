"""The question before a change, and its progress with a way to stop it.

It says what will happen, in numbers, and takes one key. A change that drops events takes the capital Y.
If the process dies while somebody reads, nothing was changed.
"""

from __future__ import annotations

from threading import Event
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, ProgressBar

from vwo_celery.operating.operations import Amount
from vwo_celery.top.looking.changes import spelled
from vwo_celery.top.looking.plans import Plan
from vwo_celery.top.parts.words import joined, wrapped


class Question(ModalScreen[str | None]):
    """Ask whether to carry out a plan; the reason that was given, or None for no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "leave", "leave it as it is", show=False),
        Binding("y", "agree", "do it", show=False),
        Binding("Y", "agree_to_loss", "do it", show=False),
    ]

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def compose(self) -> ComposeResult:
        """The plan in words, and the keys."""
        plan = self._plan
        with Vertical(id="question", classes="destroys" if plan.destroys else "") as box:
            box.border_title = Content(plan.title)
            yield Label(joined([wrapped(line) for line in plan.lines]), id="will")
            if plan.takes_reason:
                yield Input(placeholder="reason, shown beside who and when (may be empty)")
            yield Label(Text(f"{_key(plan)} do it · Escape leave everything as it is", "bold"))

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)

    def action_agree(self) -> None:
        """Carry it out, unless it drops events, which takes the capital letter."""
        if not self._plan.destroys and not self._plan.takes_reason:
            self.dismiss("")

    def action_agree_to_loss(self) -> None:
        """Carry it out."""
        if not self._plan.takes_reason:
            self.dismiss("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Carry it out, with the reason."""
        self.dismiss(event.value.strip())


def _key(plan: Plan) -> str:
    if plan.takes_reason:
        return "Enter"
    return "Y (capital)" if plan.destroys else "y"


class Progress(ModalScreen[None]):
    """A bulk change under way; Escape stops it after the batch that it is at."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,s", "brake", "stop", show=False)]

    def __init__(self, plan: Plan, brake: Event) -> None:
        super().__init__()
        self._plan = plan
        self._brake = brake
        self._amount = Amount()

    def compose(self) -> ComposeResult:
        """How far it is, and how it is stopped."""
        with Vertical(id="question") as box:
            box.border_title = Content(self._plan.title)
            yield ProgressBar(total=self._plan.batches, show_eta=False)
            yield Label("", id="so-far", markup=False)
            yield Label(Text("Escape stops it after the batch that it is at", "bold"))

    def note(self, amount: Amount) -> None:
        """Show what has been changed so far."""
        self._amount = amount
        if self.is_mounted:
            self._show()

    def on_mount(self) -> None:
        """Show what was changed before there was a screen."""
        self._show()

    def _show(self) -> None:
        self.query_one(ProgressBar).update(progress=self._amount.batches)
        self.query_one("#so-far", Label).update(f"{spelled(self._amount)} so far")

    def end(self) -> None:
        """Go away: it has ended."""
        if self.is_current:
            self.dismiss()

    def action_brake(self) -> None:
        """Stop it."""
        self._brake.set()
        self.query_one("#so-far", Label).update("stopping after this batch")
