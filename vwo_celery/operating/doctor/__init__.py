"""The doctor: finds everything that commonly keeps events from leaving, each with its remedy.

Beside an event's way; delivery never imports it. `kinds` is the table of all troubles, with their
ids; a `finding` is one of them, found; `limits` ends checks that hang. Each other file holds the
checks of one thing, which are pure decisions on facts: `variables` (of the environment), `relay`
(its settings, and what relays met), `spool` (this host's), `connection` and `servers` (Redis
itself), `sentinel`, `permissions` (of its user), `workers` (listeners and beat), `cards`, `broker`
(Celery's), and `queues`, a room of its own. `wording` has what their sentences share. The doctor
changes nothing: nothing to lose. A fault is a finding, never an exception, so one fault hides no
other; what only follows from a fault is told with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from vwo_celery.connections.troubles import is_denied, trouble_of
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.doctor.broker import (
    BrokerFacts,
    broker_findings,
    misdirected_finding,
)
from vwo_celery.operating.doctor.cards import worker_cards_findings
from vwo_celery.operating.doctor.connection import away_finding
from vwo_celery.operating.doctor.finding import Finding, ok, problem
from vwo_celery.operating.doctor.limits import Watch, in_time, unwatched
from vwo_celery.operating.doctor.permissions import permission_finding
from vwo_celery.operating.doctor.queues import Queues, look_at_queues, queue_findings
from vwo_celery.operating.doctor.queues.history import history_finding
from vwo_celery.operating.doctor.relay import (
    helpless_relay_findings,
    relay_cards_findings,
    relay_findings,
)
from vwo_celery.operating.doctor.sentinel import sentinel_finding
from vwo_celery.operating.doctor.servers import server_findings
from vwo_celery.operating.doctor.spool import spool_finding
from vwo_celery.operating.doctor.variables import mistyped_findings
from vwo_celery.operating.doctor.workers import beat_finding, lanes_finding, listener_finding
from vwo_celery.operating.looks.knowing import NEEDED, known, wrong_job_keys, wrong_keys
from vwo_celery.operating.looks.relays import view_relays
from vwo_celery.operating.looks.workers import view_workers
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.listening import Listening, listening
from vwo_celery.queue.parts import Part, describe_away
from vwo_celery.queue.records.histories import last_sampled_ms
from vwo_celery.queue.routes import wait_seconds
from vwo_celery.queue.servers.facts import read_servers
from vwo_celery.queue.servers.mastership import read_mastership
from vwo_celery.queue.servers.permissions import missing, producer_needs, worker_lacks
from vwo_celery.queue.servers.writes import refused_write
from vwo_celery.settings import Settings
from vwo_celery.text.masking import mask_url

#: Findings that tell of events on this host's disk.
_SPOOLED = ("VC114", "VC115")
#: Findings that only tell of the disk for which Redis refuses each write.
_OF_THE_DISK = ("VC233", "VC236")
_START_PART = "start that server, give each master a replica, and see its log"

__all__ = ["BrokerFacts", "Finding", "Queues", "examine"]


def examine(
    settings: Settings,
    open_fleet: Callable[[], Fleet],
    look_at_broker: Callable[[Settings], BrokerFacts],
    watch: Watch = unwatched,
    look: Callable[[Fleet], Queues] = look_at_queues,
) -> Iterator[Finding]:
    """Run every check and yield each finding as soon as it is known.

    Args:
        settings: The command's own; workers may have been given others.
        open_fleet: Opens the Redis that holds the queues.
        look_at_broker: Collects the facts about Celery's broker; must not raise.
        watch: Called while a check takes long.
        look: Looks at the queues, for who has looked a moment ago.
    """
    yield ok(
        "settings", f"in range; {mask_url(settings.redis_url)}, namespace {settings.namespace}"
    )
    yield from mistyped_findings()
    yield from relay_findings(settings)
    redis = _Redis(settings, open_fleet, look)
    for finding in in_time("this host's spool", lambda: [spool_finding(settings)], watch):
        if finding.id in _SPOOLED:
            redis.spooled = finding.what
        yield finding
    yield from in_time("Redis", redis.findings, watch)

    def broker() -> Iterable[Finding]:
        return broker_findings(look_at_broker(settings), redis.listeners, away=redis.away)

    yield from in_time("Celery's broker and workers", broker, watch)


class _Redis:
    """The checks of what stands in Redis.

    Attributes:
        listeners: Workers that listen; None if that is not known.
        away: The error by which Redis cannot be used, or takes no events; None if it does.
        spooled: Words for the events that wait for it on this host, which say since when; "" for none.
    """

    def __init__(
        self,
        settings: Settings,
        open_fleet: Callable[[], Fleet],
        look: Callable[[Fleet], Queues],
    ) -> None:
        self.listeners: list[str] | None = None
        self.away: QueueUnavailable | None = None
        self.spooled = ""
        self._settings = settings
        self._open_fleet = open_fleet
        self._look = look
        self._told: set[str] = set()

    def findings(self) -> Iterator[Finding]:
        """All of them; a Redis that cannot be used is one, too, and none is told twice."""
        for finding in self._all():
            self._told.add(finding.id)
            yield finding

    def _all(self) -> Iterator[Finding]:
        try:
            fleet = self._open_fleet()
            found = list(_servers(fleet))
            refused = refused_write(fleet)  # it may answer every look, and take no event
            disk = refused is not None and trouble_of(refused).word == "disk"
            yield from (each for each in found if not (disk and each.id in _OF_THE_DISK))
            if refused is not None and not is_denied(refused):
                self.away = refused
                yield from self._trouble(refused)
            yield from self._contents(fleet)
        except QueueUnavailable as exc:
            self.away = exc
            yield from self._trouble(exc)

    def _trouble(self, exc: QueueUnavailable) -> Iterator[Finding]:
        url = mask_url(self._settings.redis_url)
        finding = away_finding(url, exc, self._open_fleet, self.spooled)
        for each in (finding, *helpless_relay_findings(self._settings)):
            if each.id not in self._told:
                yield each

    def _contents(self, fleet: Fleet) -> Iterator[Finding]:
        yield from _wrong_types(fleet)
        queues = self._look(fleet)
        workers = known(fleet, fleet.keys.listeners, lambda: listening(fleet))
        # Where Redis takes no writes, nobody can note a sign of life: then silence says nothing.
        if workers or (workers is not None and self.away is None):
            self.listeners = [worker.name for worker in workers]
            yield _listener(fleet, workers, queues)
        if self.listeners:
            cards = known(fleet, fleet.keys.workers, lambda: view_workers(fleet))
            yield from worker_cards_findings(cards or ())
        yield from relay_cards_findings(
            known(fleet, fleet.keys.relays, lambda: view_relays(fleet)) or ()
        )
        if self.away is None:
            yield from _signs(fleet, self._settings, self.listeners)
        explained = self.listeners == [] or self.away is not None
        yield from queue_findings(fleet, self._settings, queues, explained=explained)


def _wrong_types(fleet: Fleet) -> Iterator[Finding]:
    """Shared keys of a wrong type, but for those without which none can look: that error tells."""
    needed = [getattr(fleet.keys, name) for name in NEEDED]
    for each in (*wrong_keys(fleet), *wrong_job_keys(fleet)):
        if each.key not in needed:
            yield problem("VC212", str(each), each.remedy)


def _servers(fleet: Fleet) -> Iterator[Finding]:
    mastership = read_mastership(fleet.client)
    if mastership is not None:
        yield sentinel_finding(mastership)
    parts = fleet.leave_parts_away()
    for part in parts:
        yield problem("VC208", describe_away(part, time.time()), _START_PART)
    servers = read_servers(fleet.client)
    for facts in servers:
        yield from server_findings(facts)
    if any(facts.sentinel for facts in servers):
        return  # it has users, and no command to try on keys
    yield from _unless_away(parts, _permissions(fleet))


def _permissions(fleet: Fleet) -> Iterator[Finding]:
    yield permission_finding(worker_lacks(fleet), missing(fleet, producer_needs()).commands)


def _unless_away(parts: Sequence[Part], findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings; of those that ask a part of a Cluster that is away, none."""
    try:
        yield from findings
    except QueueUnavailable:
        if not parts:
            raise


def _listener(fleet: Fleet, listeners: Sequence[Listening], queues: Queues) -> Finding:
    last = None if listeners else known(fleet, fleet.keys.pulse, fleet.last_listened_ms)
    if last is None:
        return listener_finding(listeners, held=queues.undelivered)
    silent = max(0, fleet.now_ms() - last) / 1000 if last else None
    return listener_finding(listeners, silent, queues.undelivered)


def _signs(fleet: Fleet, settings: Settings, listeners: Sequence[str] | None) -> Iterator[Finding]:
    """Findings on beat, lanes and messages; without workers it is not known whether beat runs."""
    sweeps_ms, now = known(fleet, fleet.keys.pulse, fleet.last_sweeps_ms), fleet.now_ms()
    if sweeps_ms is None:
        return
    beat = beat_finding(sweeps_ms, now, settings)
    if listeners != [] or beat.state == "ok":
        yield beat
    yield lanes_finding(wait_seconds(fleet.routes(), now))
    yield from misdirected_finding(*fleet.last_misdirected(), now)
    yield from history_finding(last_sampled_ms(fleet), sweeps_ms, now)
