"""The keys, and what the words mean. Nothing to lose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.text import Text
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from vwo_celery.top.parts.frame import Frame

#: What may be pressed, by where it holds; a key with "!" needs --operate.
KEYS: Final = {
    "Everywhere": {
        "g o": "overview", "g d": "dead letters", "g w": "workers", "g a": "audit",
        "g v": "verdict: all that the doctor found", "?": "this page", "Escape": "back",
        "space": "freeze: no further look, until it is pressed again", "+ -": "look more, or less often",
        "q": "quit; nothing that goes on in the queues ends by it",
    },
    "In lists": {
        "j k": "down, up; as the arrows do", "Enter": "open what the cursor is on",
        "x": "with --operate, mark the row or unmark it: f p r P act on all that are marked",
        "u": "take all marks away",
        "/": "filter: queues by name or state, dead letters by words such as answer:413 died:>2h",
    },
    "Overview, queue": {
        "s": "the next order of the queues", "t": "on a queue: batches of one state only",
        "d v": "dead letters, on a queue its own; on the overview the verdict",
        "f !": "flush: hand all that the queue holds, or those marked, to the workers now",
        "p !": "pause it, or those marked, with a reason; or resume where each is stopped",
    },
    "Dead letters, batch": {
        "r !": "redrive the batch under the cursor, or those marked; on its screen, events",
        "a !": "redrive all that match the filter",
        "P !": "purge the batch, or those marked; on its screen, events: dropped for good",
        "A !": "purge all that match the filter",
        "] [": "on a batch: the next events, those before",
    },
}  # fmt: skip
_WORDS: Final = (
    "Each change says first what it will do, in numbers, and asks. A capital letter drops events.",
    "Keys with ! are there with --operate only. Each change is in the audit, with the door top.",
    "oldest: the age of the oldest event, of the interval after which a batch leaves at the latest.",
    "A gap in a chart is a minute without a sample: no worker ran, or nothing was held for long.",
)


class HelpScreen(Frame):
    """Keys and words."""

    page = "help"

    def body(self) -> Iterable[Widget]:
        """What the screen shows."""
        with VerticalScroll(id="all") as box:
            box.border_title = Content("keys")
            yield Static(_text())


def _text() -> Text:
    text = Text()
    for where, keys in KEYS.items():
        text.append(f"{where}\n", "bold")
        for key, does in keys.items():
            text.append(f"  {key:<8}", "bold").append(f"{does}\n")
        text.append("\n")
    return text.append("\n".join(_WORDS), "dim")
