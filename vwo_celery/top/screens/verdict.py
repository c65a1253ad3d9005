"""All that the doctor found, the worst first, each with its remedy. Nothing to lose."""

from __future__ import annotations

from collections.abc import Iterable

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from vwo_celery.operating.doctor.kinds import RUNBOOK
from vwo_celery.text.amounts import count, span
from vwo_celery.text.wording import page
from vwo_celery.top.parts.frame import Frame
from vwo_celery.top.parts.words import finding_lines, joined, wrapped


class VerdictScreen(Frame):
    """Every finding."""

    page = "verdict"

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        with VerticalScroll(id="all"):
            yield Static(id="findings")

    def tick(self) -> None:
        """Show the findings and their age."""
        super().tick()
        verdict, box = self.desk.verdict, self.query_one("#all")
        if verdict is None:
            box.border_title = Content("the doctor looks for the first time")
            return
        checks = count(len(verdict.findings), "check")
        box.border_title = Content(f"{checks}, {span(int(verdict.age_seconds))} ago")
        footer = wrapped(f"Each id has a section in {page(RUNBOOK)}", "dim")
        self.say("#findings", joined([*map(finding_lines, verdict.findings), footer]))
