"""`vwo-celery move`: a queue's events to another destination, after a wrong key, host or account."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from vwo_celery.cli.shared.asking import agree
from vwo_celery.cli.shared.bulk import (
    dry_run_option,
    progress,
    rate_option,
    say_vanished,
    spelled,
    yes_option,
)
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.destinations import Destination
from vwo_celery.errors import FilterError
from vwo_celery.operating import operations
from vwo_celery.operating.batches import move_plans
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.move_plans import STATES, Changes, Plan
from vwo_celery.operating.documents.queues import destination_facts
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.operating.operations import Moved
from vwo_celery.text.amounts import count
from vwo_celery.text.masking import mask

#: Longest file that is read for a key, in bytes; a key has some dozens.
_LONGEST_KEY_FILE = 4096
_ENVIRONMENT = "env:"


@click.command()
@click.option("--from", "source", required=True, metavar="QUEUE", help="The queue that holds them.")
@click.option("--to", "target", metavar="QUEUE", help="A registered queue that they go to.")
@click.option(
    "--to-key", metavar="SOURCE",
    help="Else the same destination with another SDK key: a file that holds it, env:NAME of an "
    "environment variable, or - to be asked (or to read standard input).",
)  # fmt: skip
@click.option("--to-account", metavar="ID", help="Else, or also, with another account.")
@click.option("--to-host", metavar="URL", help="Else, or also, with another scheme and host.")
@click.option(
    "--to-region", metavar="REGION", help='Else, or also, in another region; "" for none.'
)
@click.option(
    "--state", "states", metavar="STATE", type=click.Choice(STATES), multiple=True,
    help="Only events that are open, ready, released or dead; may be repeated.  "
    "[default: all but those in flight]",
)  # fmt: skip
@click.option(
    "--filter", "words", default="", metavar="FILTER", help="Only dead letters that match."
)
@click.option(
    "--same-environment", is_flag=True,
    help="The new key replaces the old one in the same environment: also move events that carry "
    "the old key in their bytes.",
)  # fmt: skip
@rate_option
@dry_run_option
@yes_option
@common_options
@json_option
@click.pass_context
def move(
    context: click.Context,
    source: str,
    target: str | None,
    to_key: str | None,
    to_account: str | None,
    to_host: str | None,
    to_region: str | None,
    states: Sequence[str],
    words: str,
    same_environment: bool,
    rate: float | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Move a queue's events to another destination.

    For a wrong SDK key, account, host or region. Open events are sealed first; those in flight stay.
    No byte of an event changes: what names another key or account in its bytes is not moved. Exits 1
    if something that was to be moved stays. The same command again goes on where one ended.
    """
    changes = Changes(None, to_account, to_host, to_region)
    _check_usage(target, to_key, changes)
    filter, states = _chosen(words, states)
    session = context.ensure_object(Session)
    found = session.fleet.registrations()
    names = [source, *([target] if target else [])]
    chosen = inspector.choose(found.readable, names, found.unreadable)
    options: dict[str, Any] = {
        "states": states, "filter": filter, "same_environment": same_environment,
    }  # fmt: skip
    if target:
        plan = move_plans.plan_to_queue(
            session.fleet, session.settings, chosen[source], chosen[target], **options
        )
    else:
        changes = msgspec.structs.replace(changes, sdk_key=_read_key(to_key) if to_key else None)
        plan = move_plans.plan_to_changed(
            session.fleet, session.settings, found.readable, chosen[source], changes, **options
        )
    _run(context, session, plan, rate, dry_run=dry_run, yes=yes)


def _check_usage(target: str | None, to_key: str | None, changes: Changes) -> None:
    has_changes = to_key is not None or changes != Changes()
    if bool(target) == has_changes:
        raise click.UsageError(
            "say where the events go: either --to QUEUE, or what differs in the new destination "
            "(--to-key, --to-account, --to-host, --to-region)"
        )


def _chosen(words: str, states: Sequence[str]) -> tuple[Filter, Sequence[str]]:
    """The filter and the states; a filter picks among dead letters unless a state is named."""
    try:
        filter = Filter.parse(words)
    except FilterError as exc:
        raise click.UsageError(str(exc)) from exc
    if filter and "open" in states:
        raise click.UsageError("--filter picks batches, and open events are in none; leave out one")
    return filter, states or (("dead",) if filter else STATES)


def _read_key(source: str) -> str:
    """The SDK key that --to-key names; it is never printed."""
    if source == "-":
        if sys.stdin.isatty():
            return str(click.prompt("New SDK key (not shown)", hide_input=True, err=True))
        text = sys.stdin.read(_LONGEST_KEY_FILE)
    elif source.startswith(_ENVIRONMENT):
        name = source.removeprefix(_ENVIRONMENT)
        text = os.environ.get(name, "")
        if not text.strip():
            raise click.UsageError(f"--to-key: no environment variable {name!r} holds a key")
    else:
        text = _read_key_file(source)
    return text.strip()


