"""Reports: what a process counted where no script saw it goes into a shard's tally, once.

Beside stage 1 of an event's way. Events that are dropped before Redis accepts them, spooled or
drained are counted in the process that does it; a report brings the numbers to where the whole
fleet's can be seen. If the process dies before, they are lost, and no event is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import new_token

#: Names in the tally: events that went to a host's disk, events that went from there to Redis.
SPOOLED: Final = "spooled"
DRAINED: Final = "drained"
#: Begin of the names of events that were dropped before Redis accepted them; the reason follows.
UNACCEPTED: Final = "unaccepted:"
#: Reason of those that were spooled, and dropped from there to make room for newer ones.
SPOOL_OLDEST: Final = "spool_oldest"


class Count(NamedTuple):
    """Events of one name.

    Attributes:
        events: Number of events.
        first_at: Seconds, by `clocks.monotonic`, of the first of them.
        last_at: The same of the last.
    """

    events: int
    first_at: float
    last_at: float


class Report(NamedTuple):
    """Numbers of one shard's events, sent again unchanged until Redis has answered.

    Attributes:
        shard: Number of the shard.
        id: By which Redis knows a report that it has counted; for a day.
        counts: The numbers by name.
    """

    shard: int
    id: str
    counts: dict[str, Count]


def new_report(shard: int, counts: dict[str, Count]) -> Report:
    """A report that no other one is taken for."""
    return Report(shard, new_token(), counts)


def report(shard: Shard, told: Report, *, now: float) -> bool:
    """Add *told* to the shard's tally, unless that is done already.

    Args:
        shard: The shard.
        told: The numbers.
        now: Seconds, by `clocks.monotonic`.

    Returns:
        Whether they are counted now; False if the queue is not registered.

    Raises:
        QueueUnavailable: Redis did not answer. Whether they are counted is not known; the same
            report may be sent again.
    """
    arguments: list[str | int] = []
    for name, (events, first_at, last_at) in told.counts.items():
        arguments += [name, events, _ms(now - first_at), _ms(now - last_at)]
    k = shard.keys
    with unavailable(f"report on {k.name}"):
        keys = (k.tally, k.meta, k.mark(told.id))
        return int(script("report").run(shard.client, keys, arguments)) >= 0


def _ms(seconds: float) -> int:
    return max(0, int(1000 * seconds))
