"""Dropping to make room: the oldest events of a full queue, the oldest dead letters.

Stage 1 (a producer with `when_full="drop_oldest"` drops events) and stage 5 (a worker drops
dead letters). One script drops and counts; then the drop is announced. If the process dies in
between, the drop is counted and not announced, and the next call drops the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.logs import announce_drop
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import as_text

#: Reasons under which the scripts count these drops.
OLDEST, DEAD_LETTERS_FULL = "oldest", "dead_letters_full"
#: Answers of make_room.lua: the push fits now, it may fit after a further call, it never fits.
FITS, MAY_FIT, NEVER_FITS = 1, 0, -1
#: Bounds of the number of batches that one call may drop: one for each new event.
_FEWEST_BATCHES, _MOST_BATCHES = 10, 100
#: Most dead letters that one call drops.
_TRIM_BATCHES = 100


class Room(NamedTuple):
    """The answer of make_room.lua.

    Attributes:
        dropped: Number of events dropped.
        fits: FITS, MAY_FIT or NEVER_FITS.
    """

    dropped: int
    fits: int


def share(total: int, shards: int) -> int:
    """The share of *total* for one of *shards* shards, rounded up so that it is never 0."""
    return -(-total // shards)


def make_room(shard: Shard, events: Sequence[bytes]) -> Room:
    """Drop the oldest events that are not in flight, to make room for a refused push.

    Args:
        shard: The full shard.
        events: The encoded events of the push.

    Returns:
        How much was dropped, and whether the push fits now. Nothing is dropped if it never fits.

    Raises:
        QueueUnavailable: Redis did not answer; the oldest events may be dropped.
    """
    k, count = shard.keys, len(events)
    most = min(max(count, _FEWEST_BATCHES), _MOST_BATCHES)
    size = sum(map(len, events)) + count
    with unavailable(f"making room in {k.name}"):
        oldest = [as_text(batch_id) for batch_id in shard.client.zrange(k.ready, 0, most - 1)]
        sets = (k.open, k.meta, k.ready, k.leases, k.info, k.settled, *k.indexes, *k.contexts)
        keys = (*sets, *map(k.batch, oldest))
        room = Room(*script("make_room").run(shard.client, keys, (count, size)))
    if room.dropped:
        announce_drop(
            shard.queue, OLDEST, room.dropped,
            "the queue is full, and when_full is drop_oldest; see why it does not drain, or raise "
            "max_queue_events and max_queue_bytes",
        )  # fmt: skip
    return room


def trim_dead(shards: Sequence[Shard], most_events: int) -> int:
    """Drop a queue's oldest dead letters for good until no more than *most_events* are kept.

    May be run at any time by anyone, and twice. A batch that alone exceeds the bound is dropped,
    too. One call drops a bounded number of batches; the next call drops the rest.

    Args:
        shards: All shards of the queue.
        most_events: Most dead events that the queue may keep.

    Returns:
        The number of events dropped.

    Raises:
        QueueUnavailable: Redis did not answer; some may be dropped.
    """
    dropped = 0
    try:
        for _ in range(_TRIM_BATCHES):
            events = _drop_oldest_dead(shards, most_events)
            if events < 0:
                break
            dropped += events
    finally:
        if dropped:
            announce_drop(
                shards[0].queue, DEAD_LETTERS_FULL, dropped,
                "more dead letters than max_dead_events; the oldest went, see: "
                "vwo-celery dead list",
            )  # fmt: skip
    return dropped


def _drop_oldest_dead(shards: Sequence[Shard], most_events: int) -> int:
    """Drop the queue's oldest dead letter; its events, 0 if it was gone, -1 if no drop is due."""
    with unavailable(f"look at the dead letters of {shards[0].queue}"):
        pipe = shards[0].client.pipeline(transaction=False)
        for shard in shards:
            pipe.hget(shard.keys.meta, "dead")
            pipe.zrange(shard.keys.dead, 0, 0, withscores=True)
        answers = pipe.execute()
    kept = [int(count or 0) for count in answers[::2]]
    oldest = [
        (died_ms, shard, i, as_text(name))
        for i, (shard, found) in enumerate(zip(shards, answers[1::2], strict=True))
        for name, died_ms in found
    ]
    if sum(kept) <= most_events or not oldest:
        return -1
    _, shard, i, batch_id = min(oldest, key=lambda each: each[0])
    room = max(0, most_events - (sum(kept) - kept[i]))  # what the other shards leave of the bound
    return max(0, shard.purge(batch_id, reason=DEAD_LETTERS_FULL, most_events=room))
