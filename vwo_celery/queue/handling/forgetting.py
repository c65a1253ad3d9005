"""The end of a queue that holds nothing: its shards' keys deleted, its registration removed.

Beside an event's way. A producer may register the queue and enqueue at any moment of it: a shard
with an event is not deleted, and a registration that somebody wrote in between stays. If the process
dies here, some shards are gone and the registration is still listed, so that the same can be done
again; a producer that goes on registers what it misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.keys import new_token

#: Answers of forget.lua, beside 1: it holds something, a move is under way, it was used lately.
HOLDS, MOVES, USED = 0, -1, -2
#: Time for which a producer that goes on finds the life of a shard that was forgotten.
FORMER_SECONDS: Final = 90 * 86_400.0


class Last(msgspec.Struct, frozen=True, array_like=True):
    """A shard's last numbers, and whether it may go or is gone.

    Attributes:
        code: 1, or why it stays.
        accepted: Events accepted.
        delivered: Events that VWO accepted.
        dropped: Events dropped after they were accepted.
        refused: Events refused at capacity.
        used_ms: Time since the last use, as far as it is known, in ms; -1 if it is not.
    """

    code: int
    accepted: int
    delivered: int
    dropped: int
    refused: int
    used_ms: int


def forget_shard(shard: Shard, *, idle_seconds: float | None, delete: bool) -> Last:
    """Delete all keys of a shard that holds nothing.

    Args:
        shard: The shard.
        idle_seconds: It stays if it was used in this time; None to ask for no such time.
        delete: Whether to delete; else only the answer is told.

    Raises:
        QueueUnavailable: Redis did not answer; the shard may be gone.
    """
    k = shard.keys
    keys = (
        k.open, k.meta, k.former, k.tally, k.arrived, k.ready, k.leases, k.info, k.dead, k.leaving,
        k.slots, k.circuit, k.declined, k.settled, k.births, k.released, k.minutes, k.ten_minutes,
        k.hours, *k.contexts,
    )  # fmt: skip
    idle_ms = -1 if idle_seconds is None else as_ms(idle_seconds)
    arguments = (idle_ms, int(delete), as_ms(FORMER_SECONDS))
    with unavailable(f"removal of {k.name}"):
        return Last(*map(int, script("forget").run(shard.client, keys, arguments)))


def doubt(fleet: Fleet, queue: str, shards: Sequence[Shard]) -> str:
    """Mark a queue's registration as one that is about to go, and have its shards not watched.

    An event that comes afterwards has its shard watched again.

    Returns:
        The mark, "" if the queue is not registered.

    Raises:
        QueueUnavailable: Redis did not answer; a mark changes nothing.
    """
    mark = f"{int(new_token(), 16):b}".translate({ord("0"): " ", ord("1"): "\t"})
    with unavailable(f"look-up of {queue}"):
        found = script("doubt").run(fleet.client, (fleet.keys.queues,), (queue, mark))
    fleet.unwatch(*shards)
    return mark if found else ""


def unlist(fleet: Fleet, queue: str, mark: str) -> bool:
    """Remove a queue's registration; False if somebody has registered it since it was marked.

    Raises:
        QueueUnavailable: Redis did not answer; it may be removed.
    """
    keys = (fleet.keys.queues, fleet.keys.shards)
    with unavailable(f"removal of {queue} from the list of queues"):
        gone = bool(script("unlist").run(fleet.client, keys, (queue, mark)))
        if gone:
            fleet.client.zrem(fleet.keys.declined_queues, queue)
    return gone
