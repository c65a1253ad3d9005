"""`vwo-celery dead list` and `dead show`: dead letters and their events, without a change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import click
import msgspec

from vwo_celery.cli.dead.choosing import Choice, Words, filters
from vwo_celery.cli.dead.group import dead
from vwo_celery.cli.shared.documents import print_json, print_json_line, print_json_list
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.output import Column, Row, moment, print_rows, say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import SCAN_EVENTS, events_of
from vwo_celery.operating.batches.found import NO_ATTEMPTS, WHY_NO_ATTEMPTS, DeadBatch
from vwo_celery.operating.batches.showing import cut, decoded, masked
from vwo_celery.text.amounts import count, span

#: Most batches that `dead list` prints, and most events of each that `--events` alone shows.
_LISTED_BATCHES = 50
_SHOWN_EVENTS = 3
#: Most places of matching events that a row names.
_SHOWN_PLACES = 5
_ALL = "all"


def _read_number(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> int | str | None:
    """Read a number of events, or "all"."""
    if text is None or text == _ALL:
        return text
    if not text.isdecimal() or int(text) < 1:
        reason = f"{text!r} is neither a number from 1 on nor {_ALL}"
        raise click.BadParameter(reason, ctx=context, param=parameter)
    return int(text)


@dead.command("list")
@filters
@click.option(
    "--events", callback=_read_number, is_flag=False, flag_value=str(_SHOWN_EVENTS), metavar="N",
    help=f"Show the first N events of each batch, or all.  [default: {_SHOWN_EVENTS}]",
)  # fmt: skip
@click.option(
    "--most", "--limit", "most", type=click.IntRange(min=1), metavar="N",
    help=f"Most batches to list.  [default: {_LISTED_BATCHES}; with --json all]",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def list_(context: click.Context, /, events: Any, most: int | None, **options: Any) -> None:
    """List dead letters: since when, why, after how many attempts.

    The newest come first. Exits 1 if some could not be looked at.
    """
    session = context.ensure_object(Session)
    choice = Choice(session, Words.taken_from(options))
    choice.check_batches()
    if session.json:
        print_json_list(_document(session, choice, each, events) for each in islice(choice, most))
    else:
        _print(session, choice, events, most or _LISTED_BATCHES)
    choice.say_rest(context)


def _print(session: Session, choice: Choice, events: Any, most: int) -> None:
    found = iter(choice)
    shown = [*islice(found, most)]
    batches, number = len(shown), sum(each.events for each in shown)
    for each in found:
        batches, number = batches + 1, number + each.events
    if not shown:
        say("no dead letter matches" if choice.filter else "no dead letters")
        return
    print_rows(_COLUMNS, [_row(each) for each in shown])
    say()
    if not all(each.attempts for each in shown):
        say(WHY_NO_ATTEMPTS, "dim")
    if events is not None:
        for each in shown:
            _print_events(session, choice, each, events)
    more = f"; the newest {len(shown)} are listed, see --most" if len(shown) < batches else ""
    say(f"{count(number, 'event')} in {count(batches, 'batch', 'batches')}{more}", "dim")


_COLUMNS = (
    Column("batch"), Column("queue"), Column("events", number=True), Column("died"),
    Column("attempts", number=True), Column("why", wrap=True),
)  # fmt: skip


def _row(each: DeadBatch) -> Row:
    cells = [
        each.batch, each.queue, f"{each.events:,}", _died(each), str(each.attempts or NO_ATTEMPTS),
        each.reason or "-",
    ]  # fmt: skip
    return Row(cells, [(_matching(each), "dim")] if each.matching_events else [])


def _died(each: DeadBatch) -> str:
    return f"{moment(each.died_ms)}, {span(each.died_age_seconds)} ago"


def _matching(each: DeadBatch) -> str:
    places = each.matching_events
    named = ", ".join(map(str, places[:_SHOWN_PLACES]))
    more = f" and {len(places) - _SHOWN_PLACES} more" if len(places) > _SHOWN_PLACES else ""
    return f"matching {'event' if len(places) == 1 else 'events'}: {named}{more}"


def _print_events(session: Session, choice: Choice, each: DeadBatch, events: Any) -> None:
    """Print events by their places, page by page, so that all of a large batch need no memory."""
    print_line(f"{each.batch}:", bold=True)
    shown = 0
    for shown, text in enumerate(_texts(session, choice, each, events), 1):
        print_line(f"{shown:>6}  {cut(text)}")
    if each.events > shown:
        print_line(f"        and {count(each.events - shown, 'further event')}", dim=True)
    say()


def _texts(session: Session, choice: Choice, each: DeadBatch, events: Any) -> Iterator[str]:
    """The events of a batch, the oldest first, with the SDK key masked."""
    key = choice.sdk_key(each.queue)
    most = None if events == _ALL else events
    return (masked(event, key) for event in events_of(session.fleet, each, most))


def _document(session: Session, choice: Choice, each: DeadBatch, events: Any) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(each)
    if events is not None:
        document["first_events"] = [decoded(text) for text in _texts(session, choice, each, events)]
    return document


@dead.command()
@click.argument("batch", metavar="BATCH")
@click.option(
    "--events", callback=_read_number, default=_ALL, metavar="N",
    help="Show the first N events.  [default: all]",
)  # fmt: skip
@click.option(
    "--lines", is_flag=True, help="Print nothing but the events, each as JSON on its own line."
)
@common_options
@json_option
@click.pass_context
def show(context: click.Context, batch: str, events: Any, lines: bool) -> None:
    """Show a dead letter with all of its events, each with its place.

    The SDK key is masked. The places are those that redrive and purge take as --event.
    """
    session = context.ensure_object(Session)
    choice = Choice(session, Words(Filter(), (), (batch,), "", SCAN_EVENTS))
    each = next(iter(choice), None)
    if each is None:
        choice.say_rest(context)
        raise click.ClickException(f"no dead letter has the id {batch}; see: vwo-celery dead list")
    if lines:
        for text in _texts(session, choice, each, events):
            print_json_line(decoded(text))
    elif session.json:
        print_json(_document(session, choice, each, events))
    else:
        print_rows(_COLUMNS, [_row(each)])
        say()
        _print_events(session, choice, each, events)
