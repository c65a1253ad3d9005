"""Single events picked out of a dead letter, to be sent again or dropped; the rest stays dead.

One script does it as a whole: if the process dies here, that has happened or nothing has.
"""

from __future__ import annotations

from collections.abc import Sequence

from vwo_celery.logs import announce_drop
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.operations.waking import wake
from vwo_celery.operating.past.audit import Actor, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import picking
from vwo_celery.queue.handling.picking import Picked
from vwo_celery.queue.shard import PURGED

#: Most places that an audit entry names.
_NAMED_PLACES = 20


def pick_out(
    fleet: Fleet, actor: Actor, dead: DeadBatch, places: Sequence[int], *, drop: bool
) -> Picked:
    """Send single events of a dead letter again, or drop them for good.

    Args:
        fleet: The queues.
        actor: Who asks for it.
        dead: The dead letter.
        places: The events' places in it, from 1 for the oldest; it has them all.
        drop: Drop them, counted and announced as "purged".

    Returns:
        What became of the batch; nothing, if it was not dead any more or events of it are gone.

    Raises:
        QueueUnavailable: Redis did not answer; it may have happened.
    """
    shard = fleet.shard(dead.queue, dead.shard)
    chosen = sorted({*places})
    more = " …" if len(chosen) > _NAMED_PLACES else ""
    named = " ".join(f"--event {place}" for place in chosen[:_NAMED_PLACES])
    with recorded(
        fleet, actor, f"dead {'purge' if drop else 'redrive'} {named}{more}", queues=[dead.queue],
        filter=f"batch:{dead.batch}", matched=len(chosen),
    ) as entry:  # fmt: skip
        if not drop:
            fleet.watch(shard.keys.name)  # one that holds only dead letters is not watched
        done = picking.pick_out(
            shard, dead.batch, [place - 1 for place in chosen], drop=PURGED if drop else ""
        )
        entry.done = done.events
        if done.events and done.events < dead.events:
            entry.note = f"the others are dead letter {done.rest}"
        if drop and done.events:
            announce_drop(dead.queue, PURGED, done.events, f"{actor} purged dead letters")
        elif done.events:
            wake(fleet, shard)
    return done
