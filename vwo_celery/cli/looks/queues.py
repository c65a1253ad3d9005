"""`vwo-celery queues`: where each queue goes, and when its batches leave; `queues forget`."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec

from vwo_celery.cli.shared.asking import agree
from vwo_celery.cli.shared.bulk import yes_option
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import Column, Row, print_rows, say
from vwo_celery.cli.shared.session import (
    CommandGroup,
    Session,
    common_options,
    json_option,
    queue_option,
)
from vwo_celery.operating import operations
from vwo_celery.operating.documents.queues import open_keys, queue_facts
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.operating.operations import Forgotten
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import count, span
from vwo_celery.text.masking import mask


@click.group(cls=CommandGroup, invoke_without_command=True)
@queue_option
@common_options
@json_option
@click.pass_context
def queues(context: click.Context, queues: Sequence[str]) -> None:
    """List the queues: where they go and when batches leave; `queues forget` deletes one.

    A program in another language may LPUSH JSON events onto any of a queue's open lists.
    """
    if context.invoked_subcommand is None:
        _list_queues(context.ensure_object(Session), queues)
    elif queues:
        raise click.UsageError("--queue is for the list; name the queues after the command")


def _list_queues(session: Session, queues: Sequence[str]) -> None:
    found = session.fleet.registrations()
    chosen = inspector.choose(found.readable, queues, found.unreadable)
    if session.json:
        print_json(queue_facts(session.fleet, chosen))
        return
    views = {view.queue: view for view in inspector.view_queues(session.fleet, chosen)}
    chosen = {queue: each for queue, each in chosen.items() if queue in views}  # others are away
    rows = [_queue_row(session.fleet, *item, views[item[0]]) for item in chosen.items()]
    if rows:
        print_rows(_QUEUE_COLUMNS, rows)
    else:
        say("no queue is registered; an application registers its queue with its first event")
    for name, reason in found.unreadable.items():
        say(f"{name}: its registration cannot be read by this release: {reason}", "bold red")


_QUEUE_COLUMNS = (
    Column("queue"), Column("to"), Column("key"), Column("as"), Column("leaves at"),
    Column("or after"), Column("shards", number=True), Column("callback"), Column("open list"),
)  # fmt: skip


def _queue_row(fleet: Fleet, queue: str, registration: Registration, view: QueueView) -> Row:
    destination, limits = registration.destination, registration.limits
    keys = open_keys(fleet, queue, registration)
    region = f"/{destination.region}" if destination.region else ""
    cells = [
        queue,
        f"{destination.origin}{region}",
        mask(destination.sdk_key),
        destination.sdk_words,
        count(limits.events_per_request, "event"),
        span(limits.interval_ms / 1000) if limits.events_per_request > 1 else "-",
        str(registration.shards),
        registration.flush_callback or "-",
        keys[0] if len(keys) == 1 else f"{keys[0]} … {len(keys) - 1}:open",
    ]
    notes = [(str(each), "yellow") for each in (view.stopped, view.failing) if each]
    return Row(cells, notes)


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@yes_option
@click.option("--even-if-used", is_flag=True, help="Also a queue that was used in the last hour.")
@common_options
@json_option
@click.pass_context
def forget(context: click.Context, names: Sequence[str], *, yes: bool, even_if_used: bool) -> None:
    """Forget queues that hold nothing: their counters, history and registrations with the SDK key.

    A queue that holds events or dead letters stays. An application that uses the queue again
    registers it anew. Exits 1 if a queue stays.
    """
    session = context.ensure_object(Session)
    chosen = session.choose(names)
    fleet = session.fleet
    found = operations.look_at_forgettable(fleet, chosen, even_if_used=even_if_used)
    going = {each.queue: chosen[each.queue] for each in found if not each.why}
    if going and not yes:
        agree(f"Forget {', '.join(going)}, with counters and history, for good?")
    done = [each for each in found if each.why]
    if going:
        done += operations.forget(fleet, session.actor, going, even_if_used=even_if_used)
    if session.json:
        print_json([{**msgspec.to_builtins(each), "forgotten": not each.why} for each in done])
    else:
        for each in done:
            _say_forgotten(each)
    if any(each.why for each in done):
        context.exit(1)


def _say_forgotten(each: Forgotten) -> None:
    if each.why:
        say(f"{each.queue} stays: {each.why}", "yellow")
        return
    say(
        f"{each.queue} is forgotten; its last numbers: {each.accepted:,} accepted, "
        f"{each.delivered:,} delivered, {each.dropped:,} dropped, {each.refused:,} refused"
    )
