"""Single events picked out of a dead-lettered batch, to be sent again or dropped.

Beside `shard`; one script does it as a whole. A batch never changes, so the rest becomes a new dead
letter with the old one's age, and what is sent again a new batch; the old one is gone, and the same
call again finds nothing to do. If the process dies here, that has happened, or nothing has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import picked_id
from vwo_celery.queue.words.keys import new_token


class Picked(NamedTuple):
    """What became of a batch out of which events were picked.

    Attributes:
        events: Number of events picked out; 0 if the batch was not among the dead letters.
        missing: Number of its events that are gone from Redis; nothing was changed then.
        batch: Id of the batch that is sent again; there is none if the events were dropped.
        rest: Id of the dead letter with the rest; there is none if every event was picked.
    """

    events: int
    missing: int
    batch: str
    rest: str


def pick_out(shard: Shard, batch_id: str, places: Sequence[int], *, drop: str = "") -> Picked:
    """Pick events out of a dead letter; the rest stays dead.

    Args:
        shard: The shard.
        batch_id: The dead letter.
        places: Numbers of the events, from 0 for the oldest; the batch has them all.
        drop: The reason, one word, under which they are dropped; "" to send them again.

    Raises:
        QueueUnavailable: Redis did not answer; it may have happened. Or the batch has no such events.
    """
    k, token = shard.keys, new_token()
    names = [picked_id(batch_id, number, token) for number in (1, 2)]
    keys = (
        k.meta, k.ready, k.info, k.dead, k.settled, k.births, k.batch(batch_id),
        *map(k.batch, names), k.tally, k.traced,
    )  # fmt: skip
    bounds = [bound for each in ranges(places) for bound in each]
    with unavailable(f"picking events out of batch {batch_id}"):
        answer = int(script("pick_out").run(shard.client, keys, (batch_id, drop, *bounds)))
    return Picked(max(0, answer), max(0, -answer), *names)


def ranges(places: Sequence[int]) -> list[tuple[int, int]]:
    """The ranges that these numbers make up, ascending: the first of each, and the one after its last."""
    found: list[tuple[int, int]] = []
    for place in sorted({*places}):
        if found and found[-1][1] == place:
            found[-1] = found[-1][0], place + 1
        else:
            found.append((place, place + 1))
    return found
