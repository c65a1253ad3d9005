"""The doctor: everything that commonly keeps events from leaving, each with its remedy.

Place: work, beside an event's way; delivery never imports it. It looks, and changes nothing. What is
wrong is a finding, never an exception, so that one trouble hides no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from vwo_celery.errors import CallbackRefused, QueueUnavailable
from vwo_celery.operating.findings import (
    BrokerFacts,
    Finding,
    State,
    beat_finding,
    broker_findings,
    listener_finding,
    redis_findings,
)
from vwo_celery.operating.health import is_stuck
from vwo_celery.operating.inspector import (
    QueueView,
    view_queues,
    view_strays,
)
from vwo_celery.operating.spool_findings import spool_finding
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.registration import Registration, Registrations
from vwo_celery.queue.servers import read_servers
from vwo_celery.queue.snapshots import REDIS_LOST
from vwo_celery.sending.hosts import host_allowed
from vwo_celery.settings import Settings
from vwo_celery.settings.callbacks import find_callback
from vwo_celery.text.amounts import count, span
from vwo_celery.text.masking import mask_url

#: Queues that one finding names; the rest is counted.
_MOST_NAMES = 5
#: Share of its capacity from which a queue is nearly full.
_NEARLY_FULL = 0.8
#: How long what Redis lost is worth a warning; the ledger keeps the number.
_RECENT_SECONDS = 86_400.0


def examine(
    settings: Settings,
    open_fleet: Callable[[], Fleet],
    look_at_broker: Callable[[Settings], BrokerFacts],
) -> Iterator[Finding]:
    """Every finding, as it is found.

    Args:
        settings: What the command was given; that workers were given the same is not known.
        open_fleet: Opens the Redis that holds the queues.
        look_at_broker: Finds out about Celery's broker; must not raise.
    """
    url = mask_url(settings.redis_url)
    yield Finding("settings", "ok", f"in range; {url}, namespace {settings.namespace}")
    yield spool_finding(settings)
    listeners: list[str] = []
    try:
        fleet = open_fleet()
        for facts in read_servers(fleet.client):
            yield from redis_findings(facts)
        listeners = fleet.listeners()
        yield listener_finding(listeners)
        yield beat_finding(fleet.last_sweeps_ms(), fleet.now_ms(), settings)
        yield from _fleet_findings(fleet, settings)
    except QueueUnavailable as exc:
        yield _unreachable(settings, exc)
    yield from broker_findings(look_at_broker(settings), listeners)


def _unreachable(settings: Settings, exc: QueueUnavailable) -> Finding:
    return Finding(
        "redis", "problem", f"{mask_url(settings.redis_url)} cannot be used: {exc}",
        "start it, or correct redis_url (VWO_CELERY_REDIS_URL, --redis-url)",
    )  # fmt: skip


def _fleet_findings(fleet: Fleet, settings: Settings) -> Iterator[Finding]:
    found = fleet.registrations()
    yield _registered(found, settings)
    yield _hosts(found.readable, settings)
    yield from _callbacks(found.readable, settings)
    views = view_queues(fleet, found.readable)
    yield from _strays(view_strays(fleet, [*found.readable, *found.unreadable]))
    for judge in (_paused, _late, _not_accepted, _full, _dead, _lost, _balance):
        yield judge(views, settings)


def _registered(found: Registrations, settings: Settings) -> Finding:
    if found.unreadable:
        return Finding(
            "queues", "problem",
            f"the registration of {_names(found.unreadable)} cannot be read by this release: "
            f"{next(iter(found.unreadable.values()))}",
            "upgrade workers and this command to the release that the applications run",
        )  # fmt: skip
    if not found.readable:
        return Finding(
            "queues", "warn", f"no queue is registered in namespace {settings.namespace!r}",
            "an application registers its queue with its first event; see whether its redis_url "
            "and namespace are the ones given here",
        )  # fmt: skip
    return Finding("queues", "ok", f"{count(len(found.readable), 'queue')} registered")


def _hosts(registered: Mapping[str, Registration], settings: Settings) -> Finding:
    refused: dict[str, list[str]] = {}
    for queue, registration in registered.items():
        if not host_allowed(registration.destination, settings.allowed_hosts):
            refused.setdefault(registration.destination.origin, []).append(queue)
    if not refused:
        return Finding("hosts", "ok", "workers with these settings may send to every queue's host")
    hosts = "; ".join(f"{origin} of {_names(queues)}" for origin, queues in refused.items())
    return Finding(
        "hosts", "problem", f"workers with these settings refuse to send to {hosts}",
        "if it is meant, add the host to allowed_hosts (VWO_CELERY_ALLOWED_HOSTS) of every worker",
    )  # fmt: skip


def _callbacks(registered: Mapping[str, Registration], settings: Settings) -> Iterator[Finding]:
    paths = sorted({found.flush_callback for found in registered.values()} - {""})
    refused = [finding for path in paths if (finding := _callback(path, settings)) is not None]
    if paths and not refused:
        yield Finding("callbacks", "ok", f"{count(len(paths), 'flush_callback')} can be imported")
    yield from refused


def _callback(path: str, settings: Settings) -> Finding | None:
    try:
        find_callback(path, settings.callback_modules)
    except CallbackRefused as exc:
        # What cannot be imported here may well be where the workers run.
        state: State = "warn" if exc.__cause__ else "problem"
        remedy = "make it importable for every worker; batches are delivered all the same"
        return Finding("callbacks", state, f"with these settings: {exc}", remedy)
    return None


def _strays(strays: list[QueueView]) -> Iterator[Finding]:
    if strays:
        events = sum(view.undelivered for view in strays)
        yield Finding(
            "unregistered", "problem",
            f"{_names(view.queue for view in strays)} hold {count(events, 'event')} and are not "
            "registered, so that no worker can send them",
            "start the application that they belong to: its first event registers its queue again",
        )  # fmt: skip


def _paused(views: list[QueueView], _: Settings) -> Finding:
    paused = [view for view in views if view.paused]
    if not paused:
        return Finding("paused", "ok", "no queue is paused")
    held = sum(view.undelivered for view in paused)
    why = "; ".join(f"{view.queue}: {view.paused}" for view in paused[:_MOST_NAMES])
    return Finding(
        "paused", "problem" if held else "warn",
        f"{count(len(paused), 'queue')} paused, {count(held, 'event')} held back: {why}",
        "mend what it says, then: vwo-celery resume --queue QUEUE",
    )  # fmt: skip


def _late(views: list[QueueView], settings: Settings) -> Finding:
    stuck = [view for view in views if is_stuck(view, settings)]
    if not stuck:
        return Finding("lateness", "ok", "no event is far over its queue's interval")
    worst = "; ".join(
        f"{view.queue}: {count(view.open + view.ready, 'event')} pending, the oldest "
        f"{span(view.late_seconds)} late"
        for view in stuck[:_MOST_NAMES]
    )
    return Finding(
        "lateness", "problem", f"{count(len(stuck), 'queue')} far over the interval: {worst}",
        "see the other findings; if all is well, add workers or raise max_parallel_sends",
    )  # fmt: skip


def _not_accepted(views: list[QueueView], _: Settings) -> Finding:
    waiting = [view for view in views if view.released]
    if not waiting:
        return Finding("answers", "ok", "no batch waits for another try")
    events = sum(view.released for view in waiting)
    why = "; ".join(
        f"{view.queue}: {view.error} (attempt {view.attempt}, next try in "
        f"{span(view.next_try_seconds or 0)})"
        for view in waiting[:_MOST_NAMES]
    )
    return Finding(
        "answers", "warn", f"{count(events, 'event')} not accepted yet and tried again: {why}",
        "if it is VWO or the network, nothing: they are kept, and sent when it is over",
    )  # fmt: skip


def _full(views: list[QueueView], _: Settings) -> Finding:
    full = sorted((v for v in views if v.fullness >= _NEARLY_FULL), key=lambda v: -v.fullness)
    if not full:
        return Finding("capacity", "ok", "every queue is far below its capacity")
    what = "; ".join(
        f"{view.queue} {view.fullness:.0%}, {count(view.refused, 'event')} refused so far"
        for view in full[:_MOST_NAMES]
    )
    return Finding(
        "capacity", "problem" if full[0].fullness >= 1 else "warn",
        f"at or near capacity: {what}",
        "see why it does not drain; else raise max_queue_events and max_queue_bytes in the "
        "applications",
    )  # fmt: skip


def _dead(views: list[QueueView], _: Settings) -> Finding:
    dead = [view for view in views if view.dead]
    if not dead:
        return Finding("dead letters", "ok", "there are none")
    events, batches = sum(view.dead for view in dead), sum(view.dead_batches for view in dead)
    return Finding(
        "dead letters", "warn",
        f"{count(events, 'event')} in {count(batches, 'batch', 'batches')} of "
        f"{_names(view.queue for view in dead)}",
        "vwo-celery dead list; then dead redrive or dead purge",
    )  # fmt: skip


def _lost(views: list[QueueView], _: Settings) -> Finding:
    lost = [view for view in views if _is_recent(view.redis_lost_age_seconds)]
    forgotten = [view for view in views if _is_recent(view.forgotten_age_seconds)]
    if not (lost or forgotten):
        return Finding("redis lost", "ok", "no producer noticed of late that Redis lost events")
    what = [
        f"Redis lost at most {count(view.dropped.get(REDIS_LOST, 0), 'event')} of {view.queue}, noticed "
        f"{span(view.redis_lost_age_seconds or 0)} ago, that it had said to be stored"
        for view in lost[:_MOST_NAMES]
    ] + [
        f"Redis lost all of {view.queue}, noticed {span(view.forgotten_age_seconds or 0)} ago: "
        "what it held then is gone with its counters, nobody knows how much"
        for view in forgotten[:_MOST_NAMES]
    ]
    return Finding(
        "redis lost", "warn", "; ".join(what),
        "it crashed, failed over to a replica that lagged, was restarted empty, flushed, or evicts: see "
        "its log, and persistence and eviction above",
    )  # fmt: skip


def _is_recent(age_seconds: float | None) -> bool:
    return age_seconds is not None and age_seconds < _RECENT_SECONDS


def _balance(views: list[QueueView], _: Settings) -> Finding:
    wrong = [view.queue for view in views if not view.ledger.balanced]
    if not wrong:
        return Finding("ledger", "ok", "every queue's ledger balances")
    return Finding(
        "ledger", "problem", f"the ledger of {_names(wrong)} is out of balance",
        "see: vwo-celery ledger. Keys were deleted or evicted, or it is a bug of ours: report it",
    )  # fmt: skip


def _names(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _MOST_NAMES} more" if len(shown) > _MOST_NAMES else ""
    return ", ".join(shown[:_MOST_NAMES]) + more
