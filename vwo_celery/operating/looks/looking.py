"""One look at everything: what each queue holds, what is wrong with it, and who works.

Beside an event's way; what `vwo-celery status` shows. It costs the same whatever the queues hold.
Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vwo_celery.operating.looks import inspector, outside
from vwo_celery.operating.looks.knowing import WrongType, known, wrong_keys
from vwo_celery.operating.looks.notes import Note, is_wrong, notes_of, tell_apart
from vwo_celery.operating.looks.outside import Tally
from vwo_celery.operating.looks.relays import RelayView, view_relays
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.operating.looks.workers import Listening, listening
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings


class Look(msgspec.Struct, frozen=True):
    """One look at all that `status` shows.

    Attributes:
        now_ms: Redis' time.
        views: The queues that were asked for, and the strays, those that need a person first.
        notes: The notes on each of them, by its name.
        tallies: What producers told of each, by its name.
        apart: Words that tell queues of one account apart, by their names.
        heard: The workers that listen, and when each was last heard; None if that is not known.
        last_heard_ms: Unix ms at which any worker last listened, 0 for never.
        sweeps_ms: Unix ms of the last sweep of each runner; None if that is not known.
        wakeups: Wake-ups that no worker has picked up yet; None if that is not known.
        relays: Processes of relays, running or ended within an hour; None if that is not known.
        leases: Batches of registered queues that workers hold: each keeps a lane busy.
        wrong_types: Keys that all queues share, and that hide what should be in them, since somebody
            wrote another thing there.
    """

    now_ms: int
    views: tuple[QueueView, ...]
    notes: Mapping[str, list[Note]]
    tallies: Mapping[str, Tally]
    apart: Mapping[str, str]
    heard: list[Listening] | None
    last_heard_ms: int
    sweeps_ms: dict[str, int] | None
    wakeups: int | None
    relays: list[RelayView] | None = None
    leases: int = 0
    wrong_types: tuple[WrongType, ...] = ()

    @property
    def nobody_listens(self) -> bool:
        """Whether events wait and no worker listens."""
        return self.heard == [] and any(view.undelivered for view in self.views)

    @property
    def wrong(self) -> bool:
        """Whether something is wrong: a line in red."""
        trouble = self.nobody_listens or bool(self.wrong_types)
        return trouble or any(map(is_wrong, self.notes.values()))


def look(fleet: Fleet, settings: Settings, queues: Sequence[str]) -> Look:
    """Look once at the queues of these names, or at all.

    Args:
        fleet: The queues.
        settings: A worker's; only the sweep's interval is used.
        queues: Names of the queues that are wanted; none for all.

    Raises:
        QueueUnavailable: Redis did not answer.
        QueueUnknown: There is no such queue, or its registration cannot be read.
    """
    found = fleet.registrations()
    chosen = inspector.choose(found.readable, queues, found.unreadable)
    views, leases = inspector.view_queues_and_leases(fleet, chosen)
    strays = [] if queues else inspector.view_strays(fleet, *found)
    tallies = outside.view_tallies(fleet, chosen)
    now_ms, shown = fleet.now_ms(), (*strays, *views)
    return Look(
        now_ms=now_ms,
        views=shown,
        notes={
            view.queue: notes_of(view, settings, now_ms, tallies.get(view.queue, Tally()))
            for view in shown
        },
        tallies=tallies,
        apart=tell_apart(found.readable),
        heard=known(fleet, fleet.keys.listeners, lambda: listening(fleet)),
        last_heard_ms=_last_heard_ms(fleet),
        sweeps_ms=known(fleet, fleet.keys.pulse, fleet.last_sweeps_ms),
        wakeups=known(fleet, fleet.keys.wakeups, fleet.waiting_wakeups),
        relays=known(fleet, fleet.keys.relays, lambda: view_relays(fleet)),
        leases=leases,
        wrong_types=wrong_keys(fleet),
    )


def _last_heard_ms(fleet: Fleet) -> int:
    if fleet.hints.is_resting(fleet.keys.pulse):
        return 0
    return known(fleet, fleet.keys.listeners, fleet.last_listened_ms) or 0
