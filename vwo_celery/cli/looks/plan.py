"""`vwo-celery plan`: what other sizes and intervals would have meant for the last hour's events."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vwo_celery.cli.looks.history import no_samples
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import Column, Row, print_rows, say
from vwo_celery.cli.shared.session import (
    Session,
    common_options,
    json_option,
    pass_session,
    queue_option,
)
from vwo_celery.operating.past import planning
from vwo_celery.operating.past.history import view_plans
from vwo_celery.operating.past.planning import Choice, Plan
from vwo_celery.text.amounts import count, size, span


@click.command()
@queue_option
@click.option(
    "--age", type=click.FloatRange(min=0), metavar="SECONDS",
    help="The age by which 95 of 100 events are to leave.  [default: as with the choice in force]",
)  # fmt: skip
@common_options
@json_option
@pass_session
def plan(session: Session, queues: Sequence[str], age: float | None) -> None:
    """Compare sizes and intervals of batches for what came in the last hour.

    For each choice of events_per_request and request_time_interval: the requests to VWO in an hour,
    the age at which events leave, and the limit that most batches meet first. The recommended choice
    needs the fewest requests while 95 of 100 events leave by the given age. It goes by what came in
    each minute, taken as even within the minute.
    """
    plans = view_plans(session.fleet, session.choose(queues), age_seconds=age)
    if session.json:
        print_json(plans)
        return
    for each in plans:
        _print_plan(each)
    if any(each.choices for each in plans):
        say(_LEGEND, "dim")
    if not plans:
        say("no queue is registered; an application registers its queue with its first event")


_COLUMNS = (
    Column(""), Column("size", number=True), Column("interval", number=True),
    Column("requests/h", number=True), Column("half by", number=True),
    Column("95 of 100 by", number=True), Column("limit"),
)  # fmt: skip
_LEGEND = (
    "size is events_per_request, interval is request_time_interval; half of the events, and 95 of "
    "100, leave by that age; limit is what most batches meet first"
)


def _print_plan(found: Plan) -> None:
    if not found.seconds:
        say(no_samples(found.queue), "dim")
        return
    if not found.choices or found.current is None:
        say(f"{found.queue}: no event came within what is sampled of the last hour", "dim")
        return
    events, over = count(found.events, "event"), span(found.seconds)
    bytes_each = f", {size(found.event_bytes)} each" if found.event_bytes else ""
    say(f"{found.queue}: {events} in {over}{bytes_each}", "bold")
    kept = planning.worthwhile(found.choices)
    marked = {found.current: "now", found.recommended: "recommended"}
    if found.recommended == found.current:
        marked[found.current] = "now, recommended"
    rows = sorted({*kept, *(choice for choice in marked if choice)}, key=_order)
    print_rows(_COLUMNS, [_row(choice, marked.get(choice, "")) for choice in rows])
    if found.recommended is None:
        say("no choice lets 95 of 100 events leave by the given age", "yellow")
    if found.post_seconds is not None:
        say(
            f"in the busiest minute {found.busiest_events_a_second:,.1f} events came in a second; "
            f"max_parallel_sends keeps up while VWO answers within {span(found.post_seconds)}",
            "dim",
        )
    say()


def _order(choice: Choice) -> tuple[float, float]:
    return choice.age_p95_seconds, choice.requests_an_hour


def _row(choice: Choice, mark: str) -> Row:
    cells = [
        mark, f"{choice.events_per_request:,}", span(choice.request_time_interval),
        f"{choice.requests_an_hour:,.0f}", span(choice.age_p50_seconds),
        span(choice.age_p95_seconds), choice.limit,
    ]  # fmt: skip
    return Row(cells)
