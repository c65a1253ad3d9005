"""`vwo-celery status`: what each queue holds, since when, and why."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.output import Column, Row, print_rows, say
from vwo_celery.cli.shared.session import Session, common_options, json_option, queue_option
from vwo_celery.cli.shared.watching import watch_every
from vwo_celery.operating.doctor.sentinel import master_of
from vwo_celery.operating.documents.status import status_of
from vwo_celery.operating.looks import outside
from vwo_celery.operating.looks.knowing import why_unknown
from vwo_celery.operating.looks.looking import Look, look
from vwo_celery.operating.looks.notes import KNOW, LOOK, WRONG, Note
from vwo_celery.operating.looks.outside import Tally, sum_tallies
from vwo_celery.operating.looks.relays import describe, running
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.operating.looks.workers import spell
from vwo_celery.text.amounts import count, span
from vwo_celery.text.masking import mask_url
from vwo_celery.text.moments import since

#: Most queues of which those that hold nothing are listed, too.
_ALWAYS_LISTED = 20
#: Time between two looks of --watch, in seconds: by default, and the shortest and the longest.
_TURN_SECONDS, _SHORTEST_TURN_SECONDS, _LONGEST_TURN_SECONDS = 2.0, 0.1, 3600.0


@click.command()
@click.option("--all", "every", is_flag=True, help="List queues that hold nothing as well.")
@click.option(
    "--watch", "turn_seconds", type=click.FloatRange(_SHORTEST_TURN_SECONDS, _LONGEST_TURN_SECONDS),
    is_flag=False, flag_value=_TURN_SECONDS, metavar="SECONDS",
    help="Look again and again, every so many seconds, until Ctrl-C.  [2 if no number is given]",
)  # fmt: skip
@queue_option
@common_options
@json_option
@click.pass_context
def status(
    context: click.Context, every: bool, turn_seconds: float | None, queues: Sequence[str]
) -> None:
    """Show what each queue holds, since when and why.

    "oldest" is the age of the oldest event that is not delivered yet, and the interval after which
    a batch leaves at the latest. Queues that hold something come first, the most overdue on top. Where
    there are more than 20 queues, those that hold nothing are only counted; --json lists all. Exits 1
    if something is wrong, which is a line in red, or a part of a Redis Cluster is away; what lies on
    the others is shown. --watch ends on Ctrl-C with 0.
    """
    session = context.ensure_object(Session)
    if turn_seconds is not None:
        if session.json:
            raise click.UsageError("--watch is for people, --json for programs: give one of them")
        watch_every(turn_seconds, session, lambda: _print_look(session, queues, every=every))
        return
    if session.json:
        shown = look(session.fleet, session.settings, queues)
        print_json(status_of(shown, session.settings, session.away))
        wrong = shown.wrong
    else:
        wrong = _print_look(session, queues, every=every)
    if wrong:
        context.exit(1)


# -- for people


_STATUS_COLUMNS = (
    Column("queue"), Column("open", number=True), Column("ready", number=True),
    Column("oldest", number=True), Column("in flight", number=True),
    Column("released", number=True), Column("dead", number=True),
)  # fmt: skip


def _print_look(session: Session, queues: Sequence[str], *, every: bool) -> bool:
    """Look, and print; whether something is wrong."""
    shown = look(session.fleet, session.settings, queues)
    _say_who_works(session, shown)
    _say_what_is_outside(sum_tallies(shown.tallies.values()), shown.now_ms)
    listed = _listed(shown.views, every=every or bool(queues))
    if listed:
        print_rows(_STATUS_COLUMNS, [_row(view, shown) for view in listed])
    elif not shown.views:
        say("no queue is registered; an application registers its queue with its first event")
    if len(listed) < len(shown.views):
        idle = sum(view.idle for view in shown.views)
        say(f"{count(idle, 'queue holds', 'queues hold')} nothing; --all lists them", KNOW)
    return shown.wrong


def _listed(views: Sequence[QueueView], *, every: bool) -> Sequence[QueueView]:
    """The queues to list: where there are many, only those that hold something."""
    if every or len(views) <= _ALWAYS_LISTED:
        return views
    return [view for view in views if not view.idle]


def _row(view: QueueView, shown: Look) -> Row:
    oldest, interval = view.oldest_age_seconds, view.interval_seconds
    age = "-" if oldest is None else ("≥ " * view.incomplete) + span(oldest)
    if oldest is not None and interval:
        age += f" of {span(interval)}"
    cells = [
        view.queue,
        f"{view.open:,}",
        f"{view.ready:,}",
        age,
        f"{view.in_flight:,}",
        f"{view.released:,}",
        f"{view.dead:,}",
    ]
    apart = shown.apart.get(view.queue)
    return Row(cells, [*shown.notes[view.queue], *([Note(apart, KNOW)] if apart else [])])


def _say_who_works(session: Session, shown: Look) -> None:
    settings, fleet = session.settings, session.fleet
    say(f"{mask_url(settings.redis_url)}, namespace {settings.namespace}", KNOW)
    if master := master_of(fleet):
        say(f"Sentinel: {master}")
    for each in shown.wrong_types:
        say(f"{each}: {each.remedy}", WRONG)
    _say_who_listens(session, shown)
    _say_who_sweeps(session, shown)
    if shown.relays and running(shown.relays):
        say(describe(shown.relays))
    say()


def _say_who_listens(session: Session, shown: Look) -> None:
    heard = shown.heard
    if heard is None:
        why = why_unknown(shown.wrong_types, session.fleet, "listeners")
        say(f"which workers listen is not known, since {why}", LOOK)
    elif heard:
        say(f"{count(len(heard), 'worker listens', 'workers listen')}: {spell(heard)}")
    else:
        last = shown.last_heard_ms
        when = (
            f" {since(max(0, shown.now_ms - last) / 1000)}"
            if last
            else ", nor was one ever heard here"
        )
        say(f"no worker listens{when}", WRONG)


def _say_who_sweeps(session: Session, shown: Look) -> None:
    sweeps = shown.sweeps_ms
    if sweeps is None:
        why = why_unknown(shown.wrong_types, session.fleet, "pulse")
        say(f"when queues were last swept is not known, since {why}", LOOK)
        return
    seen = [f"{by} {span(max(0, shown.now_ms - at) / 1000)} ago" for by, at in sweeps.items()]
    if "beat" not in sweeps:
        seen.insert(0, "beat never")
    say(f"last sweeps: {', '.join(seen)}", "" if "beat" in sweeps else LOOK)


def _say_what_is_outside(tally: Tally, now_ms: int) -> None:
    """Tell of events that are in no queue: on hosts' disks, or lost on the way."""
    if tally.on_disk:
        say(f"{count(tally.on_disk, 'event')} on hosts' disks, as their processes told", LOOK)
    if outside.is_recent(tally, now_ms):
        say(outside.describe_unaccepted(tally, now_ms), WRONG)
    if tally.on_disk or outside.is_recent(tally, now_ms):
        say()
