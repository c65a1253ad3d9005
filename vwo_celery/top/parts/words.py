"""Texts from outside, made safe to show, and the styles of the project's grades. Nothing to lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.text import Text

from vwo_celery.operating.doctor import Finding
from vwo_celery.operating.looks.notes import Note
from vwo_celery.text.lines import one_line

#: Most letters of a reason in a list.
_LISTED_LETTERS = 60
#: The project's grades in colours that stay bright where they become greys, as with NO_COLOR.
_STYLES = {
    "bold red": "bold #ff8a8a", "red": "#ff8a8a", "yellow": "#ffc45c", "green": "#8fdb6b",
}  # fmt: skip
#: Styles of findings by their state.
_FINDING_STYLES = {"problem": "bold red", "warn": "yellow", "ok": "green"}


def safe(text: str, style: str = "", *, right: bool = False) -> Text:
    """*text* as one line in which nothing is obeyed: neither letters nor marks of a style."""
    justify: Literal["right"] | None = "right" if right else None
    return Text(one_line(text), _STYLES.get(style, style), no_wrap=True, justify=justify)


def wrapped(text: str, style: str = "") -> Text:
    """*text* as a paragraph that is as wide as there is room."""
    return Text(one_line(text), _STYLES.get(style, style))


def shortened(text: str) -> str:
    """The beginning of a text for a list; the screen that the row opens has all of it."""
    return text if len(text) <= _LISTED_LETTERS else f"{text[: _LISTED_LETTERS - 1]}…"


def lines_of(notes: Sequence[Note]) -> list[Text]:
    """Notes on a queue, one a paragraph."""
    return [wrapped(note.text, note.style) for note in notes]


def finding_lines(finding: Finding) -> Text:
    """A finding with its remedy beneath it."""
    text = Text()
    text.append(f"{finding.check} ", "bold")
    if finding.id:
        text.append(f"{finding.id} ", "dim")
    text.append(one_line(finding.what), _STYLES[_FINDING_STYLES[finding.state]])
    if finding.remedy:
        text.append(f"\n  → {one_line(finding.remedy)}")
    return text


def joined(paragraphs: Sequence[Text]) -> Text:
    """Paragraphs beneath one another."""
    return Text("\n").join(paragraphs)
