"""Times of drops: when the first and the last event of a queue was dropped, by reason.

Beside an event's way; the numbers themselves are in every look. What a release before 0.2.0 dropped
has no times. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.numbers import number


class DropTimes(msgspec.Struct, frozen=True):
    """Unix ms of the first drop and of the last one; 0 where they are not known."""

    first_ms: int = 0
    last_ms: int = 0


def read_drop_times(shards: Sequence[Shard], reason: str) -> DropTimes:
    """The times of the drops for one reason, over these shards of a queue.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    fields = (f"drop_first_ms:{reason}", f"drop_last_ms:{reason}")
    with unavailable("look at the times of drops"):
        found = [shard.client.hmget(shard.keys.meta, fields) for shard in shards]
    firsts = [number(first) for first, _ in found if number(first)]
    return DropTimes(min(firsts, default=0), max(number(last) for _, last in found))
