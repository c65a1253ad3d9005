"""`vwo-celery plan`: what other sizes and intervals would have meant for the last hour's events."""

from __future__ import annotations

import re
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
from vwo_celery.operating.past.memory import Outage
from vwo_celery.operating.past.planning import Choice, Plan
from vwo_celery.text.amounts import count, size, span

#: Seconds of each unit that a length of time may have.
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> float | None:
    """Seconds of a length of time as people write it, such as 6h."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd]?)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no length of time such as 90m, 6h or 2d")
    return float(found[1]) * _UNITS[found[2]]


@click.command()
@queue_option
@click.option(
    "--age", type=click.FloatRange(min=0), metavar="SECONDS",
    help="The age by which 95 of 100 events are to leave.  [default: as with the choice in force]",
)  # fmt: skip
@click.option(
    "--outage", callback=_seconds, metavar="LENGTH",
    help="Say also what memory Redis needs to bear an outage of VWO that long, such as 6h.",
)  # fmt: skip
@common_options
@json_option
@pass_session
def plan(session: Session, queues: Sequence[str], age: float | None, outage: float | None) -> None:
    """Compare sizes and intervals of batches for what came in the last hour.

    For each choice of events_per_request and request_time_interval: the requests to VWO in an hour,
    the age at which events leave, and the limit that most batches meet first. The recommended choice
    needs the fewest requests while 95 of 100 events leave by the given age. It goes by what came in
    each minute, taken as even within the minute.
    """
    plans = view_plans(session.fleet, session.choose(queues), age_seconds=age)
    if outage is not None:
        dead = session.settings.max_dead_events
        plans = [planning.with_outage(each, outage, dead) for each in plans]
    if session.json:
        print_json(plans)
        return
    for each in plans:
        _print_plan(each)
    if outage is not None:
        _print_outages([each.outage for each in plans if each.outage], len(plans))
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


def _print_outages(found: Sequence[Outage], queues: int) -> None:
    if not found:
        say("no event waited at any sample, so its size is not known, nor the memory needed")
        return
    events, most = sum(each.events for each in found), sum(each.maxmemory_bytes for each in found)
    those = "" if len(found) == queues else f" of the {count(len(found), 'queue')} with known sizes"
    say(
        f"an outage of {span(found[0].seconds)} at the busiest minute's rate leaves "
        f"{count(events, 'event')}{those}: maxmemory {size(most)} at least, with the most dead letters "
        "and without Celery's broker; give the host twice that"
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
