"""`vwo-celery status`: what each queue holds, since when, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import click
import msgspec

from vwo_celery.cli.documents import print_json
from vwo_celery.cli.output import Column, Row, print_rows, say
from vwo_celery.cli.session import Session, common_options, json_option, queue_option
from vwo_celery.operating import health, inspector, outside
from vwo_celery.operating.doctor.losses import recent_loss
from vwo_celery.operating.doctor.sentinel import master_of
from vwo_celery.operating.inspector import QueueView
from vwo_celery.operating.outside import Tally, sum_tallies
from vwo_celery.operating.workers import listening, spell
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count, span
from vwo_celery.text.masking import mask_url

Answer = TypeVar("Answer")
#: Most queues of which those that hold nothing are listed, too.
_ALWAYS_LISTED = 20


@click.command()
@click.option("--all", "every", is_flag=True, help="List queues that hold nothing as well.")
@queue_option
@common_options
@json_option
@click.pass_context
def status(context: click.Context, every: bool, queues: Sequence[str]) -> None:
    """Show what each queue holds, since when and why.

    "oldest" is the age of the oldest event that is not delivered yet, and the interval after which
    a batch leaves at the latest. Queues that hold something come first, the most overdue on top. Where
    there are more than 20 queues, those that hold nothing are only counted. Exits 1 if a part of a
    Redis Cluster is away; what lies on the others is shown.
    """
    session = context.ensure_object(Session)
    found = session.fleet.registrations()
    chosen = inspector.choose(found.readable, queues, found.unreadable)
    views = inspector.view_queues(session.fleet, chosen)
    tallies = outside.view_tallies(session.fleet, chosen)
    strays = [] if queues else inspector.view_strays(session.fleet, *found)
    shown = _listed([*strays, *views], every=every or bool(queues))
    idle = sum(view.idle for view in views)
    if session.json:
        fleet = _fleet_document(session)
        parts = [part._asdict() for part in session.away]
        told = {"producers": sum_tallies(tallies.values())}
        listed = [{**_plain(view), "producers": tallies.get(view.queue, Tally())} for view in shown]
        queued = {"idle_queues": idle, "queues": listed}
        print_json({**fleet, "parts_away": parts, **told, **queued})
        return
    _say_who_works(session.fleet, session.settings)
    _say_what_is_outside(sum_tallies(tallies.values()), session.fleet.now_ms())
    if shown:
        now_ms = session.fleet.now_ms()
        rows = [
            _status_row(view, session.settings, now_ms, tallies.get(view.queue, Tally()))
            for view in shown
        ]
        print_rows(_STATUS_COLUMNS, rows)
    elif not views:
        say("no queue is registered; an application registers its queue with its first event")
    if len(shown) < len(views):
        say(f"{count(idle, 'queue holds', 'queues hold')} nothing; --all lists them", "dim")


def _listed(views: Sequence[QueueView], *, every: bool) -> Sequence[QueueView]:
    """The queues to list: where there are many, only those that hold something."""
    if every or len(views) <= _ALWAYS_LISTED:
        return views
    return [view for view in views if not view.idle]


_STATUS_COLUMNS = (
    Column("queue"), Column("open", number=True), Column("ready", number=True),
    Column("oldest", number=True), Column("in flight", number=True),
    Column("released", number=True), Column("dead", number=True),
)  # fmt: skip


def _fleet_document(session: Session) -> dict[str, object]:
    fleet = session.fleet
    now = fleet.now_ms()
    heard = _known(fleet, fleet.keys.listeners, lambda: listening(fleet))
    return {
        "redis": mask_url(session.settings.redis_url),
        "namespace": session.settings.namespace,
        "now_ms": now,
        "listeners": None if heard is None else [each.name for each in heard],
        "heard_age_seconds": None if heard is None else {h.name: h.silent_seconds for h in heard},
        "last_sweeps_ms": _known(fleet, fleet.keys.pulse, fleet.last_sweeps_ms),
        "waiting_wakeups": _known(fleet, fleet.keys.wakeups, fleet.waiting_wakeups),
    }


def _known(fleet: Fleet, key: str, look: Callable[[], Answer]) -> Answer | None:
    """What *look* tells of *key*; None if it lies on a part of a Cluster that is away."""
    return None if fleet.hints.is_resting(key) else look()


def _plain(view: QueueView) -> dict[str, object]:
    """A view as JSON: its fields, and those derived from them."""
    document: dict[str, object] = msgspec.to_builtins(view)
    limits = document.pop("limits")
    interval = view.interval_seconds
    return {
        **document,
        "interval_seconds": interval,
        "registered": limits is not None and not view.stray,
        "limits": limits,
    }


def _say_who_works(fleet: Fleet, settings: Settings) -> None:
    say(f"{mask_url(settings.redis_url)}, namespace {settings.namespace}", "dim")
    if master := master_of(fleet):
        say(f"Sentinel: {master}")
    listeners = _known(fleet, fleet.keys.listeners, lambda: listening(fleet))
    if listeners is None:
        say("which workers listen is not known, since the part with their notes is away", "yellow")
    elif listeners:
        say(f"{count(len(listeners), 'worker listens', 'workers listen')}: {spell(listeners)}")
    else:
        say("no worker listens", "bold red")
    now, sweeps = fleet.now_ms(), _known(fleet, fleet.keys.pulse, fleet.last_sweeps_ms)
    if sweeps is None:
        say(
            "when queues were last swept is not known, since the part with that note is away",
            "yellow",
        )
        say()
        return
    seen = [f"{by} {span(max(0, now - at) / 1000)} ago" for by, at in sweeps.items()]
    if "beat" not in sweeps:
        seen.insert(0, "beat never")
    say(f"last sweeps: {', '.join(seen)}", "" if "beat" in sweeps else "yellow")
    say()


def _declines(view: QueueView, now_ms: int) -> list[tuple[str, str]]:
    """Notes on the workers that decline a queue."""
    if not view.declines:
        return []
    first = min(view.declines, key=lambda decline: decline.since_ms)
    who = "every worker" if view.declined_by_all else count(len(view.declines), "worker")
    since = span(max(0, now_ms - first.since_ms) / 1000)
    text = f"declined by {who}, by {first.worker} for {since}: {first.why}"
    return [(text, "bold red" if view.declined_by_all else "yellow")]


def _say_what_is_outside(tally: Tally, now_ms: int) -> None:
    """Tell of events that are in no queue: on hosts' disks, or lost on the way."""
    if tally.on_disk:
        say(f"{count(tally.on_disk, 'event')} on hosts' disks, as their processes told", "yellow")
    if outside.is_recent(tally, now_ms):
        say(outside.describe_unaccepted(tally, now_ms), "bold red")
    if tally.on_disk or outside.is_recent(tally, now_ms):
        say()


