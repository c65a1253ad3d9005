"""What commands share that change many batches or queues: options, progress, words for the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.progress import Progress

from vwo_celery.cli.shared.brakes import SignalBrake, brake_by_signal
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.output import console, say
from vwo_celery.cli.shared.session import Session
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.operations import Amount, Done
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import count

all_option = click.option(
    "--all", "every", is_flag=True, help="Every queue that is registered now."
)
batch_option = click.option(
    "--batch", "batches", multiple=True, metavar="ID", help="Only this batch; may be repeated."
)


def _finite(context: click.Context, parameter: click.Parameter, rate: float | None) -> float | None:
    if rate is None or math.isfinite(rate):
        return rate
    raise click.BadParameter(f"{rate} is no number of events", ctx=context, param=parameter)


rate_option = click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), callback=_finite, metavar="EVENTS/S",
    help="Most events a second.  [default: as fast as Redis allows]",
)  # fmt: skip
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Only say what would be done, and change nothing."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def choose(session: Session, queues: Sequence[str], every: bool) -> dict[str, Registration]:
    """The queues that were typed; either names or --all is needed."""
    if bool(queues) == every:
        raise click.UsageError("give either --queue QUEUE or --all")
    return session.choose(queues)


@contextmanager
def progress(
    session: Session, unit: str, total: int | None = None, *, goes_on: bool = True
) -> Iterator[tuple[SignalBrake, Callable[[int], None]]]:
    """A brake that Ctrl-C pulls, and a step that shows how many units are done.

    If Redis goes away, or a second Ctrl-C comes, that number is printed, unless the same command would
    begin anew and not go on.
    """
    out, done = console(stderr=True), 0

    def step(so_far: int) -> None:
        nonlocal done
        done = so_far
        bar.update(line, completed=so_far)

    quiet = session.json or not out.is_terminal
    with Progress(console=out, transient=True, disable=quiet) as bar, brake_by_signal() as brake:
        line = bar.add_task(unit, total=total)
        try:
            yield brake, step
        except (QueueUnavailable, KeyboardInterrupt):
            if goes_on:
                text = f"{unit} done before that: {done:,}; the same command goes on from there"
                print_line(text, err=True, fg="yellow")
            raise


def report(session: Session, what: str, amount: Amount) -> None:
    """Say how much was done, or would be."""
    if session.json:
        print_json({what: amount})
    else:
        say(f"{spelled(amount)} {what.replace('_', ' ')}")


def report_done(session: Session, what: str, done: Done, **more: Any) -> None:
    """Say what was done and what is left.

    Args:
        session: The command's.
        what: What was done, as in "purged".
        done: What the work has come to.
        more: What else the document of `--json` has.
    """
    if session.json:
        rest = {"left": done.left, "stopped": done.stopped, "vanished": done.vanished}
        print_json({what: done.changed, **rest, **more})
        return
    report(session, what, done.changed)
    say_vanished(done.vanished, what)
    left = [f"{spelled(done.left)} left"] if done.left.events else []
    if told := ": ".join([*(["stopped"] if done.stopped else []), *left]):
        say(f"{told}; the same command goes on from there", "yellow")


def say_vanished(events: int, what: str) -> None:
    """Say how many events were not there any more, if there are such."""
    if events:
        say(
            f"{count(events, 'event')} counted as dropped (vanished), not as {what.replace('_', ' ')}: "
            "somebody had deleted them from Redis",
            "bold red",
        )


def spelled(amount: Amount) -> str:
    """Return an amount in words; open events are in no batch."""
    events = count(amount.events, "event")
    if amount.events and not amount.batches:
        return events
    return f"{events} in {count(amount.batches, 'batch', 'batches')}"
