"""The doctor's checks of the queues: what is registered, refused, paused, late, full, dead or lost.

Reads Redis and changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vwo_celery.errors import CallbackRefused
from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.operating.health import is_stuck
from vwo_celery.operating.inspector import QueueView, view_queues, view_strays
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.snapshots import REDIS_LOST
from vwo_celery.queue.registration import Registration, Registrations
from vwo_celery.sending.hosts import host_allowed
from vwo_celery.settings import Settings
from vwo_celery.settings.callbacks import find_callback
from vwo_celery.text.amounts import count, span

#: Most queues that one finding names; the others are counted.
_MOST_NAMES = 5
#: Share of its capacity from which a queue is nearly full.
_NEARLY_FULL = 0.8
#: Longest time for which a loss in Redis deserves a warning; the ledger keeps the number.
_RECENT_SECONDS = 86_400.0


def queue_findings(fleet: Fleet, settings: Settings) -> Iterator[Finding]:
    """Judge all queues.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    found = fleet.registrations()
    views, strays = view_queues(fleet, found.readable), view_strays(fleet, *found)
    yield _registered(fleet, found, strays, settings)
    yield _hosts(found.readable, settings)
    yield from _callbacks(found.readable, settings)
    yield from _strays([view for view in strays if view.queue not in found.unreadable])
    yield _declined(views)
    yield _paused(views)
    yield _stopped(views)
    yield _late(views, settings)
    yield _not_accepted(views)
    yield _full(views)
    yield _dead(views)
    yield _lost(views)
    yield from _unreadable(views)
    yield _balance(views)


def _registered(
    fleet: Fleet, found: Registrations, strays: list[QueueView], settings: Settings
) -> Finding:
    if found.unreadable:
        name, reason = next(iter(found.unreadable.items()))
        held = sum(view.undelivered for view in strays if view.queue in found.unreadable)
        list_of_queues = fleet.keys.queues
        return problem(
            "queues",
            f"the registration of {_names(found.unreadable)} cannot be read by this release, and "
            f"{count(held, 'event')} of theirs cannot be sent: {reason}",
            "if a later release wrote it, upgrade the workers and this command; else restart its "
            "application, whose first event registers the queue again; if that changes nothing, "
            "give it the registration of the queue that the application uses now (vwo-celery "
            f'queues): redis-cli HSET {list_of_queues} {name} "$(redis-cli HGET {list_of_queues} '
            'QUEUE)"',
        )
    if not found.readable:
        return warn(
            "queues",
            f"no queue is registered in namespace {settings.namespace!r}",
            "an application registers its queue with its first event; see whether its redis_url "
            "and namespace are the ones given here",
        )
    return ok("queues", f"{count(len(found.readable), 'queue')} registered")


def _hosts(registered: Mapping[str, Registration], settings: Settings) -> Finding:
    refused: dict[str, list[str]] = {}
    for queue, registration in registered.items():
        if not host_allowed(registration.destination, settings.allowed_hosts):
            refused.setdefault(registration.destination.origin, []).append(queue)
    if not refused:
        return ok("hosts", "workers with these settings may send to every queue's host")
    hosts = "; ".join(f"{origin} of {_names(queues)}" for origin, queues in refused.items())
    return problem(
        "hosts",
        f"workers with these settings refuse to send to {hosts}",
        "if it is meant, add the host to allowed_hosts (VWO_CELERY_ALLOWED_HOSTS) of every worker, and "
        "where doctor runs",
    )


def _callbacks(registered: Mapping[str, Registration], settings: Settings) -> Iterator[Finding]:
    paths = sorted({found.flush_callback for found in registered.values()} - {""})
    refused = [finding for path in paths if (finding := _callback(path, settings)) is not None]
    if paths and not refused:
        yield ok("callbacks", f"{count(len(paths), 'flush_callback')} can be imported")
    yield from refused


def _callback(path: str, settings: Settings) -> Finding | None:
    try:
        find_callback(path, settings.callback_modules)
    except CallbackRefused as exc:
        # An import that fails here may well succeed where the workers run.
        grade = warn if exc.__cause__ else problem
        remedy = "make it importable for every worker; batches are delivered without it"
        return grade("callbacks", f"with these settings: {exc}", remedy)
    return None


