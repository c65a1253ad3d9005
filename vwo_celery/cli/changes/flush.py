"""`vwo-celery flush`: send what queues hold now, and wait until VWO has it.

If it dies while it waits, the events are sent nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import Column, Row, console, print_rows, say
from vwo_celery.cli.shared.session import Session, common_options, json_option, queue_option
from vwo_celery.clocks import monotonic
from vwo_celery.operating import operations
from vwo_celery.operating.operations import FlushCounts, Flushed
from vwo_celery.text.amounts import span


@click.command()
@queue_option
@click.option(
    "--wait", type=click.FloatRange(min=0), metavar="SECONDS",
    help="Longest wait until all of it is delivered; exit 1 if it is not.",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def flush(context: click.Context, queues: Sequence[str], wait: float | None) -> None:
    """Send what the queues hold now, whatever its age.

    All queues, unless --queue is given. With --wait, exits 0 if VWO has accepted all of it. Without,
    the command seals the batches, wakes the workers and returns; it exits 0 if a worker has shown
    within seconds that it lives and takes wake-ups. It exits 1 if that cannot help: no worker does, a
    queue is paused, no worker may send it, or its registration is gone or cannot be read.
    """
    session = context.ensure_object(Session)
    done = _flush(session, queues, wait)
    if session.json:
        print_json(done.document())
    else:
        nothing = (
            "no queue holds anything" if not session.away else "no queue that was reached holds any"
        )
        sealed = done.sealed and not done.asleep
        _say_flushed(done.counts, nothing, sealed=sealed, waited=wait is not None)
    if done.left and (wait is not None or done.hopeless or done.asleep):
        context.exit(1)


def _flush(session: Session, names: Sequence[str], wait: float | None) -> Flushed:
    def run(watch: Callable[[FlushCounts], None]) -> Flushed:
        fleet, actor = session.fleet, session.actor
        return operations.flush(fleet, actor, names, wait_seconds=wait, watch=watch)

    if session.json or not wait:
        return run(lambda _: None)
    deadline = monotonic() + wait
    with console(stderr=True).status("waking the workers") as line:
        return run(lambda counts: line.update(_progress(counts, deadline - monotonic())))


def _progress(counts: FlushCounts, left_seconds: float) -> str:
    return (
        f"{counts.delivered:,} delivered, {counts.failed:,} failed, "
        f"{counts.pending:,} to go; waiting {span(max(0, left_seconds))} more"
    )


def _say_flushed(done: dict[str, FlushCounts], nothing: str, *, sealed: bool, waited: bool) -> None:
    if not done:
        say(f"nothing to send: {nothing}")
        return
    columns = (
        Column("queue"), Column("delivered", number=True), Column("failed", number=True),
        Column("pending", number=True),
    )  # fmt: skip
    print_rows(columns, [_flushed_row(*item, waited=waited) for item in done.items()])
    if sealed and not waited:
        say(
            "sealed, and a worker has taken the wake-up; --wait SECONDS waits for the delivery",
            "dim",
        )


def _flushed_row(queue: str, counts: FlushCounts, *, waited: bool) -> Row:
    telling = waited or counts.reason != operations.NOT_AWAITED
    notes = [(counts.reason, "yellow")] if counts.reason and telling else []
    return Row(
        [queue, *(f"{n:,}" for n in (counts.delivered, counts.failed, counts.pending))], notes
    )
