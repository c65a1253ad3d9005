"""`status`, `queues` and `ledger`: what there is, where it goes, and that it adds up.

Place: adapters; print what the inspector says.
"""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec

from vwo_celery import inspector
from vwo_celery.amounts import count, span
from vwo_celery.cli.printing import Column, Row, print_json, print_rows, say
from vwo_celery.cli.session import Session, common_options, json_option, pass_session
from vwo_celery.destinations import mask
from vwo_celery.fleet import Fleet, Registration
from vwo_celery.inspector import Ledger, QueueView
from vwo_celery.settings import Settings
from vwo_celery.wording import mask_url

#: As many queues as are always listed, those that hold nothing included.
_ALWAYS_LISTED = 20

queue_option = click.option(
    "--queue", "queues", multiple=True, metavar="QUEUE", help="Only this queue; may be repeated."
)


@click.command()
@click.option("--all", "every", is_flag=True, help="List queues that hold nothing as well.")
@queue_option
@common_options
@json_option
@pass_session
def status(session: Session, every: bool, queues: Sequence[str]) -> None:
    """Show what each queue holds, since when and why.

    "oldest" is the age of the oldest event that is not delivered yet, and the interval after which
    a batch leaves at the latest. Queues that hold something come first, the latest on top. Where
    there are more than 20 queues, those that hold nothing are only counted.
    """
    fleet = session.fleet
    registered = inspector.registrations(fleet).readable
    views = inspector.view_queues(fleet, inspector.choose(registered, queues))
    strays = [] if queues else inspector.view_strays(fleet, registered)
    shown = [*strays, *views]
    if not (every or queues) and len(shown) > _ALWAYS_LISTED:
        shown = [view for view in shown if not view.idle]
    idle = sum(view.idle for view in views)
    if session.json:
        print_json(
            {**_fleet_document(session), "idle_queues": idle, "queues": list(map(_plain, shown))}
        )
        return
    _say_who_works(fleet, session.settings)
    if shown:
        print_rows(_STATUS_COLUMNS, [_status_row(view, session.settings) for view in shown])
    elif not views:
        say("no queue is registered; an application registers its queue with its first event")
    if len(shown) < len(views):
        say(f"{count(idle, 'queue holds', 'queues hold')} nothing; --all lists them", "dim")


_STATUS_COLUMNS = (
    Column("queue"), Column("open", number=True), Column("ready", number=True),
    Column("oldest", number=True), Column("in flight", number=True),
    Column("released", number=True), Column("dead", number=True),
)  # fmt: skip


def _fleet_document(session: Session) -> dict[str, object]:
    fleet = session.fleet
    now = fleet.now_ms()
    return {
        "redis": mask_url(session.settings.redis_url),
        "namespace": session.settings.namespace,
        "now_ms": now,
        "listeners": fleet.listeners(),
        "last_sweeps_ms": fleet.last_sweeps_ms(),
        "waiting_wakeups": inspector.waiting_wakeups(fleet),
    }


def _plain(view: QueueView) -> dict[str, object]:
    """A view as JSON: its fields, and what is derived from them."""
    document: dict[str, object] = msgspec.to_builtins(view)
    limits = document.pop("limits")
    interval = view.interval_seconds
    return {
        **document,
        "interval_seconds": interval,
        "registered": limits is not None,
        "limits": limits,
    }


def _say_who_works(fleet: Fleet, settings: Settings) -> None:
    say(f"{mask_url(settings.redis_url)}, namespace {settings.namespace}", "dim")
    listeners = fleet.listeners()
    if listeners:
        names = ", ".join(listeners)
        say(f"{count(len(listeners), 'worker listens', 'workers listen')}: {names}")
    else:
        say("no worker listens", "bold red")
    now, sweeps = fleet.now_ms(), fleet.last_sweeps_ms()
    seen = [f"{by} {span(max(0, now - at) / 1000)} ago" for by, at in sweeps.items()]
    if "beat" not in sweeps:
        seen.insert(0, "beat never")
    say(f"last sweeps: {', '.join(seen)}", "" if "beat" in sweeps else "yellow")
    say()


def _status_row(view: QueueView, settings: Settings) -> Row:
    oldest, interval = view.oldest_age_seconds, view.interval_seconds
    cells = [
        view.queue,
        f"{view.open:,}",
        f"{view.ready:,}",
        "-" if oldest is None else span(oldest) + (f" of {span(interval)}" if interval else ""),
        f"{view.in_flight:,}",
        f"{view.released:,}",
        f"{view.dead:,}",
    ]
    return Row(cells, _status_notes(view, settings))


def _status_notes(view: QueueView, settings: Settings) -> list[tuple[str, str]]:
    notes = []
    if view.limits is None:
        notes.append(("not registered, so that no worker can send it", "bold red"))
    if view.paused:
        notes.append((f"paused: {view.paused}", "bold red"))
    if view.held_seconds is not None:
        until = span(view.held_seconds)
        notes.append((f"VWO does not answer well; one batch is sent to see in {until}", "yellow"))
    if inspector.is_stuck(view, settings):
        pending = count(view.open + view.ready, "event")
        notes.append((f"{span(view.late_seconds)} late, {pending} pending", "bold red"))
    if view.fullness >= 1:
        notes.append((f"full: {view.refused:,} events refused so far", "bold red"))
    if view.released:
        notes.append((_released(view), "yellow"))
    if view.dead:
        batches = count(view.dead_batches, "dead batch", "dead batches")
        notes.append((f"{batches}, see: vwo-celery dead list", "yellow"))
    if not view.ledger.balanced:
        notes.append(("out of balance, see: vwo-celery ledger", "bold red"))
    if view.receiver_errors:
        notes.append((f"receivers and callbacks raised {view.receiver_errors:,} times", "yellow"))
    return notes


