"""`vwo-celery dead redrive` and `purge`: many dead letters, or single events of one.

Only `purge` drops anything, and it asks first. If the command dies half-way, the batches it has not come
to are unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from vwo_celery.cli.dead.choosing import Choice, Words, filters
from vwo_celery.cli.dead.group import dead
from vwo_celery.cli.dead.picking import pick
from vwo_celery.cli.shared.asking import agree
from vwo_celery.cli.shared.bulk import (
    dry_run_option,
    progress,
    rate_option,
    report,
    report_done,
    spelled,
    yes_option,
)
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.errors import VwoCeleryError
from vwo_celery.operating import operations
from vwo_celery.operating.operations import Counted, Done, Order, Pace, jobs
from vwo_celery.operating.past.audit import Actor
from vwo_celery.queue.fleet import Fleet
from vwo_celery.text.amounts import count

Decorated = TypeVar("Decorated", bound=Any)


class _How(NamedTuple):
    """The options of both commands that say how, as they were given."""

    places: Sequence[int]
    dry_run: bool
    rate: float | None
    most: int | None
    background: bool
    app_name: str

    @property
    def pace(self) -> Pace:
        """How fast, and how far."""
        return Pace(self.rate, self.most)


def _options(function: Decorated) -> Decorated:
    """Which dead letters, and how."""
    options = (
        filters,
        click.option(
            "--event", "places", type=click.IntRange(min=1), multiple=True, metavar="PLACE",
            help="With one --batch: only the event at this place of it; may be repeated.",
        ),
        dry_run_option,
        rate_option,
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
@_options
@common_options
@json_option
@click.pass_context
def redrive(context: click.Context, /, **options: Any) -> None:
    """Put dead letters back to be sent.

    All of them, unless filtered. A batch goes back unchanged, with a new age. If VWO still refuses
    it, it becomes a dead letter again, and is left alone. With --event, single events of one batch
    go back, and the rest of it stays dead. Ctrl-C ends the work after the batch that it is at; the
    same command goes on from there.
    """
    _change(context, "redrive", options)


@dead.command()
@_options
@yes_option
@common_options
@json_option
@click.pass_context
def purge(context: click.Context, /, yes: bool, **options: Any) -> None:
    """Drop dead letters for good, after asking.

    All of them, unless filtered; those that die after they were counted stay. They are counted in
    the ledger as dropped. With --event, single events of one batch are dropped, and the rest of it
    stays dead. Ctrl-C ends the work after the batch that it is at.
    """
    _change(context, "purge", options, ask=not yes)


#: How each command says what it did, and the operation that does it.
_CHANGES = {"redrive": ("redriven", operations.redrive), "purge": ("purged", operations.purge)}


def _change(
    context: click.Context, operation: str, options: dict[str, Any], *, ask: bool = False
) -> None:
    session, words = context.ensure_object(Session), Words.taken_from(options)
    choice, how = Choice(session, words), _How(**options)
    done, change = _CHANGES[operation]
    if how.places:
        if how.background:
            raise click.UsageError("--background is for whole batches, not for --event")
        drop = operation == "purge"
        pick(session, choice, how.places, drop=drop, dry_run=how.dry_run, yes=not ask)
        return
    counted = _count(session, choice)
    if how.dry_run:
        report(session, f"would_be_{done}", counted.amount)
        choice.say_rest(context)
        return
    if ask and counted.amount.batches:
        names = count(len(counted.queues), "queue")
        agree(f"Drop {spelled(counted.amount)} of {names} for good?")
    if how.background:
        _order(session, operation, counted, words, how)
        choice.say_rest(context)
        return
    _report_done(context, session, done, _work(session, counted, choice, how.pace, change), choice)


def _order(session: Session, operation: str, counted: Counted, words: Words, how: _How) -> None:
    """Order a job, have a worker begin it, and say how it is followed."""
    from vwo_celery.celery.worker import background  # Celery takes half a second to import

    app = session.celery_app or background.app_of(session.settings, how.app_name)
    job = jobs.order_job(
        session.fleet, session.actor, operation, counted,
        filter=words.filter, scan_limit=words.scan_limit, pace=how.pace,
    )  # fmt: skip
    try:
        background.publish_job(app, job)
    except VwoCeleryError as exc:
        if jobs.give_up(session.fleet, job, str(exc)):
            raise  # else the broker had the message all the same, and a worker has begun
    if session.json:
        print_json({"job": job, "counted": counted.amount})
    else:
        say(f"job {job} is ordered; see: vwo-celery jobs; stop it: vwo-celery jobs --stop {job}")


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
    with progress(session, "batches", counted.amount.batches) as (brake, step):
        order = Order(
            counted, filter=str(choice.filter), pace=pace, brake=brake,
            watch=lambda changed: step(changed.batches),
        )  # fmt: skip
        return change(session.fleet, session.actor, choice, order)


def _report_done(
    context: click.Context, session: Session, what: str, done: Done, choice: Choice
) -> None:
    """Say what was done and what is left; exit 1 if it was stopped, or something not looked at."""
    report_done(session, what, done, not_looked_at=choice.search.not_looked_at)
    choice.say_rest(context)
    if done.stopped:
        context.exit(1)
