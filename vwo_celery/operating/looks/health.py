"""Health: do events leave in time, and if not, which are stuck?

Beside an event's way, for container probes and monitors (docs/how-to/health.md). Reads
Redis once and changes nothing: nothing to lose.
"""

from __future__ import annotations

from functools import partial

import msgspec

from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.looks.inspector import registered_shards
from vwo_celery.operating.looks.knowing import unless_wrong, why_unreadable
from vwo_celery.operating.looks.relays import running, view_relays
from vwo_celery.operating.looks.stalls import find_stall, silence_seconds
from vwo_celery.operating.looks.views import QueueView, views_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count, span

#: Bounds of the lateness from which an event counts as stuck: half its interval, but never less
#: than a few sweeps, since it is a sweep that makes it leave.
_SHORTEST_GRACE_SECONDS = 30.0
_LONGEST_GRACE_SECONDS = 300.0
_GRACE_SWEEPS = 3
#: Most problems, and most queues of which nothing is sent, in the line; the document has all.
_MOST_SHOWN = 5


class Health(msgspec.Struct, frozen=True):
    """Whether events leave in time; falsy with a problem.

    Attributes:
        problems: What is wrong with the workers.
        listeners: Workers that listen; None, as `relays`, where a key with them cannot be read.
        pending: Events that are open or ready, in queues that are not paused.
        stopped: Queues of which nothing is sent, paused or refused by VWO: no fault of the workers.
        relays: Processes of relays that run.
        unreadable: Keys that cannot be read, each with the reason: what is in them is not judged.
    """

    problems: tuple[str, ...]
    listeners: int | None
    pending: int
    stopped: tuple[str, ...] = ()
    relays: int | None = 0
    unreadable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        if self.problems:
            told = (*_some(self.problems), *_some(self.stopped), *self._unknown())
            return f"unhealthy: {'; '.join(told)}"
        listeners = count(self.listeners or 0, "worker listens", "workers listen")
        relays = (
            f", {count(self.relays, 'relay process', 'relay processes')}" if self.relays else ""
        )
        pending = f"{listeners}{relays}, {count(self.pending, 'event')} pending"
        return f"healthy: {'; '.join((pending, *_some(self.stopped), *self._unknown()))}"

    def _unknown(self) -> list[str]:
        return [f"not judged: {each}" for each in self.unreadable]


def _some(each: tuple[str, ...]) -> tuple[str, ...]:
    """The first of these, and how many more there are: a probe's line stays short."""
    more = len(each) - _MOST_SHOWN
    return each if more <= 0 else (*each[:_MOST_SHOWN], f"and {more:,} more queues")


def grace_seconds(interval_seconds: float, settings: Settings) -> float:
    """Longest time that an event may be late before its queue counts as stuck."""
    half = min(interval_seconds / 2, _LONGEST_GRACE_SECONDS)
    return max(half, _SHORTEST_GRACE_SECONDS, _GRACE_SWEEPS * settings.sweep_interval_seconds)


def is_stuck(view: QueueView, settings: Settings) -> bool:
    """Whether a queue that is not paused holds an event far past its interval."""
    if view.paused:
        return False
    return view.late_seconds > grace_seconds(view.interval_seconds or 0.0, settings)


def health(fleet: Fleet, settings: Settings) -> Health:
    """Judge whether events leave in time, by the queues that hold something and are not paused.

    Args:
        fleet: The queues.
        settings: A worker's; only the sweep's interval is used.

    Returns:
        Unhealthy if an event is later than `grace_seconds`, if events are pending and no worker
        listens, or if workers listen and run no task though one is due. Events that VWO does not
        accept are no fault of the workers.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    watched = unless_wrong(fleet.watched, None)
    views = views_of(take_glances(registered_shards(fleet) if watched is None else watched))
    active = [view for view in views if not view.paused]
    pending = sum(view.open + view.ready for view in active)
    late = [_lateness(view) for view in active if is_stuck(view, settings)]
    stopped = tuple(_held(view) for view in views if view.stopped)
    try:
        heard = unless_wrong(fleet.listeners, None)
    except QueueUnavailable as exc:
        if not fleet.in_cluster:
            raise
        away = f"a part of the Redis Cluster is away, and with it the list of workers: {exc}"
        return Health((away, *late), 0, pending, stopped)
    latest_seconds = max((view.late_seconds for view in active), default=0.0)
    workers = _trouble_of_workers(fleet, settings, heard, pending, latest_seconds)
    relays = _relays(fleet)
    hidden = _hidden(fleet, watched is None, heard is None, workers is None, relays is None)
    listeners = None if heard is None else len(heard)
    return Health((*(workers or ()), *late), listeners, pending, stopped, relays, hidden)


def _trouble_of_workers(
    fleet: Fleet, settings: Settings, heard: list[str] | None, pending: int, latest_seconds: float
) -> list[str] | None:
    """What is wrong with the workers; None if their signs of life are of a wrong type."""
    if heard is None:
        return [f"which workers listen is not known, and {count(pending, 'event')} pending"]
    if not heard:
        return [f"no worker listens, and {count(pending, 'event')} pending"] if pending else []
    return unless_wrong(lambda: _stalled(fleet, settings, len(heard), latest_seconds), None)


def _hidden(fleet: Fleet, *unknown: bool) -> tuple[str, ...]:
    """The keys of a wrong type that hide the shards, the workers, their signs of life, the relays."""
    keys = (("watched",), ("listeners",), ("pulse", "watched"), ("relays", "relay_cards"))
    names = [name for those, hides in zip(keys, unknown, strict=True) if hides for name in those]
    return tuple(why_unreadable(fleet, *names))


def _stalled(fleet: Fleet, settings: Settings, listeners: int, latest_seconds: float) -> list[str]:
    """The stall, if there is one and events are late or a listener sends them."""
    stall = find_stall(fleet, settings, fleet.signs_ms(), fleet.now_ms())
    if stall is None or not (stall.replaced or latest_seconds > silence_seconds(settings)):
        return []
    return [f"{count(listeners, 'worker listens', 'workers listen')}, but {stall}"]


def _relays(fleet: Fleet) -> int | None:
    """Number of relay processes; 0 while the part of a Cluster with their cards is away.

    None if a key with them is of a wrong type.
    """
    if not fleet.in_cluster:
        found = unless_wrong(lambda: view_relays(fleet), None)
        return None if found is None else len(running(found))
    look = partial(view_relays, fleet)
    return len(running(fleet.hints.attempt(fleet.keys.relays, "the list of relays", look, [])))


def _held(view: QueueView) -> str:
    return f"queue {view.queue} {view.stopped}; {count(view.undelivered, 'event')} kept"


def _lateness(view: QueueView) -> str:
    return (
        f"queue {view.queue}: the oldest of {count(view.open + view.ready, 'pending event')} is "
        f"{span(view.late_seconds)} past its interval of {span(view.interval_seconds or 0)}"
    )
