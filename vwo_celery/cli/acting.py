"""`flush`, `pause` and `resume`: what an operator does to whole queues.

Place: adapters.
"""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Callable, Sequence

import click

from vwo_celery import inspector, operations, triggers
from vwo_celery.amounts import count, span
from vwo_celery.cli.looking import queue_option
from vwo_celery.cli.printing import Column, Row, console, moment, print_json, print_rows, say
from vwo_celery.cli.session import Session, common_options, json_option
from vwo_celery.fleet import Registration
from vwo_celery.store import Shard
from vwo_celery.triggers import FlushCounts

_MOST_NAMES = 20


@click.command()
@queue_option
@click.option(
    "--wait", type=click.FloatRange(min=0), metavar="SECONDS",
    help="Wait so long until all of it is delivered; exit 1 if it is not.",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def flush(context: click.Context, queues: Sequence[str], wait: float | None) -> None:
    """Send what the queues hold now, whatever its age.

    All queues, unless --queue is given. Without --wait, the command seals the batches, wakes the
    workers and returns; it exits 1 if that cannot help, since no worker listens or a queue is
    paused.
    """
    session = context.ensure_object(Session)
    fleet = session.fleet
    registered = inspector.registrations(fleet).readable
    views = inspector.view_queues(fleet, inspector.choose(registered, queues))
    held = [view for view in views if view.undelivered]
    shards = [fleet.shard(view.queue, number) for view in held for number in view.shards]
    seconds = 0.0 if wait is None or all(view.paused for view in held) else wait
    done = _flush(session, shards, seconds) if shards else {}
    if session.json:
        print_json([{"queue": queue, **counts._asdict()} for queue, counts in done.items()])
    else:
        _say_flushed(done, waited=wait is not None)
    hopeless = held and (not fleet.listeners() or any(view.paused for view in held))
    left = any(counts.pending or counts.failed for counts in done.values())
    if (left and wait is not None) or (hopeless and left):
        context.exit(1)


def _flush(session: Session, shards: Sequence[Shard], wait: float) -> dict[str, FlushCounts]:
    def run(watch: Callable[[FlushCounts], None]) -> dict[str, FlushCounts]:
        return triggers.flush_shards(session.fleet, shards, timeout_seconds=wait, watch=watch)

    if session.json or not wait:
        return run(lambda _: None)
    deadline = time.monotonic() + wait
    with console(stderr=True).status("waking the workers") as line:
        return run(lambda counts: line.update(_progress(counts, deadline - time.monotonic())))


def _progress(counts: FlushCounts, left_seconds: float) -> str:
    return (
        f"{counts.delivered:,} delivered, {counts.failed:,} dead-lettered, "
        f"{counts.pending:,} to go; waiting {span(max(0, left_seconds))} more"
    )


def _say_flushed(done: dict[str, FlushCounts], *, waited: bool) -> None:
    if not done:
        say("nothing to send: no queue holds anything")
        return
    columns = (
        Column("queue"), Column("delivered", number=True), Column("dead-lettered", number=True),
        Column("pending", number=True),
    )  # fmt: skip
    print_rows(columns, [_flushed_row(*item, waited=waited) for item in done.items()])
    if not waited:
        say("sealed, and the workers woken; --wait SECONDS waits for the delivery", "dim")


def _flushed_row(queue: str, counts: FlushCounts, *, waited: bool) -> Row:
    telling = waited or not counts.reason.startswith("time was over")
    notes = [(counts.reason, "yellow")] if counts.reason and telling else []
    return Row(
        [queue, *(f"{n:,}" for n in (counts.delivered, counts.failed, counts.pending))], notes
    )


def _all_option(function: Callable[..., None]) -> Callable[..., None]:
    option = click.option(
        "--all", "every", is_flag=True, help="Every queue that is registered now."
    )
    return option(function)


def _choose(session: Session, queues: Sequence[str], every: bool) -> dict[str, Registration]:
    if bool(queues) == every:
        raise click.UsageError("give either --queue QUEUE or --all")
    return inspector.choose(inspector.registrations(session.fleet).readable, queues)


@click.command()
@queue_option
@_all_option
@click.option("--reason", metavar="TEXT", help="Shown by status; by default, who paused it.")
@common_options
@json_option
@click.pass_context
def pause(context: click.Context, queues: Sequence[str], every: bool, reason: str | None) -> None:
    """Send nothing of a queue until it is resumed.

    Applications go on filling it, up to its capacity. What is in flight is settled as usual. A queue
    that is paused already keeps its reason.
    """
    session = context.ensure_object(Session)
    chosen = _choose(session, queues, every)
    why = reason or f"by {_who()}, {_now()}"
    _report(session, "paused", operations.pause(session.fleet, chosen, why))


@click.command()
@queue_option
@_all_option
@common_options
@json_option
@click.pass_context
def resume(context: click.Context, queues: Sequence[str], every: bool) -> None:
    """Send again what a paused queue holds.

    Whether an operator paused it, or a worker after an answer of VWO's.
    """
    session = context.ensure_object(Session)
    chosen = _choose(session, queues, every)
    _report(session, "resumed", operations.resume(session.fleet, chosen))


def _report(session: Session, done: str, names: list[str]) -> None:
    if session.json:
        print_json({done: names})
        return
    none = {"paused": ": all were paused before", "resumed": ": none was paused"}
    say(f"{count(len(names), 'queue')} {done}{'' if names else none[done]}")
    for name in names[:_MOST_NAMES]:
        say(f"  {name}")
    if len(names) > _MOST_NAMES:
        say(f"  and {len(names) - _MOST_NAMES} more")


def _now() -> str:
    return moment(int(1000 * time.time()))


def _who() -> str:
    try:
        return f"{getpass.getuser()} on {socket.gethostname()}"
    except (OSError, KeyError):  # a user id without a name, as containers have
        return f"an operator on {socket.gethostname()}"
