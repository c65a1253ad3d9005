"""The next events of a queue, shown without changing anything.

Beside an event's way; nothing to lose. However much the queue holds, only the wanted events are read.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, Literal, get_args

import msgspec

from vwo_celery.operating.looks.inspector import shards_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks import pages
from vwo_celery.queue.looks.snapshots import State
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration

Where = Literal["in_flight", "ready", "released", "open", "dead"]
#: Places of events, in the order in which they leave; dead ones do not.
STATES: Final[tuple[Where, ...]] = get_args(Where)
LEAVING: Final = STATES[:-1]
#: Most batches of one command: a look needs few.
_READ_BATCHES: Final = 20


class PeekedEvent(msgspec.Struct, frozen=True):
    """One event where it is.

    Attributes:
        queue: Its queue.
        shard: Number of the queue's shard that holds it.
        state: "open", "ready", "released", "in_flight" or "dead".
        batch: Id of its batch; None in the open list.
        place: Its place in the batch or list, from 1 for the oldest.
        event: The event, encoded.
    """

    queue: str
    shard: int
    state: Where
    batch: str | None
    place: int
    event: bytes


def peek(
    fleet: Fleet, queue: str, registration: Registration, states: Sequence[Where], most: int
) -> Iterator[PeekedEvent]:
    """Yield the next events of a queue: of each of *states* in turn, those that leave first.

    Of dead letters, those that died first.

    Args:
        fleet: The queues.
        queue: The queue's name.
        registration: Its registration.
        states: Some of `STATES`.
        most: Most events, of all states together.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    shards = shards_of(fleet, {queue: registration})[queue]
    found = (each for state in states for each in _in_state(fleet, shards, state, most))
    return islice(found, most)


def _in_state(
    fleet: Fleet, shards: Sequence[Shard], state: Where, most: int
) -> Iterator[PeekedEvent]:
    if state == "open":
        for shard in shards:
            events = pages.open_events(shard, most)
            for place, event in enumerate(events, 1):
                yield PeekedEvent(shard.queue, shard.number, state, None, place, event)
        return
    now_ms = fleet.now_ms()
    parts = [_batches(shard, state, now_ms) for shard in shards]
    for _, _, batch, shard in heapq.merge(*parts):
        for place, event in enumerate(pages.events(shard, batch, most=most), 1):
            yield PeekedEvent(shard.queue, shard.number, state, batch, place, event)


def _batches(shard: Shard, state: State, now_ms: int) -> Iterator[tuple[int, int, str, Shard]]:
    for view in pages.batches(shard, state, now_ms, page=_READ_BATCHES):
        yield view.at_ms, shard.number, view.id, shard