def _strays(strays: list[QueueView]) -> Iterator[Finding]:
    if strays:
        names = _names(view.queue for view in strays)
        events = count(sum(view.undelivered for view in strays), "event")
        yield problem(
            "unregistered",
            f"{names} hold {events} and are not registered, so no worker can send them",
            "start the application that they belong to: its first event registers its queue again",
        )


def _declined(views: list[QueueView]) -> Finding:
    declined = [view for view in views if view.declines]
    if not declined:
        return ok("declined", "no worker leaves a queue to others")
    worst = [view for view in declined if view.declined_by_all]
    which = "; ".join(
        f"{view.queue} by {_names(decline.worker for decline in view.declines)}: "
        f"{view.declines[0].why}"
        for view in (worst or declined)[:_MOST_NAMES]
    )
    if worst:
        return problem(
            "declined",
            f"{count(len(worst), 'queue')} declined by every listening worker: {which}",
            "mend it in one of them, or start one that may; the queue then goes on by itself (where it "
            "is only the callback, its events are sent without it meanwhile)",
        )
    return warn(
        "declined",
        f"{count(len(declined), 'queue')} left to others by some workers: {which}",
        "mend it in the workers named, if it is not meant so",
    )


def _paused(views: list[QueueView]) -> Finding:
    paused = [view for view in views if view.paused]
    if not paused:
        return ok("paused", "no queue is paused")
    held = sum(view.undelivered for view in paused)
    why = "; ".join(f"{view.queue} {view.stopped}" for view in paused[:_MOST_NAMES])
    grade = problem if held else warn
    which = paused[0].queue if len(paused) == 1 else "QUEUE"
    return grade(
        "paused",
        f"{count(len(paused), 'queue')} paused, {count(held, 'event')} held back: {why}",
        f"mend what it says, then: vwo-celery resume --queue {which}",
    )


def _stopped(views: list[QueueView]) -> Finding:
    """Judge the queues that heal by themselves: VWO may have refused for so long that it will not.

    Those that no worker may send are `_declined`'s.
    """
    healing = [view for view in views if view.stopped and not view.stopped.needs_person]
    stopped = [view for view in healing if view.stopped and view.stopped.by != "workers"]
    if not stopped:
        return ok("stopped", "no queue waits for VWO to accept again")
    refused = [view for view in stopped if view.stopped and view.stopped.by == "refusal"]
    held = sum(view.undelivered for view in stopped)
    why = "; ".join(f"{view.queue} {view.stopped}" for view in (refused or stopped)[:_MOST_NAMES])
    lasting = any(view.stopped and view.stopped.is_long for view in refused) and held
    remedy = "nothing at once: events are kept, and sent when a probe is accepted"
    if refused:
        which = refused[0].queue if len(refused) == 1 else "QUEUE"
        remedy = (
            "if it stays, mend what it says; it is tried again by itself, and at once with: "
            f"vwo-celery resume --queue {which}"
        )
    return (problem if lasting else warn)(
        "stopped",
        f"{count(len(stopped), 'queue')} stopped, {count(held, 'event')} held back: {why}",
        remedy,
    )


def _late(views: list[QueueView], settings: Settings) -> Finding:
    stuck = [view for view in views if is_stuck(view, settings)]
    if not stuck:
        return ok("lateness", "no event is far over its queue's interval")
    worst = "; ".join(
        f"{view.queue}: {count(view.open + view.ready, 'event')} pending, the oldest "
        f"{span(view.late_seconds)} late"
        for view in stuck[:_MOST_NAMES]
    )
    return problem(
        "lateness",
        f"{count(len(stuck), 'queue')} far over the interval: {worst}",
        "see the other findings; if all is well, add workers or raise max_parallel_sends",
    )


