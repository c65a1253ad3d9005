"""`vwo-celery flush`: send what queues hold now, and wait until VWO has it.

If it dies while it waits, the events are sent nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from vwo_celery.cli.documents import print_json
from vwo_celery.cli.output import Column, Row, console, print_rows, say
from vwo_celery.cli.session import Session, common_options, json_option, queue_option
from vwo_celery.clocks import monotonic
from vwo_celery.operating import inspector
from vwo_celery.operating.inspector import QueueView
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.listening import listening_if_known
from vwo_celery.queue.registration import Registrations
from vwo_celery.queue.work import flushing
from vwo_celery.queue.work.flushing import FlushCounts
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

    All queues, unless --queue is given. Without --wait, the command seals the batches, wakes the
    workers and returns; it exits 1 if that cannot help: no worker listens, a queue is paused, no
    worker may send it, or its registration is gone or cannot be read.
    """
    session = context.ensure_object(Session)
    found = session.fleet.registrations()
    held = _find_held(session.fleet, found, queues)
    done = _flush(session, held, wait or 0.0)
    strays = [] if queues else inspector.view_strays(session.fleet, *found)
    done |= {view.queue: _untouched(view) for view in strays if view.undelivered}
    if session.json:
        print_json([{"queue": queue, **counts._asdict()} for queue, counts in done.items()])
    else:
        _say_flushed(done, sealed=bool(held), waited=wait is not None)
    left = any(counts.pending or counts.failed for counts in done.values())
    hopeless = any(view.undelivered for view in strays) or _is_hopeless(session.fleet, held)
    if left and (wait is not None or hopeless):
        context.exit(1)


def _untouched(stray: QueueView) -> FlushCounts:
    """The outcome for a queue that cannot be flushed, since no worker knows its destination."""
    return FlushCounts(0, 0, stray.undelivered, f"no worker can send it: {stray.stray}")


def _find_held(fleet: Fleet, found: Registrations, queues: Sequence[str]) -> list[QueueView]:
    """The chosen queues that hold something, or all that do."""
    views = inspector.view_queues(fleet, inspector.choose(found.readable, queues, found.unreadable))
    return [view for view in views if view.undelivered]


def _is_hopeless(fleet: Fleet, held: Sequence[QueueView]) -> bool:
    """Whether nobody will send some of it, however long one waits."""
    stops = [view.stopped for view in held if view.stopped]
    nobody = listening_if_known(fleet) == []
    return nobody or any(stop.needs_person or stop.by == "workers" for stop in stops)


def _flush(session: Session, held: Sequence[QueueView], wait: float) -> dict[str, FlushCounts]:
    """Send what *held* hold, and wait; not where every one of them is paused."""
    fleet = session.fleet
    shards = [fleet.shard(view.queue, number) for view in held for number in view.shards]
    if all(view.paused for view in held):
        wait = 0.0

    def run(watch: Callable[[FlushCounts], None]) -> dict[str, FlushCounts]:
        return flushing.flush_shards(fleet, shards, timeout_seconds=wait, watch=watch)

    if not shards:
        return {}
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


def _say_flushed(done: dict[str, FlushCounts], *, sealed: bool, waited: bool) -> None:
    if not done:
        say("nothing to send: no queue holds anything")
        return
    columns = (
        Column("queue"), Column("delivered", number=True), Column("failed", number=True),
        Column("pending", number=True),
    )  # fmt: skip
    print_rows(columns, [_flushed_row(*item, waited=waited) for item in done.items()])
    if sealed and not waited:
        say("sealed, and the workers woken; --wait SECONDS waits for the delivery", "dim")


def _flushed_row(queue: str, counts: FlushCounts, *, waited: bool) -> Row:
    telling = waited or not counts.reason.startswith("time was over")
    notes = [(counts.reason, "yellow")] if counts.reason and telling else []
    return Row(
        [queue, *(f"{n:,}" for n in (counts.delivered, counts.failed, counts.pending))], notes
    )