def _read_key_file(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(_LONGEST_KEY_FILE)
    except FileNotFoundError as exc:
        # What was given may be the key itself: it must not be shown once more.
        raise click.UsageError(
            "--to-key: there is no such file. It takes the name of a file, env:NAME or -, never the "
            "key itself: the arguments of a command are shown by ps and kept by the shell"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise click.UsageError("--to-key: the file cannot be read as a text") from exc


def _run(
    context: click.Context,
    session: Session,
    plan: Plan,
    rate: float | None,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    if not session.json:
        _say_plan(plan)
    if dry_run:
        if session.json:
            print_json({**_document(plan), "dry_run": True})
        return
    if plan.events and not yes:
        question = f"Move {count(plan.events, 'event')} to {plan.target.destination.queue}?"
        agree(question)
    moved = _work(session, plan, rate)
    (view,) = inspector.view_queues(session.fleet, {plan.source.destination.queue: plan.source})
    if session.json:
        print_json({**_document(plan), "dry_run": False, **_result_document(moved, view)})
    else:
        _say_result(plan, moved, view, away=bool(session.away))
    if moved.left or moved.interrupted:
        context.exit(1)


def _work(session: Session, plan: Plan, rate: float | None) -> Moved:
    """Move, and show how far it has come."""
    with progress(session, "events", plan.events) as (brake, step):
        return operations.move(
            session.fleet, session.actor, plan, rate=rate, brake=brake,
            watch=lambda result: step(result.moved.events),
        )  # fmt: skip


def _say_plan(plan: Plan) -> None:
    before, after = plan.source.destination, plan.target.destination
    counts = [f"{plan.counts[state]:,} {state}" for state in plan.states]
    matching = " that match" if plan.filter else ""
    say(f"{count(plan.events, 'event')}{matching} to move: {', '.join(counts)}")
    say(f"from  {before.queue}: {_spelled(before)}")
    how = "registered by this move, with the limits of the old one" if plan.is_new else "registered"
    say(f"to    {after.queue}: {_spelled(after)} ({how})")
    for note in plan.notes:
        say(f"note: {note}", "yellow")


def _spelled(destination: Destination) -> str:
    region = f"/{destination.region.strip('/')}" if destination.region else ""
    return (
        f"account {destination.account_id}, key {mask(destination.sdk_key)}, "
        f"{destination.origin}{region}"
    )


def _say_result(plan: Plan, moved: Moved, view: QueueView, *, away: bool) -> None:
    source, target = plan.source.destination.queue, plan.target.destination.queue
    say(f"{spelled(moved.moved)} moved to {target}")
    if moved.arrived_before.batches or moved.put_back.batches:
        say(
            f"an earlier move had been interrupted: {spelled(moved.arrived_before)} had arrived, and "
            f"{spelled(moved.put_back)} were put back before this one"
        )
    say_vanished(moved.vanished, "moved")
    for left in moved.left:
        batches = count(left.batches, "batch", "batches")
        say(
            f"{count(left.events, 'event')} in {batches} not moved, and as they were: {left.why} "
            f"(batch {left.first})",
            "bold red",
        )
    if moved.stopped:
        say("the move ended there; when there is room, the same command goes on", "bold red")
    if moved.interrupted:
        say("stopped; the same command goes on from there", "yellow")
    if view.in_flight:
        say(
            f"{count(view.in_flight, 'event is', 'events are')} in flight; the same command again "
            "moves what comes back",
            "yellow",
        )
    if not moved.interrupted and not moved.left and view.undelivered > view.in_flight:
        say(
            f"{count(view.undelivered - view.in_flight, 'event')} came to {source} meanwhile, from "
            "producers that still use the old destination; change it there, and run this again",
            "yellow",
        )
    if not (moved.interrupted or view.undelivered or view.dead or away):
        say(
            f"{source} holds nothing now; once no application uses it: "
            f"vwo-celery queues forget {source}"
        )
    if moved.moved.batches and "dead" in plan.states and plan.counts["dead"]:
        say(f"dead letters stay dead; to send them: vwo-celery dead redrive --queue {target}")


def _document(plan: Plan) -> dict[str, Any]:
    return {
        "from": destination_facts(plan.source),
        "to": destination_facts(plan.target),
        "registered_before": not plan.is_new,
        "states": plan.states,
        "filter": str(plan.filter),
        "counts": plan.counts,
        "notes": plan.notes,
    }


def _result_document(moved: Moved, view: QueueView) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(moved),
        "now": {
            "open": view.open, "ready": view.ready, "released": view.released,
            "dead": view.dead, "in_flight": view.in_flight,
        },
    }  # fmt: skip
