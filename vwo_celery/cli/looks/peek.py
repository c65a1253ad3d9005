"""`vwo-celery peek`: the next events of a queue, without changing anything."""

from __future__ import annotations

import click
import msgspec

from vwo_celery.cli.shared.completing import queue_argument
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import Column, Row, print_rows, say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.operating.batches import peeking
from vwo_celery.operating.batches.showing import cut, decoded, masked
from vwo_celery.text.amounts import count

#: Events that are shown, and the most that can be asked for.
_SHOWN_EVENTS = 10
_MOST_EVENTS = 1000


@click.command()
@queue_argument
@click.option(
    "--state", "states", type=click.Choice(peeking.STATES), multiple=True, metavar="STATE",
    help=f"Only events that are {', '.join(peeking.STATES)}; may be repeated.  [default: all but dead]",
)  # fmt: skip
@click.option(
    "--most", type=click.IntRange(1, _MOST_EVENTS), default=_SHOWN_EVENTS, show_default=True,
    metavar="N", help="Most events to show.",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def peek(context: click.Context, queue: str, states: tuple[peeking.Where, ...], most: int) -> None:
    """Show the next events of a queue, without changing anything.

    First those in flight, then ready, released and open ones; of each, those that leave first. The
    SDK key is masked.
    """
    session = context.ensure_object(Session)
    registration = session.choose([queue])[queue]
    found = peeking.peek(session.fleet, queue, registration, states or peeking.LEAVING, most)
    key = registration.destination.sdk_key
    shown = [(each, masked(each.event, key)) for each in found]
    if session.json:
        print_json([msgspec.to_builtins(each) | {"event": decoded(text)} for each, text in shown])
    elif not shown:
        say(f"no event is {' or '.join(states or peeking.LEAVING)}".replace("_", " "))
    else:
        print_rows(_COLUMNS, [_row(each, text) for each, text in shown])
        say()
        say(f"{count(len(shown), 'event')}; --most N shows others, if there are more", "dim")


_COLUMNS = (
    Column("state"), Column("batch"), Column("place", number=True), Column("event", wrap=True),
)  # fmt: skip


def _row(each: peeking.PeekedEvent, text: str) -> Row:
    return Row([each.state.replace("_", " "), each.batch or "-", f"{each.place:,}", cut(text)])