def _status_row(view: QueueView, settings: Settings, now_ms: int, tally: Tally) -> Row:
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
    notes = [*_declines(view, now_ms), *_status_notes(view, settings)]
    if outside.is_recent(tally, now_ms):
        notes.append((outside.describe_unaccepted(tally, now_ms), "bold red"))
    return Row(cells, notes)


def _status_notes(view: QueueView, settings: Settings) -> list[tuple[str, str]]:
    notes = []
    if view.stray:
        notes.append((f"no worker can send it: {view.stray}", "bold red"))
    elif view.limits is None:
        notes.append(("not registered: no worker can send it", "bold red"))
    if view.stopped and not (view.declined_by_all and not view.stopped.needs_person):
        lasts = view.stopped.needs_person or view.stopped.by == "refusal"
        notes.append((str(view.stopped), "bold red" if lasts else "yellow"))
    if health.is_stuck(view, settings):
        pending = count(view.open + view.ready, "event")
        notes.append((f"{span(view.late_seconds)} late, {pending} pending", "bold red"))
    if view.fullness >= 1:
        notes.append((f"full: {view.refused:,} events refused so far", "bold red"))
    if view.released:
        notes.append((_released(view), "yellow"))
    if view.failing:
        notes.append((str(view.failing), "yellow"))
    if view.dead:
        batches = count(view.dead_batches, "dead batch", "dead batches")
        notes.append((f"{batches}, see: vwo-celery dead list", "yellow"))
    if (lost := recent_loss(view)) is not None:
        notes.append((lost, "yellow"))
    if view.unreadable:
        more = len(view.unreadable) - 1
        strange = view.unreadable[0] + (f" and {more} more" if more else "")
        notes.append(
            (f"cannot be read by this release: {strange}, see: vwo-celery doctor", "bold red")
        )
    if not view.ledger.balanced:
        notes.append(("out of balance, see: vwo-celery ledger", "bold red"))
    if view.receiver_errors:
        notes.append((f"receivers and callbacks raised {view.receiver_errors:,} times", "yellow"))
    return notes


def _released(view: QueueView) -> str:
    due, stopped = view.next_try_seconds or 0, view.stopped
    if stopped is not None and stopped.needs_person:
        when = "no attempt while it is paused"
    else:
        when = f"next attempt in {span(max(due, (stopped and stopped.next_try_seconds) or 0))}"
    return f"released, {when}, attempt {view.attempt} failed: {view.error}"
