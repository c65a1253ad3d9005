"""Health: do events leave in time, and if not, what is stuck.

For container probes and monitors: one look at the queues, no change. See docs/how-to/operate.md.
"""

from __future__ import annotations

import msgspec

from vwo_celery.operating.inspector import QueueView, _view
from vwo_celery.operating.stalls import find_stall, silence_seconds
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.snapshots import take_snapshots
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count, span

#: How late an event may be before it counts as stuck: half its interval, within these bounds, but
#: always some sweeps, since those are what makes it leave.
_SHORTEST_GRACE_SECONDS = 30.0
_LONGEST_GRACE_SECONDS = 300.0
_GRACE_SWEEPS = 3


class Health(msgspec.Struct, frozen=True):
    """Whether events leave in time; falsy with a problem."""

    problems: tuple[str, ...]
    listeners: int
    pending: int

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        if self.problems:
            return f"unhealthy: {'; '.join(self.problems)}"
        listeners = count(self.listeners, "worker listens", "workers listen")
        return f"healthy: {listeners}, {count(self.pending, 'event')} pending"


def grace_seconds(interval_seconds: float, settings: Settings) -> float:
    """How late an event of a queue may be before the queue counts as stuck."""
    half = min(interval_seconds / 2, _LONGEST_GRACE_SECONDS)
    return max(half, _SHORTEST_GRACE_SECONDS, _GRACE_SWEEPS * settings.sweep_interval_seconds)


def is_stuck(view: QueueView, settings: Settings) -> bool:
    """Whether a queue that is not paused holds an event far over its interval."""
    if view.paused:
        return False
    return view.late_seconds > grace_seconds(view.interval_seconds or 0.0, settings)


def health(fleet: Fleet, settings: Settings) -> Health:
    """Whether events leave in time, judged by the queues that hold something and are not paused.

    Args:
        fleet: The queues.
        settings: This worker's; only the sweep's interval matters.

    Returns:
        Unhealthy where the oldest pending event is later than `grace_seconds`, where something is
        pending and nobody listens, or where workers listen and run no task though one is due. What
        VWO does not accept is no fault of the workers.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    active = [view for view in _view(take_snapshots(fleet.watched())) if not view.paused]
    pending = sum(view.open + view.ready for view in active)
    listeners = len(fleet.listeners())
    problems = [_lateness(view) for view in active if is_stuck(view, settings)]
    if pending and not listeners:
        problems.insert(0, f"no worker listens, and {count(pending, 'event')} pending")
    stall = find_stall(fleet, settings, fleet.signs_ms(), fleet.now_ms())
    late = max((view.late_seconds for view in active), default=0)
    if listeners and stall and (stall.replaced or late > silence_seconds(settings)):
        problems.insert(0, f"{count(listeners, 'worker listens', 'workers listen')}, but {stall}")
    return Health(tuple(problems), listeners, pending)


def _lateness(view: QueueView) -> str:
    return (
        f"queue {view.queue}: the oldest of {count(view.open + view.ready, 'pending event')} is "
        f"{span(view.late_seconds)} past its interval of {span(view.interval_seconds or 0)}"
    )
