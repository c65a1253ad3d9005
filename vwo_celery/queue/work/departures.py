"""Departures: batches that left their queue for a move which has not come to its end.

Stage 2 of an event's way, part of the patrol; and the last step of each move. Whoever finds such a
batch finds out whether it has arrived. If not, it never will, and is put back. The next move of the
same queue does that first, and the sweep after a while. If the process dies here, the next one goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from vwo_celery.connections import unavailable
from vwo_celery.logs import log
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import moving
from vwo_celery.queue.handling.moving import Heading, Leaving
from vwo_celery.queue.shard import Shard
from vwo_celery.text.amounts import count

#: Age from which the sweep takes a departed batch for one whose mover has died.
DEAD_MOVER_MS: Final = 300_000


def settle(
    fleet: Fleet, source: Shard, batch_id: str, heading: Heading, *, arrived: bool = False
) -> bool:
    """Finish the move of a batch that has departed: if it has not arrived, it never will, and is back.

    Args:
        fleet: All queues.
        source: Its old shard.
        batch_id: Its name there.
        heading: Where it is headed.
        arrived: Whether it is known to have arrived.

    Returns:
        Whether it has arrived.

    Raises:
        QueueUnavailable: Redis did not answer; it may be settled or not.
    """
    target = fleet.shard(heading.queue, heading.shard)
    if not arrived and moving.forgo(target, heading.batch):
        moving.stay(source, batch_id, heading)
        return False
    moving.forget(source, batch_id, heading)
    moving.forget_arrival(target, heading.batch)
    return True


def settle_left(
    fleet: Fleet, shard: Shard, *, older_than_ms: int = 0
) -> tuple[list[Leaving], list[Leaving]]:
    """Finish what a mover that died has left in a shard: batches that have arrived, and those back.

    May be run at any time by anyone: a mover that lives sees that its batch was put back.

    Raises:
        QueueUnavailable: Redis did not answer; some may be settled.
    """
    arrived: list[Leaving] = []
    back: list[Leaving] = []
    for each in moving.leaving(shard):
        if each.heading is None or fleet.now_ms() - each.since_ms < older_than_ms:
            continue
        has = settle(fleet, shard, each.batch, each.heading)
        (arrived if has else back).append(each)
    return arrived, back


def settle_abandoned(fleet: Fleet, shard: Shard) -> None:
    """Finish, for the sweep, what a mover has left long ago.

    Raises:
        QueueUnavailable: Redis did not answer; the next patrol goes on.
    """
    arrived, back = settle_left(fleet, shard, older_than_ms=DEAD_MOVER_MS)
    if arrived or back:
        log.warning(
            "a move from %s was interrupted: %s on the way had arrived, and %s put back; for the rest "
            "run it again: vwo-celery move",
            shard.queue, count(len(arrived), "batch", "batches"),
            count(len(back), "was", "were"),
        )  # fmt: skip


def departed_from(fleet: Fleet, shards: Sequence[Shard]) -> list[Shard]:
    """The shards with batches that have departed, but for those on a part of a Cluster that is away.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return fleet.on_each_part(shards, partial(_departed_from, fleet))


def _departed_from(fleet: Fleet, shards: Sequence[Shard]) -> list[Shard]:
    with unavailable("patrol"):
        pipe = fleet.client.pipeline(transaction=False)
        for shard in shards:
            pipe.hlen(shard.keys.leaving)
        numbers = pipe.execute(raise_on_error=False)
    found = zip(shards, numbers, strict=True)
    return [shard for shard, number in found if isinstance(number, int) and number]
