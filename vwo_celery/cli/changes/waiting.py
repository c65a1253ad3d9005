"""`vwo-celery purge` and `retry`: drop what waits for good, or send what was released at once.

Only `purge` drops anything, and it asks first. If the command dies half-way, what it has not come to is
unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from vwo_celery.cli.shared.asking import agree
from vwo_celery.cli.shared.brakes import brake_by_signal
from vwo_celery.cli.shared.bulk import (
    all_option,
    batch_option,
    choose,
    dry_run_option,
    progress,
    report_done,
    spelled,
    yes_option,
)
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.output import say
from vwo_celery.cli.shared.session import Session, common_options, json_option, queue_option
from vwo_celery.operating import operations
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.operations import WAITING_STATES, Amount, Chosen, CountedWaiting, Done
from vwo_celery.text.amounts import count


@click.command()
@queue_option
@all_option
@click.option(
    "--state", "states", type=click.Choice(WAITING_STATES), multiple=True, required=True,
    metavar="STATE",
    help="What is dropped: open, ready or released events; may be repeated.",
)  # fmt: skip
@batch_option
@dry_run_option
@yes_option
@common_options
@json_option
@click.pass_context
def purge(
    context: click.Context,
    queues: Sequence[str],
    every: bool,
    states: Sequence[operations.WaitingState],
    batches: Sequence[str],
    dry_run: bool,
    yes: bool,
) -> None:
    """Drop what waits for good, after asking.

    What is in flight stays, and what comes after it was counted. It is counted in the ledger as
    dropped. Ctrl-C ends the work after the step that it is at; the same command goes on from there.
    Dead letters: dead purge.
    """
    if batches and "open" in states:
        raise click.UsageError("--batch names batches, and open events are in none; leave out one")
    session = context.ensure_object(Session)
    chosen = Chosen(choose(session, queues, every), states, batches)
    counted = operations.count_waiting(session.fleet, chosen)
    _check_batches(batches, counted.batches.batches)
    for each in counted.unreadable:
        print_line(f"left out, since it cannot be read: {each}", err=True, fg="red")
    if dry_run:
        report_done(session, "would_be_purged", Done(_amount(counted)))
        context.exit(1 if counted.unreadable else 0)
    if counted.events and not yes:
        names = ", ".join(counted.queues[:3]) + (" …" if len(counted.queues) > 3 else "")
        question = f"Drop {_spelled(counted)} of {names} for good?"
        agree(question)
    done = _purge(session, chosen, counted)
    report_done(session, "purged", done)
    if done.stopped or counted.unreadable:
        context.exit(1)


def _purge(session: Session, chosen: Chosen, counted: CountedWaiting) -> Done:
    with progress(session, "events", counted.events) as (brake, step):
        return operations.purge_waiting(
            session.fleet, session.actor, chosen, counted, brake=brake,
            watch=lambda dropped: step(dropped.events),
        )  # fmt: skip


@click.command()
@queue_option
@all_option
@batch_option
@common_options
@json_option
@click.pass_context
def retry(
    context: click.Context, queues: Sequence[str], every: bool, batches: Sequence[str]
) -> None:
    """Send what VWO did not accept yet at once, instead of when its delay ends.

    A queue that is paused or stopped is not sent all the same: resume ends that.
    """
    session = context.ensure_object(Session)
    chosen = choose(session, queues, every)
    with brake_by_signal() as brake:
        done = operations.retry_released(session.fleet, session.actor, chosen, batches, brake=brake)
    report_done(session, "made_due", done)
    if not session.json:
        for view in inspector.view_queues(session.fleet, chosen):
            if view.stopped and view.undelivered:
                say(
                    f"{view.queue} {view.stopped}; to end that: vwo-celery resume --queue {view.queue}",
                    "yellow",
                )
    if batches and not session.json and done.changed.batches < len({*batches}):
        which = "the others of these" if done.changed.batches else "these"
        say(f"{which} batches wait for no attempt", "yellow")
    if done.stopped or (batches and not done.changed.batches):
        context.exit(1)


def _check_batches(batches: Sequence[str], found: int) -> None:
    """Refuse a batch that is not there: nothing of what was typed is then done."""
    if found < len({*batches}):
        raise click.ClickException(
            "not every one of these batches is in that state and in no worker's hands: nothing was "
            "changed; vwo-celery peek shows what waits"
        )


def _amount(counted: CountedWaiting) -> Amount:
    return Amount(counted.batches.batches, counted.events)


def _spelled(counted: CountedWaiting) -> str:
    opened = sum(counted.open.values())
    words = [f"{count(opened, 'open event')}"] if opened else []
    words += [spelled(counted.batches)] if counted.batches.batches else []
    return " and ".join(words) or "nothing"
