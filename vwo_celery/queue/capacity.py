"""What goes when there is too much: the oldest events of a full queue, the oldest dead letters.

Place: an edge beside the store; the first is a producer's and only with `when_full="drop_oldest"`, the
second a worker's. Every drop is one script that also counts it; then it is announced. If this process
dies in between, what was dropped is counted and not announced, and the rest goes with the next call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.logs import announce_drop
from vwo_celery.queue.keys import as_text
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard

#: Reasons under which the scripts count what is dropped here.
OLDEST, DEAD_LETTERS_FULL = "oldest", "dead_letters_full"
FITS, MAY_FIT, NEVER_FITS = 1, 0, -1
#: Batches that one call may drop to make room: one for each new event, within these bounds.
_FEWEST_BATCHES, _MOST_BATCHES = 10, 100
#: Dead batches that one call may drop.
_TRIM_BATCHES = 100


class Room(NamedTuple):
    """What make_room.lua answered.

    Attributes:
        dropped: Number of events dropped.
        fits: FITS, MAY_FIT after a further call, or NEVER_FITS.
    """

    dropped: int
    fits: int


def share(total: int, shards: int) -> int:
    """What one of *shards* parts may hold of *total*: rounded up, so that none may hold nothing."""
    return -(-total // shards)


def make_room(shard: Shard, events: Sequence[bytes]) -> Room:
    """Drop the oldest events that nobody is sending, for a push that was refused.

    Args:
        shard: Which is full.
        events: What was refused.

    Returns:
        What was dropped, and whether the push fits now. What never fits has nothing dropped for it.

    Raises:
        QueueUnavailable: Redis did not answer; the oldest events may be dropped.
    """
    k, count = shard.keys, len(events)
    most = min(max(count, _FEWEST_BATCHES), _MOST_BATCHES)
    size = sum(map(len, events)) + count
    with unavailable(f"making room in {k.name}"):
        oldest = [as_text(batch_id) for batch_id in shard.client.zrange(k.ready, 0, most - 1)]
        keys = (k.open, k.meta, k.ready, k.leases, k.info, *map(k.batch, oldest))
        room = Room(*script("make_room").run(shard.client, keys, (count, size)))
    if room.dropped:
        announce_drop(
            shard.queue, OLDEST, room.dropped,
            "the queue is full, and when_full is drop_oldest; see why it does not drain, or raise "
            "max_queue_events and max_queue_bytes",
        )  # fmt: skip
    return room


def trim_dead(shard: Shard, most_events: int) -> int:
    """Drop the oldest dead letters for good until no more than *most_events* are kept.

    May be run at any time by anyone, and twice. A batch that alone exceeds the bound goes as well.
    Ends after some batches at the latest; what is left goes with the next call.

    Args:
        shard: Whose.
        most_events: Most that this shard may keep; see `share`.

    Returns:
        The number of events dropped.

    Raises:
        QueueUnavailable: Redis did not answer; some may be dropped.
    """
    dropped = 0
    try:
        for _ in range(_TRIM_BATCHES):
            events = _drop_oldest_dead(shard, most_events)
            if events < 0:
                break
            dropped += events
    finally:
        if dropped:
            announce_drop(
                shard.queue, DEAD_LETTERS_FULL, dropped,
                "more dead letters than max_dead_events; the oldest went, see: vwo-celery dead list",
            )  # fmt: skip
    return dropped


def _drop_oldest_dead(shard: Shard, most_events: int) -> int:
    """Events of the oldest dead batch, dropped; 0 if somebody else was faster, -1 if all is well."""
    with unavailable(f"look at the dead letters of {shard.keys.name}"):
        oldest = shard.client.zrange(shard.keys.dead, 0, 0)
    if not oldest:
        return -1
    return shard.purge(as_text(oldest[0]), reason=DEAD_LETTERS_FULL, most_events=most_events)
