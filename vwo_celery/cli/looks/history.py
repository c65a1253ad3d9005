"""`vwo-celery history`: what came, what left and what waited, minute by minute or hour by hour."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import Column, Row, moment, print_rows, say
from vwo_celery.cli.shared.session import (
    Session,
    common_options,
    json_option,
    pass_session,
    queue_option,
)
from vwo_celery.operating.past import history as past
from vwo_celery.operating.past.history import SPANS, QueueHistory, Step
from vwo_celery.text.amounts import count, span

#: Most rows that are printed of one queue.
_MOST_ROWS = 24
#: Share of a step's usual length from which samples are missing in it.
_MISSING = 1.5


@click.command()
@queue_option
@click.option(
    "--span", "length", type=click.Choice(list(SPANS)), default="1h", show_default=True, metavar="SPAN",
    help="How far to look back: 15m, 1h, 8h, 24h, 7d or 90d.",
)  # fmt: skip
@common_options
@json_option
@pass_session
def history(session: Session, queues: Sequence[str], length: str) -> None:
    """Show what came, what left and what waited.

    Samples are kept by the minute for 8 hours, by ten minutes for 7 days and by the hour for 90 days
    (see the setting `history`). Nothing is sampled while no worker runs, or of a queue that has held
    nothing for ten minutes: such a time is shown as one long step.
    """
    found = past.view_history(session.fleet, session.choose(queues), span_seconds=SPANS[length])
    if session.json:
        print_json(found)
        return
    shown = [each for each in found if each.steps]
    for each in shown:
        _print_history(each)
    if len(shown) < len(found) or not found:
        names = ", ".join(each.queue for each in found if not each.steps) or "any queue"
        say(no_samples(names), "dim")


def no_samples(queues: str) -> str:
    """Words for queues of which there is no history yet."""
    return f"no two samples yet of {queues}: a worker takes one a minute while it runs"


_COLUMNS = (
    Column("until"), Column("for", number=True), Column("accepted", number=True),
    Column("delivered", number=True), Column("dropped", number=True), Column("waiting", number=True),
    Column("oldest", number=True), Column("dead", number=True),
)  # fmt: skip


def _print_history(found: QueueHistory) -> None:
    say(found.queue, "bold")
    steps = past.coarser(found.steps, _MOST_ROWS)
    usual = found.period_seconds * -(-len(found.steps) // _MOST_ROWS)
    print_rows(_COLUMNS, [_row(step, usual) for step in steps])
    say()


def _row(step: Step, usual_seconds: float) -> Row:
    cells = [
        moment(step.at_ms), span(step.seconds), _number(step.accepted), _number(step.delivered),
        _number(step.dropped), f"{step.undelivered:,}",
        span(step.oldest_seconds) if step.undelivered else "-", f"{step.dead:,}",
    ]  # fmt: skip
    notes = []
    if step.accepted is None:
        notes.append(
            ("the counters began anew: Redis lost them, or the queue was forgotten", "yellow")
        )
    if step.refused:
        notes.append((f"{step.refused:,} refused, since the queue was full", "bold red"))
    if step.failed:
        notes.append(
            (f"VWO did not accept {step.failed:,} of {count(step.tries or 0, 'request')}", "yellow")
        )
    if step.stopped:
        notes.append(("paused, or VWO did not accept", "yellow"))
    if step.seconds > _MISSING * usual_seconds:
        notes.append(("samples are missing: no worker ran, or nothing was held for long", "dim"))
    return Row(cells, notes)


def _number(events: int | None) -> str:
    return "?" if events is None else f"{events:,}"
