"""`vwo-celery ledger`: prove that every accepted event is somewhere."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vwo_celery.cli.documents import print_json
from vwo_celery.cli.output import Column, Row, print_rows, say
from vwo_celery.cli.session import Session, common_options, json_option, queue_option
from vwo_celery.operating import inspector
from vwo_celery.operating.inspector import Ledger, QueueView
from vwo_celery.text.amounts import count


@click.command()
@queue_option
@common_options
@json_option
@click.pass_context
def ledger(context: click.Context, queues: Sequence[str]) -> None:
    """Prove that every accepted event is somewhere.

    Exits 1 if a queue is out of balance, that is, if this does not hold:
    accepted = delivered + dead + dropped + pending + in flight + released;
    also if a part of a Redis Cluster is away, whose queues are not shown.
    """
    session = context.ensure_object(Session)
    found = session.fleet.registrations()
    chosen = inspector.choose(found.readable, queues, found.unreadable)
    views = inspector.view_queues(session.fleet, chosen)
    if not queues:
        views += inspector.view_strays(session.fleet, *found)
    views.sort(key=lambda view: view.queue)
    if session.json:
        print_json([view.ledger for view in views])
    else:
        _print_ledger(views, always=bool(queues))
    if not all(view.ledger.balanced for view in views):
        context.exit(1)


_LEDGER_COLUMNS = (
    Column("queue"), Column("accepted", number=True), Column("delivered", number=True),
    Column("dead", number=True), Column("dropped", number=True), Column("pending", number=True),
    Column("in flight", number=True), Column("released", number=True), Column("balanced"),
)  # fmt: skip
#: Texts between the numbers of a ledger that is printed as a block.
_EQUATION = (" = ", " + ", " + ", " + ", " + ", " + ", " · ")


def _print_ledger(views: Sequence[QueueView], *, always: bool) -> None:
    shown = [v for v in views if always or v.ledger.accepted or not v.ledger.balanced]
    if shown:
        print_rows(_LEDGER_COLUMNS, [_ledger_row(view) for view in shown], _EQUATION)
    if len(shown) < len(views):
        unused = count(len(views) - len(shown), "queue has", "queues have")
        say(f"{unused} never accepted an event", "dim")
    if not views:
        say("no queue is registered; an application registers its queue with its first event")


def _ledger_row(view: QueueView) -> Row:
    sums: Ledger = view.ledger
    numbers = (
        sums.accepted, sums.delivered, sums.dead, sums.dropped, sums.pending, sums.in_flight,
        sums.released,
    )  # fmt: skip
    notes = [(f"dropped {n:,}: {reason}", "yellow") for reason, n in view.dropped.items() if n]
    if not sums.balanced:
        notes.insert(
            0, ("out of balance: keys were deleted or evicted, or it is a bug", "bold red")
        )
    cells = [view.queue, *(f"{number:,}" for number in numbers), "yes" if sums.balanced else "NO"]
    return Row(cells, notes)