def _not_accepted(views: list[QueueView]) -> Finding:
    waiting = [view for view in views if view.released]
    if not waiting:
        return ok("answers", "no batch waits for another attempt")
    events = sum(view.released for view in waiting)
    why = "; ".join(
        f"{view.queue}: {view.error} (attempt {view.attempt}, the next in "
        f"{span(view.next_try_seconds or 0)})" + (f"; {view.failing}" if view.failing else "")
        for view in waiting[:_MOST_NAMES]
    )
    return warn(
        "answers",
        f"{count(events, 'event')} not accepted yet, another attempt follows: {why}",
        "if it is VWO or the network, nothing: they are kept, and sent when it is over; if it is "
        "one batch for ever: vwo-celery dead add --batch ID",
    )


def _full(views: list[QueueView]) -> Finding:
    full = sorted((v for v in views if v.fullness >= _NEARLY_FULL), key=lambda v: -v.fullness)
    if not full:
        return ok("capacity", "every queue is far below its capacity")
    what = "; ".join(
        f"{view.queue} {view.fullness:.0%}, {count(view.refused, 'event')} refused so far"
        for view in full[:_MOST_NAMES]
    )
    grade = problem if full[0].fullness >= 1 else warn
    return grade(
        "capacity",
        f"at or near capacity: {what}",
        "see why it does not drain; else raise max_queue_events and max_queue_bytes in the "
        "applications",
    )


def _dead(views: list[QueueView]) -> Finding:
    dead = [view for view in views if view.dead]
    if not dead:
        return ok("dead letters", "there are none")
    events = count(sum(view.dead for view in dead), "event")
    batches = count(sum(view.dead_batches for view in dead), "batch", "batches")
    return warn(
        "dead letters",
        f"{events} in {batches} of {_names(view.queue for view in dead)}",
        "vwo-celery dead list; then dead redrive or dead purge",
    )


def _lost(views: list[QueueView]) -> Finding:
    lost = [f"of {view.queue}: {loss}" for view in views if (loss := recent_loss(view)) is not None]
    forgotten = [_lost_queue(view) for view in views if _is_recent(view.forgotten_age_seconds)]
    if not (lost or forgotten):
        return ok("redis lost", "no producer noticed of late that Redis lost events")
    return warn(
        "redis lost",
        "; ".join(lost[:_MOST_NAMES] + forgotten[:_MOST_NAMES]),
        "Redis crashed, failed over to a replica that lagged, was restarted empty, flushed, or "
        "evicts: see its log, and persistence and eviction above",
    )


def recent_loss(view: QueueView) -> str | None:
    """The events of a queue that Redis lost, if a producer noticed it of late."""
    if not _is_recent(view.redis_lost_age_seconds):
        return None
    events = count(view.dropped.get(REDIS_LOST, 0), "event")
    ago = span(view.redis_lost_age_seconds or 0)
    return f"Redis lost at most {events} that it had confirmed as stored, noticed {ago} ago"


def _lost_queue(view: QueueView) -> str:
    ago = span(view.forgotten_age_seconds or 0)
    return (
        f"Redis lost all of {view.queue}, noticed {ago} ago: its events are gone with its "
        "counters, nobody knows how much"
    )


def _is_recent(age_seconds: float | None) -> bool:
    return age_seconds is not None and age_seconds < _RECENT_SECONDS


def _unreadable(views: list[QueueView]) -> Iterator[Finding]:
    strange = [f"{view.queue}: {what}" for view in views for what in view.unreadable]
    if strange:
        yield problem(
            "unreadable",
            f"this release cannot read {_names(strange)}; a batch whose line cannot be read is left "
            "as it is, and its worker goes on with the others",
            "if a later release wrote it, let its workers run; else somebody edited the keys: see "
            "docs/reference/redis-keys.md for what belongs there",
        )


def _balance(views: list[QueueView]) -> Finding:
    wrong = [view.queue for view in views if not view.ledger.balanced]
    if not wrong:
        return ok("ledger", "every queue's ledger balances")
    return problem(
        "ledger",
        f"the ledger of {_names(wrong)} is out of balance",
        "see: vwo-celery ledger. Keys were deleted or evicted, or vwo_celery has a bug: report it",
    )


def _names(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _MOST_NAMES} more" if len(shown) > _MOST_NAMES else ""
    return ", ".join(shown[:_MOST_NAMES]) + more