def _released(view: QueueView) -> str:
    until = span(view.next_try_seconds or 0)
    return f"released, next try in {until}, attempt {view.attempt} failed: {view.error}"


@click.command()
@queue_option
@common_options
@json_option
@pass_session
def queues(session: Session, queues: Sequence[str]) -> None:
    """List the queues: where they go and when batches leave.

    A program in another language may LPUSH JSON events onto any of a queue's open lists.
    """
    found = inspector.registrations(session.fleet)
    chosen = inspector.choose(found.readable, queues)
    if session.json:
        print_json([_queue_document(session.fleet, *item) for item in chosen.items()])
        return
    rows = [_queue_row(session.fleet, *item) for item in chosen.items()]
    if rows:
        print_rows(_QUEUE_COLUMNS, rows)
    else:
        say("no queue is registered; an application registers its queue with its first event")
    for name in found.unreadable:
        say(f"{name}: its registration cannot be read by this release", "bold red")


_QUEUE_COLUMNS = (
    Column("queue"), Column("to"), Column("key"), Column("as"), Column("leaves at"),
    Column("or after"), Column("shards", number=True), Column("callback"), Column("open list"),
)  # fmt: skip


def _open_keys(fleet: Fleet, queue: str, registration: Registration) -> list[str]:
    return [fleet.shard(queue, i).keys.open for i in range(registration.shards)]


def _queue_document(fleet: Fleet, queue: str, registration: Registration) -> dict[str, object]:
    destination = registration.destination
    return {
        "queue": queue,
        "generation": destination.generation,
        "account_id": str(destination.account_id),
        "sdk_key": mask(destination.sdk_key),
        "origin": destination.origin,
        "region": destination.region,
        "sdk": destination.sdk,
        "events_per_request": registration.limits.events_per_request,
        "request_time_interval": registration.limits.interval_ms / 1000,
        "shards": registration.shards,
        "flush_callback": registration.flush_callback,
        "open_keys": _open_keys(fleet, queue, registration),
    }


def _queue_row(fleet: Fleet, queue: str, registration: Registration) -> Row:
    destination, limits = registration.destination, registration.limits
    keys = _open_keys(fleet, queue, registration)
    region = f"/{destination.region}" if destination.region else ""
    cells = [
        queue,
        f"{destination.origin}{region}",
        mask(destination.sdk_key),
        " ".join(destination.sdk),
        count(limits.events_per_request, "event"),
        span(limits.interval_ms / 1000) if limits.events_per_request > 1 else "-",
        str(registration.shards),
        registration.flush_callback or "-",
        keys[0] if len(keys) == 1 else f"{keys[0]} … {len(keys) - 1}:open",
    ]
    return Row(cells)


@click.command()
@queue_option
@common_options
@json_option
@click.pass_context
def ledger(context: click.Context, queues: Sequence[str]) -> None:
    """Prove that every accepted event is somewhere.

    Exits 1 if a queue is out of balance, which is when this does not hold:
    accepted = delivered + dead + dropped + pending + in flight + released
    """
    session = context.ensure_object(Session)
    registered = inspector.registrations(session.fleet).readable
    views = inspector.view_queues(session.fleet, inspector.choose(registered, queues))
    if not queues:
        views += inspector.view_strays(session.fleet, registered)
    views.sort(key=lambda view: view.queue)
    if session.json:
        print_json([view.ledger for view in views])
    else:
        _print_ledger(views, always=bool(queues))
    if not all(view.ledger.balanced for view in views):
        context.exit(1)


_LEDGER_COLUMNS = (
    Column("queue"), Column("accepted", number=True), Column("delivered", number=True),
    Column("dead", number=True), Column("dropped", number=True), Column("pending", number=True),
    Column("in flight", number=True), Column("released", number=True), Column("balanced"),
)  # fmt: skip
#: What stands between the numbers where a ledger is printed as a block.
_EQUATION = (" = ", " + ", " + ", " + ", " + ", " + ", " · ")


def _print_ledger(views: Sequence[QueueView], *, always: bool) -> None:
    shown = [v for v in views if always or v.ledger.accepted or not v.ledger.balanced]
    if shown:
        print_rows(_LEDGER_COLUMNS, [_ledger_row(view) for view in shown], _EQUATION)
    if len(shown) < len(views):
        unused = count(len(views) - len(shown), "queue has", "queues have")
        say(f"{unused} never accepted an event", "dim")
    if not views:
        say("no queue is registered; an application registers its queue with its first event")


def _ledger_row(view: QueueView) -> Row:
    sums: Ledger = view.ledger
    numbers = (
        sums.accepted, sums.delivered, sums.dead, sums.dropped, sums.pending, sums.in_flight,
        sums.released,
    )  # fmt: skip
    notes = [(f"dropped {n:,}: {reason}", "yellow") for reason, n in view.dropped.items() if n]
    if not sums.balanced:
        notes.insert(
            0, ("out of balance: keys were deleted or evicted, or it is a bug", "bold red")
        )
    cells = [view.queue, *(f"{number:,}" for number in numbers), "yes" if sums.balanced else "NO"]
    return Row(cells, notes)
