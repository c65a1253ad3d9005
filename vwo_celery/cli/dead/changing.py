"""`vwo-celery dead redrive` and `purge`: many dead letters, or single events of one.

Only `purge` drops anything, and it asks first. If the command dies half-way, the batches it has not come
to are unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from rich.progress import Progress

from vwo_celery.cli.changes.jobs import order_in_background
from vwo_celery.cli.dead.choosing import Choice, Words, filters
from vwo_celery.cli.dead.group import dead
from vwo_celery.cli.dead.picking import pick
from vwo_celery.cli.shared.brakes import brake_by_signal
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import console, say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.operating import operations
from vwo_celery.operating.operations import Amount, Counted, Done, Order, Pace
from vwo_celery.operating.past.audit import Actor
from vwo_celery.queue.fleet import Fleet
from vwo_celery.text.amounts import count

Decorated = TypeVar("Decorated", bound=Any)

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Only say what would be done, and change nothing."
)
_event_option = click.option(
    "--event", "places", type=click.IntRange(min=1), multiple=True, metavar="PLACE",
    help="With one --batch: only the event at this place of it; may be repeated.",
)  # fmt: skip


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
        click.option(
            "--background", is_flag=True,
            help="Have a worker do it; see jobs. What is meant is counted now.",
        ),
        click.option(
            "-A", "--app", "app_name", metavar="APP", default="",
            help="With --background: your Celery app, as `celery -A` takes it, unless workers run "
            "vwo_celery.celery.app.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@dead.command()
@filters
@_event_option
@dry_run_option
@_pace_options
@common_options
@json_option
@click.pass_context
def redrive(
    context: click.Context,
    /,
    places: Sequence[int],
    dry_run: bool,
    rate: float | None,
    most: int | None,
    background: bool,
    app_name: str,
    **options: Any,
) -> None:
    """Put dead letters back to be sent.

    All of them, unless filtered. A batch goes back unchanged, with a new age. If VWO still refuses
    it, it becomes a dead letter again, and is left alone. With --event, single events of one batch
    go back, and the rest of it stays dead. Ctrl-C ends the work after the batch that it is at; the
    same command goes on from there.
    """
    session, words = context.ensure_object(Session), Words.taken_from(options)
    choice = Choice(session, words)
    if places and background:
        raise click.UsageError("--background is for whole batches, not for --event")
    if places:
        pick(session, choice, places, drop=False, dry_run=dry_run)
        return
    counted = _count(session, choice)
    if dry_run:
        report(session, "would_be_redriven", counted.amount)
        choice.say_rest(context)
        return
    if background:
        _order(session, "redrive", counted, words, Pace(rate, most), app_name)
        return
    done = _work(session, counted, choice, Pace(rate, most), operations.redrive)
    _report_done(context, session, "redriven", done, choice)


@dead.command()
@filters
@_event_option
@dry_run_option
@_pace_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@json_option
@click.pass_context
def purge(
    context: click.Context,
    /,
    places: Sequence[int],
    dry_run: bool,
    rate: float | None,
    most: int | None,
    background: bool,
    app_name: str,
    yes: bool,
    **options: Any,
) -> None:
    """Drop dead letters for good, after asking.

    All of them, unless filtered; those that die after they were counted stay. They are counted in
    the ledger as dropped. With --event, single events of one batch are dropped, and the rest of it
    stays dead. Ctrl-C ends the work after the batch that it is at.
    """
    session, words = context.ensure_object(Session), Words.taken_from(options)
    choice = Choice(session, words)
    if places and background:
        raise click.UsageError("--background is for whole batches, not for --event")
    if places:
        pick(session, choice, places, drop=True, dry_run=dry_run, yes=yes)
        return
    counted = _count(session, choice)
    if dry_run:
        report(session, "would_be_purged", counted.amount)
        choice.say_rest(context)
        return
    if counted.amount.batches and not yes:
        names = count(len(counted.queues), "queue")
        click.confirm(f"Drop {spelled(counted.amount)} of {names} for good?", abort=True, err=True)
    if background:
        _order(session, "purge", counted, words, Pace(rate, most), app_name)
        return
    done = _work(session, counted, choice, Pace(rate, most), operations.purge)
    _report_done(context, session, "purged", done, choice)


def _order(
    session: Session, operation: str, counted: Counted, words: Words, pace: Pace, app_name: str
) -> None:
    """Have a worker do the work on what was counted."""
    order_in_background(session, operation, counted, words.filter, words.scan_limit, pace, app_name)


def _count(session: Session, choice: Choice) -> Counted:
    """Count what is about to be changed; what dies from now on is not looked at any more."""
    choice.until_ms = session.fleet.now_ms()
    choice.check_batches()
    return operations.count_dead(choice, choice.until_ms)


def _work(
    session: Session,
    counted: Counted,
    choice: Choice,
    pace: Pace,
    change: Callable[[Fleet, Actor, Choice, Order], Done],
) -> Done:
    """Change what was counted, with progress, until it is done or Ctrl-C stops it."""
    out = console(stderr=True)
    quiet = session.json or not out.is_terminal
    with Progress(console=out, transient=True, disable=quiet) as bar, brake_by_signal() as brake:
        line = bar.add_task("batches", total=counted.amount.batches)

        def step(changed: Amount) -> None:
            bar.update(line, completed=changed.batches)

        typed = str(choice.filter)
        order = Order(counted, filter=typed, pace=pace, brake=brake, watch=step)
        return change(session.fleet, session.actor, choice, order)


def report(session: Session, what: str, amount: Amount) -> None:
    """Say how much was done, or would be."""
    if session.json:
        print_json({what: amount})
    else:
        say(f"{spelled(amount)} {what.replace('_', ' ')}")


def _report_done(
    context: click.Context, session: Session, what: str, done: Done, choice: Choice
) -> None:
    """Say what was done and what is left; exit 1 if it was stopped, or something not looked at."""
    if session.json:
        unseen = choice.search.not_looked_at
        print_json(
            {
                what: done.changed,
                "left": done.left,
                "stopped": done.stopped,
                "vanished": done.vanished,
                "not_looked_at": unseen,
            }
        )
    else:
        say(f"{spelled(done.changed)} {what}")
        if done.vanished:
            say(
                f"{count(done.vanished, 'event')} had been deleted from Redis by somebody; counted as "
                "dropped (vanished)",
                "bold red",
            )
        if done.left.batches:
            stopped = "stopped: " if done.stopped else ""
            say(f"{stopped}{spelled(done.left)} left; the same command goes on with them", "yellow")
    choice.say_rest(context)
    if done.stopped:
        context.exit(1)


def spelled(amount: Amount) -> str:
    """Return an amount in words."""
    return f"{count(amount.events, 'event')} in {count(amount.batches, 'batch', 'batches')}"
