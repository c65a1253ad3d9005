"""`vwo-celery dead list`, `add`, `redrive` and `purge`: dead letters, shown, made, sent again, dropped.

Only `purge` drops anything, and it asks first. If the command dies half-way, the
batches it has not come to are unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec
from rich.progress import Progress

from vwo_celery.cli.brakes import brake_by_signal
from vwo_celery.cli.documents import print_json
from vwo_celery.cli.output import Column, Row, console, moment, print_rows, say
from vwo_celery.cli.session import Session, common_options, json_option, queue_option
from vwo_celery.operating import batches as finding
from vwo_celery.operating import operations
from vwo_celery.operating.batches import DeadBatch
from vwo_celery.operating.operations import Amount, Counted, Done, Order, Pace
from vwo_celery.text.amounts import count, span
from vwo_celery.text.masking import mask

#: Most batches that `dead list` prints, and most events of each that `--events` shows.
_LISTED_BATCHES = 50
_SHOWN_EVENTS = 3
#: Most characters of one event in the table; --json prints all of them.
_SHOWN_CHARACTERS = 4_000

Decorated = TypeVar("Decorated", bound=Any)


@click.group()
def dead() -> None:
    """List, add, redrive or purge dead letters: batches that are sent no more."""


def _filters(function: Decorated) -> Decorated:
    options = (
        queue_option,
        click.option(
            "--batch",
            "batches",
            multiple=True,
            metavar="ID",
            help="Only this batch; may be repeated.",
        ),
        click.option(
            "--reason", default="", metavar="TEXT", help="Only those whose reason contains TEXT."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _find(
    session: Session, queues: Sequence[str], batches: Sequence[str], reason: str
) -> list[DeadBatch]:
    chosen = session.choose(queues)
    found = finding.find_dead(session.fleet, chosen, batches=batches, reason=reason)
    missing = sorted(set(batches) - {each.batch for each in found})
    if missing:
        raise click.ClickException(
            f"no dead letter that matches has the id {', '.join(missing)}; nothing was "
            "changed; see: vwo-celery dead list"
        )
    return found


@dead.command("list")
@_filters
@click.option("--events", "with_events", is_flag=True, help="Show the first events of each batch.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N",
    help=f"Most batches to list.  [default: {_LISTED_BATCHES}; with --json all]",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def list_(
    context: click.Context,
    queues: Sequence[str],
    batches: Sequence[str],
    reason: str,
    with_events: bool,
    limit: int | None,
) -> None:
    """List dead letters: since when, why, after how many attempts.

    The newest come first.
    """
    session = context.ensure_object(Session)
    found = _find(session, queues, batches, reason)
    if session.json:
        shown = found[:limit] if limit else found
        print_json([_document(session, each, with_events=with_events) for each in shown])
        return
    shown = found[: limit or _LISTED_BATCHES]
    if not found:
        say("no dead letters")
        return
    rows = [_row(session, each, with_events=with_events) for each in shown]
    print_rows(_COLUMNS, rows)
    listed = f"; the newest {len(shown)} are listed, see --limit" if len(shown) < len(found) else ""
    say()
    say(f"{_sum(found)}{listed}", "dim")


_COLUMNS = (
    Column("batch"), Column("queue"), Column("events", number=True), Column("died"),
    Column("attempts", number=True), Column("why", wrap=True),
)  # fmt: skip


def _sum(found: Sequence[DeadBatch]) -> str:
    events = sum(each.events for each in found)
    return f"{count(events, 'event')} in {count(len(found), 'batch', 'batches')}"


def _row(session: Session, each: DeadBatch, *, with_events: bool) -> Row:
    cells = [
        each.batch, each.queue, f"{each.events:,}",
        f"{moment(each.died_ms)}, {span(each.died_age_seconds)} ago",
        str(each.attempts), each.reason or "-",
    ]  # fmt: skip
    shown = [_cut(event) for event in _events(session, each)] if with_events else []
    notes = [(event, "") for event in shown]
    if shown and each.events > len(shown):
        notes.append((f"and {count(each.events - len(shown), 'further event')}", "dim"))
    return Row(cells, notes)


def _cut(event: str) -> str:
    rest = len(event) - _SHOWN_CHARACTERS
    return f"{event[:_SHOWN_CHARACTERS]}… and {rest:,} further characters" if rest > 0 else event


def _document(session: Session, each: DeadBatch, *, with_events: bool) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(each)
    if with_events:
        document["first_events"] = [_decoded(event) for event in _events(session, each)]
    return document


def _decoded(event: str) -> Any:
    """An event, decoded, or its text if another program pushed something that is not JSON."""
    try:
        return msgspec.json.decode(event)
    except msgspec.DecodeError:
        return event


def _events(session: Session, each: DeadBatch) -> list[str]:
    """The first events of a batch; the SDK key, which SDKs write into some of them, is masked."""
    key = session.fleet.registration(each.queue).destination.sdk_key
    texts = finding.first_events(session.fleet, each, _SHOWN_EVENTS)
    return [text.decode("utf-8", "replace").replace(key, mask(key)) for text in texts]


_dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Only say what would be done, and change nothing."
)


@dead.command("add")
@queue_option
@click.option(
    "--batch",
    "batches",
    multiple=True,
    required=True,
    metavar="ID",
    help="The batch, as status names it; may be repeated.",
)
@click.option(
    "--reason", default="", metavar="TEXT", help="Shown by dead list, beside who added it."
)
@_dry_run_option
@common_options
@json_option
@click.pass_context
def add(
    context: click.Context,
    queues: Sequence[str],
    batches: Sequence[str],
    reason: str,
    dry_run: bool,
) -> None:
    """Take batches out of delivery, and keep them as dead letters.

    For a batch that fails again and again. It must be ready or released, not in flight. Exits 1 if
    one of them is not; the others are taken.
    """
    session = context.ensure_object(Session)
    chosen = session.choose(queues)
    found = finding.find_waiting(session.fleet, chosen, batches)
    waiting = [each for each in found if each.state != "in_flight"]
    added = waiting
    if not dry_run:
        added = operations.add_dead(session.fleet, session.actor, waiting, reason)
    done = Amount(len(added), sum(each.events for each in added))
    _report(session, "would_be_added" if dry_run else "added", done)
    missing = sorted(set(batches) - {each.batch for each in added})
    if missing:
        raise click.ClickException(
            f"not ready or released, and left as it is: {', '.join(missing)}; it may be in flight, "
            "dead or delivered; see: vwo-celery status"
        )


def _pace_options(function: Decorated) -> Decorated:
    options = (
        click.option(
            "--rate", type=click.FloatRange(min=0, min_open=True), metavar="EVENTS/S",
            help="Most events a second.  [default: as fast as Redis allows]",
        ),
        click.option(
            "--most", type=click.IntRange(min=1), metavar="N",
            help="Most batches to change; the others stay as they are.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@dead.command()
@_filters
@_dry_run_option
@_pace_options
@common_options
@json_option
@click.pass_context
def redrive(
    context: click.Context,
    queues: Sequence[str],
    batches: Sequence[str],
    reason: str,
    dry_run: bool,
    rate: float | None,
    most: int | None,
) -> None:
    """Put dead letters back to be sent.

    All of them, unless filtered. A batch goes back unchanged, with a new age. If VWO still refuses
    it, it becomes a dead letter again, and is left alone. Ctrl-C ends the work after the batch that
    it is at; the same command goes on from there.
    """
    session = context.ensure_object(Session)
    now_ms = session.fleet.now_ms()
    found = _find(session, queues, batches, reason)
    counted = operations.count_dead(found, now_ms)
    if dry_run:
        _report(session, "would_be_redriven", counted.amount)
        return
    done = _work(
        session, counted, _typed(queues, batches, reason), Pace(rate, most),
        lambda order: operations.redrive(session.fleet, session.actor, found, order),
    )  # fmt: skip
    _report_done(context, session, "redriven", done)


@dead.command()
@_filters
@_dry_run_option
@_pace_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@json_option
@click.pass_context
def purge(
    context: click.Context,
    queues: Sequence[str],
    batches: Sequence[str],
    reason: str,
    dry_run: bool,
    rate: float | None,
    most: int | None,
    yes: bool,
) -> None:
    """Drop dead letters for good, after asking.

    All of them, unless filtered; those that die after they were counted stay. They are counted in
    the ledger as dropped. Ctrl-C ends the work after the batch that it is at.
    """
    session = context.ensure_object(Session)
    now_ms = session.fleet.now_ms()
    found = _find(session, queues, batches, reason)
    counted = operations.count_dead(found, now_ms)
    if dry_run:
        _report(session, "would_be_purged", counted.amount)
        return
    if counted.amount.batches and not yes:
        names = count(len(counted.queues), "queue")
        click.confirm(f"Drop {_spelled(counted.amount)} of {names} for good?", abort=True, err=True)
    done = _work(
        session, counted, _typed(queues, batches, reason), Pace(rate, most),
        lambda order: operations.purge(session.fleet, session.actor, found, order),
    )  # fmt: skip
    _report_done(context, session, "purged", done)


def _typed(queues: Sequence[str], batches: Sequence[str], reason: str) -> str:
    """The options as one filter, for the audit."""
    words = [*(f"queue:{each}" for each in queues), *(f"batch:{each}" for each in batches)]
    return " ".join([*words, f'reason:"{reason}"'] if reason else words)


def _work(
    session: Session, counted: Counted, typed: str, pace: Pace, work: Callable[[Order], Done]
) -> Done:
    """Do the work on what was counted, with progress, until it is done or Ctrl-C stops it."""
    out = console(stderr=True)
    quiet = session.json or not out.is_terminal
    with Progress(console=out, transient=True, disable=quiet) as bar, brake_by_signal() as brake:
        line = bar.add_task("batches", total=counted.amount.batches)

        def step(changed: Amount) -> None:
            bar.update(line, completed=changed.batches)

        return work(Order(counted, filter=typed, pace=pace, brake=brake, watch=step))


def _report(session: Session, what: str, amount: Amount) -> None:
    if session.json:
        print_json({what: amount})
    else:
        say(f"{_spelled(amount)} {what.replace('_', ' ')}")


def _report_done(context: click.Context, session: Session, what: str, done: Done) -> None:
    """Say what was done and what is left; exit 1 if it was stopped."""
    if session.json:
        print_json({what: done.changed, "left": done.left, "stopped": done.stopped})
    else:
        say(f"{_spelled(done.changed)} {what}")
        if done.left.batches:
            stopped = "stopped: " if done.stopped else ""
            say(
                f"{stopped}{_spelled(done.left)} left; the same command goes on with them", "yellow"
            )
    if done.stopped:
        context.exit(1)


def _spelled(amount: Amount) -> str:
    return f"{count(amount.events, 'event')} in {count(amount.batches, 'batch', 'batches')}"
