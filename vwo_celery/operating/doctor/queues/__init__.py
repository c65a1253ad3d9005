"""The doctor's checks of the queues, in one order: what they are, what holds them, what is lost.

Files: `registrations` (what they are), `holds` (what keeps events), `losses` (what was lost, or does
not add up), `outside` (what programs could not hand over), `history` (samples of their counters).
Reads Redis and changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.doctor.finding import Finding
from vwo_celery.operating.doctor.queues.holds import (
    answers_finding,
    capacity_finding,
    circuit_finding,
    late_finding,
    paused_findings,
    stopped_finding,
)
from vwo_celery.operating.doctor.queues.losses import (
    balance_finding,
    dead_finding,
    dropped_finding,
    lost_finding,
    repaired_finding,
)
from vwo_celery.operating.doctor.queues.outside import unaccepted_finding
from vwo_celery.operating.doctor.queues.registrations import (
    callback_findings,
    declined_finding,
    hosts_finding,
    registered_finding,
    stray_findings,
    unreadable_findings,
)
from vwo_celery.operating.looks.inspector import QueueView, view_queues, view_strays
from vwo_celery.operating.looks.outside import view_tallies
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.drops import DropTimes, read_drop_times
from vwo_celery.queue.looks.types import WrongType, wrong_types_of
from vwo_celery.queue.words.registration import Registrations
from vwo_celery.settings import Settings


class Queues(NamedTuple):
    """What stands in Redis of all queues.

    Attributes:
        found: Their registrations.
        views: Views of those that are registered.
        strays: Views of those that hold something and are not.
    """

    found: Registrations
    views: Sequence[QueueView]
    strays: Sequence[QueueView]

    @property
    def undelivered(self) -> int:
        """Events that wait in them."""
        return sum(view.undelivered for view in (*self.views, *self.strays))


def look_at_queues(fleet: Fleet) -> Queues:
    """Read the registrations and the views.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    found = fleet.registrations()
    return Queues(found, view_queues(fleet, found.readable), view_strays(fleet, *found))


def queue_findings(
    fleet: Fleet, settings: Settings, queues: Queues | None = None, *, explained: bool = False
) -> Iterator[Finding]:
    """Judge all queues.

    Args:
        fleet: The queues.
        settings: The command's own.
        queues: What stands in Redis of them; None to read it.
        explained: Whether another finding says why events of all queues are late.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    found, views, strays = queues or look_at_queues(fleet)
    yield registered_finding(fleet, found, strays, settings)
    yield hosts_finding(found.readable, views, settings)
    yield from callback_findings(found.readable, settings)
    yield from stray_findings([view for view in strays if view.queue not in found.unreadable])
    yield declined_finding(views)
    yield from paused_findings(views)
    yield stopped_finding(views)
    yield circuit_finding(views)
    yield late_finding(views, settings, explained=explained)
    yield answers_finding(views)
    yield capacity_finding(views)
    yield dead_finding(views)
    yield unaccepted_finding(view_tallies(fleet, found.readable), fleet.now_ms())
    yield dropped_finding(views, partial(_drop_times, fleet), fleet.now_ms())
    yield lost_finding(views)
    yield repaired_finding(views)
    yield from unreadable_findings(views, partial(_wrong_types, fleet))
    yield balance_finding(views)


def _drop_times(fleet: Fleet, view: QueueView, reason: str) -> DropTimes:
    return read_drop_times([fleet.shard(view.queue, number) for number in view.shards], reason)


def _wrong_types(fleet: Fleet, view: QueueView) -> Sequence[WrongType]:
    with suppress(QueueUnavailable):  # the user may not ask for types
        return wrong_types_of([fleet.shard(view.queue, number) for number in view.shards])
    return ()
