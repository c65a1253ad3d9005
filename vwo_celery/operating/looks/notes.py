"""Notes on a queue: what needs attention, why and since when, as `vwo-celery status` shows them.

Pure decisions on views: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vwo_celery.destinations import Destination
from vwo_celery.operating.looks import health, outside
from vwo_celery.operating.looks.losses import is_recent, recent_loss, recent_repair
from vwo_celery.operating.looks.stops import Stop
from vwo_celery.operating.looks.views import Drop, QueueView
from vwo_celery.queue.handling.moving import EXPORTED
from vwo_celery.queue.looks.snapshots import REDIS_LOST
from vwo_celery.queue.looks.tallies import Tally
from vwo_celery.queue.shard import PURGED
from vwo_celery.queue.words.registration import Registration
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count, span
from vwo_celery.text.masking import mask
from vwo_celery.text.moments import since

#: Grades of notes, as styles: wrong, so that the command exits 1; worth a look; good to know.
WRONG, LOOK, KNOW = "bold red", "yellow", "dim"
#: Reasons of drops that an operator meant.
_MEANT = (PURGED, EXPORTED)


class Note(NamedTuple):
    """A text and its style."""

    text: str
    style: str


def notes_of(view: QueueView, settings: Settings, now_ms: int, tally: Tally) -> list[Note]:
    """The notes on one queue, the worst kinds first.

    Args:
        view: The queue.
        settings: A worker's; only the sweep's interval is used.
        now_ms: Redis' time.
        tally: What producers told of it.
    """
    found = [
        *_unsendable(view),
        *_declines(view, now_ms),
        *_stops(view),
        *_lateness(view, settings),
        *_failures(view),
        *_losses(view),
        *_oddities(view),
    ]
    if outside.is_recent(tally, now_ms):
        found.append(Note(outside.describe_unaccepted(tally, now_ms), WRONG))
    return found


def is_wrong(notes: list[Note]) -> bool:
    """Whether one of them tells that something is wrong."""
    return any(note.style == WRONG for note in notes)


def _unsendable(view: QueueView) -> Iterator[Note]:
    if view.stray:
        yield Note(f"no worker can send it: {view.stray}", WRONG)
    elif view.limits is None and not view.unreadable:
        yield Note("not registered: no worker can send it", WRONG)
    if view.unreadable:
        more = len(view.unreadable) - 1
        strange = view.unreadable[0] + (f" and {more} more" if more else "")
        yield Note(f"cannot be read by this release: {strange}, see: vwo-celery doctor", WRONG)
    elif not view.ledger.balanced:
        yield Note("out of balance, see: vwo-celery ledger", WRONG)


def _declines(view: QueueView, now_ms: int) -> Iterator[Note]:
    if not view.declines:
        return
    first = min(view.declines, key=lambda decline: decline.since_ms)
    who = "every worker" if view.declined_by_all else count(len(view.declines), "worker")
    began = since(max(0, now_ms - first.since_ms) / 1000)
    text = f"declined by {who}, by {first.worker} {began}: {first.why}"
    wrong = view.declined_by_all and view.undelivered
    yield Note(text, WRONG if wrong else LOOK)


def _stops(view: QueueView) -> Iterator[Note]:
    if (stop := _told_stop(view)) is not None:
        lasts = stop.needs_person or stop.by == "refusal"
        outage = f"; {_outage(view, stop.why)}" if _fails(view) else ""
        if outage and stop.needs_person:
            outage += f"; {_next_try(view)}"
        if stop.needs_person:
            outage += f"; to send again: vwo-celery resume --queue {view.queue}"
        yield Note(f"{stop}{outage}", WRONG if lasts and view.undelivered else LOOK)


def _told_stop(view: QueueView) -> Stop | None:
    """The stop, unless it only says that every worker declines the queue, which is told already."""
    stop = view.stopped
    return None if stop and view.declined_by_all and not stop.needs_person else stop


def _fails(view: QueueView) -> bool:
    return view.failing_seconds is not None and view.undelivered > 0


def _lateness(view: QueueView, settings: Settings) -> Iterator[Note]:
    if health.is_stuck(view, settings):
        pending = count(view.open + view.ready, "event")
        yield Note(f"{span(view.late_seconds)} late, {pending} pending", WRONG)
    if view.fullness >= 1:
        yield Note(f"full: {count(view.refused, 'event')} refused so far", WRONG)


def _failures(view: QueueView) -> Iterator[Note]:
    told = view.stopped.why if view.stopped else ""
    if _fails(view):
        if _told_stop(view) is None:  # else one line has both
            yield Note(f"{_outage(view, told)}; {_next_try(view)}", LOOK)
        told = view.answer
    elif view.released:
        yield Note(
            f"released, {_next_try(view)}, attempt {view.attempt} failed: {view.error}", LOOK
        )
        told = view.error
    if view.failing:
        yield Note(view.failing.told_beside(told), LOOK)
    if view.dead:
        batches = count(view.dead_batches, "dead batch", "dead batches")
        yield Note(f"{batches}, see: vwo-celery dead list", LOOK)


def _outage(view: QueueView, told: str) -> str:
    kept = count(view.undelivered, "event")
    why = "" if view.answer == told else f": {view.answer}"
    return f"VWO has accepted nothing {since(view.failing_seconds or 0.0)}{why}; {kept} kept"


def _next_try(view: QueueView) -> str:
    due, stopped = view.next_try_seconds or 0, view.stopped
    if stopped is not None and stopped.needs_person:
        return "no try while it is paused"
    soon = max(due, (stopped and stopped.next_try_seconds) or 0)
    return f"next try in {span(soon)}" if soon else "next try is due"


def _losses(view: QueueView) -> Iterator[Note]:
    if (lost := recent_loss(view)) is not None:
        yield Note(lost, LOOK)
    for drop in view.drops:
        if drop.reason != REDIS_LOST:
            yield _drop(drop)


def _drop(drop: Drop) -> Note:
    recent = is_recent(drop.last_age_seconds)
    when = "by a release before 0.2.0"
    if drop.first_age_seconds is not None and drop.last_age_seconds is not None:
        when = f"{since(drop.first_age_seconds)}, the last {span(drop.last_age_seconds)} ago"
    style = LOOK if recent and drop.reason not in _MEANT else KNOW
    return Note(f"{count(drop.events, 'event')} dropped ({drop.reason}) {when}", style)


def _oddities(view: QueueView) -> Iterator[Note]:
    if view.incomplete and view.undelivered:
        text = "its age and its released events are at least those: a worker of an older release"
        yield Note(f"{text} does not note all; the sweep makes up for it", KNOW)
    if repaired := recent_repair(view):
        yield Note(f"stranded: {repaired}", LOOK)
    if view.receiver_errors:
        yield Note(f"receivers and callbacks raised {view.receiver_errors:,} times", LOOK)


def tell_apart(registered: Mapping[str, Registration]) -> dict[str, str]:
    """Words that tell queues of one account apart, by their names; none for an account's only one."""
    accounts: dict[str, list[str]] = {}
    for queue, registration in registered.items():
        accounts.setdefault(str(registration.destination.account_id), []).append(queue)
    words: dict[str, str] = {}
    for those in accounts.values():
        traits = {queue: _traits(registered[queue].destination) for queue in those}
        for queue in those if len(those) > 1 else ():
            differing = [
                text
                for name, text in traits[queue].items()
                if any(other[name] != text for other in traits.values())
            ]
            words[queue] = ", ".join(differing)
    return words


def _traits(destination: Destination) -> dict[str, str]:
    """What may tell a destination from another of its account, in words."""
    statistics = "with" if destination.statistics else "without"
    return {
        "key": f"key {mask(destination.sdk_key)}",
        "origin": f"to {destination.origin}",
        "region": f"region {destination.region or 'none'}",
        "generation": destination.generation,
        "sdk": f"as {destination.sdk_words}",
        "statistics": f"{statistics} usage statistics",
    }
