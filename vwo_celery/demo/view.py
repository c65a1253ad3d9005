"""The demo on the screen: a story that stays, live numbers below it, and a table at the end.

Without a terminal, the live numbers become a line now and then. No thread
draws; `play` decides when the screen changes.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vwo_celery.demo.progress import Moment
from vwo_celery.demo.report import Sum
from vwo_celery.demo.stage import EVENTS_PER_REQUEST
from vwo_celery.text.amounts import count

_DRAW_EVERY_SECONDS = 0.2
_LINE_EVERY_SECONDS = 2.0
_BAR_WIDTH = 30
_PANEL_WIDTH = 78


class View:
    """The screen; `with` restores the terminal at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._shown_at = 0.0
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def say(self, text: str, style: str = "") -> None:
        """Print a line that stays: what has just happened."""
        line = Text.assemble((f"{self.seconds:5.1f} s  ", "dim"), (text, style))
        self._console.print(line, soft_wrap=True)

    @property
    def due(self) -> bool:
        """Whether it is time to show another moment."""
        every = _DRAW_EVERY_SECONDS if self._live is not None else _LINE_EVERY_SECONDS
        return time.monotonic() - self._shown_at >= every

    def show(self, moment: Moment) -> None:
        """Show the numbers of a moment, if anything has happened yet."""
        self._shown_at = time.monotonic()
        if not moment.accepted:
            return
        if self._live is not None:
            self._live.update(_panel(moment), refresh=True)
        else:
            self.say(_line(moment))

    def conclude(self, total: Sum) -> None:
        """Show the result."""
        if self._live is not None:
            self._live.update("", refresh=True)
        self._console.print(_result(total, self.seconds))
        for problem in total.problems():
            self._console.print(Text(f"Problem: {problem}.", style="bold red"))


def _panel(moment: Moment) -> Panel:
    numbers = Table.grid(padding=(0, 2))
    numbers.add_column(style="bold", min_width=9)
    numbers.add_column(justify="right", min_width=9)
    numbers.add_column()
    full = moment.waiting % EVENTS_PER_REQUEST
    numbers.add_row("enqueued", f"{moment.accepted:,}", "events from all replicas, in one queue")
    numbers.add_row(
        "waiting",
        f"{moment.waiting:,}",
        ProgressBar(total=EVENTS_PER_REQUEST, completed=full, width=_BAR_WIDTH),
    )
    numbers.add_row("in flight", f"{moment.in_flight:,}", "held by a worker until VWO answers")
    numbers.add_row("delivered", f"{moment.delivered:,}", f"in {count(moment.requests, 'request')}")
    numbers.add_row("", "", f"bar: the batch that fills, sent at {EVENTS_PER_REQUEST} events")
    numbers.add_row("saved", f"{moment.saved:,}", f"requests, of {moment.calls:,} calls of the SDK")
    lights = Text()
    for name in moment.running:
        lights.append("● ", style="green").append(f"{name}   ")
    for name in moment.gone:
        lights.append("○ ", style="red").append(f"{name}   ", style="red")
    return Panel(Group(numbers, lights), width=_PANEL_WIDTH, border_style="dim")


def _line(moment: Moment) -> str:
    return (
        f"enqueued {moment.accepted:,}, waiting {moment.waiting:,}, in flight {moment.in_flight:,}, "
        f"delivered {moment.delivered:,} in {count(moment.requests, 'request')}"
    )


def _result(total: Sum, seconds: float) -> Table:
    title = f"What came of it, after {seconds:.0f} s"
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE, show_header=False
    )
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for row in _rows(total):
        table.add_row(
            row.label, Text(row.number, style="bold red" if row.bad else "bold"), row.note
        )
    return table


class _Row(NamedTuple):
    label: str
    number: str
    note: str = ""
    bad: bool = False


def _rows(total: Sum) -> list[_Row]:
    each = total.enqueued / total.requests if total.requests else 0
    share = total.saved / total.calls if total.calls else 0
    ledger = "balanced" if total.ledger.balanced else "unbalanced"
    delay = f"{_spell(total.delay_p50)} / {_spell(total.delay_p95)} s"
    return [
        _Row(
            "Events",
            f"{total.enqueued:,}",
            f"by the receipts of {count(total.replicas, 'replica')}",
        ),
        _Row("Delivered", f"{total.delivered:,}", "of them, each seen by VWO"),
        _Row("Lost", f"{total.lost:,}", "neither at VWO nor in Redis", bad=total.lost > 0),
        _Row("Duplicates", f"{total.duplicates:,}", _why_duplicates(total)),
        _Row("Requests", f"{total.requests:,}", f"{each:.0f} events each"),
        _Row("In real time", f"{total.calls:,}", "the SDK without batching: one a call"),
        _Row("Requests saved", f"{total.saved:,}", f"{share:.1%}"),
        _Row("Delivery delay", delay, "p50 / p95, from the SDK's call to VWO"),
        _Row("A call of the SDK", f"{1000 * total.call_p50:.1f} ms", _enqueue_share(total)),
        _Row("Ledger", ledger, _ledger(total), bad=not total.ledger.balanced),
    ]


def _why_duplicates(total: Sum) -> str:
    if not total.retried:
        return "events that VWO got twice"
    batches = count(total.retried, "batch", "batches")
    if not total.duplicates:
        return f"got twice; {batches} sent again, not seen by VWO before"
    return (
        f"expected after a kill: VWO had {batches} whose worker died before it could note that; "
        "sent again, not lost"
    )


def _enqueue_share(total: Sum) -> str:
    return f"p50; one enqueue within it takes {1000 * total.enqueue_p50:.1f} ms"


def _ledger(total: Sum) -> str:
    ledger = total.ledger
    return (
        f"accepted {ledger.accepted:,} = delivered {ledger.delivered:,}\n"
        f"+ dead {ledger.dead:,} + dropped {ledger.dropped:,} + pending {ledger.pending:,}\n"
        f"+ in flight {ledger.in_flight:,} + released {ledger.released:,}"
    )


def _spell(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds:.2f}"
