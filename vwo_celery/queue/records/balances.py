"""Balances: by how much each ledger was out of balance when a sweep last proved it.

Beside an event's way; owns the key `balances`, which a sweep writes and whoever monitors reads. If the
process dies here, the next sweep that is due proves all ledgers again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.numbers import LARGEST, number

#: Fields beside those of shards: Unix ms at which the last proof began, and ended.
_BEGUN, _PROVEN = "begun_ms", "proven_ms"


class Balances(NamedTuple):
    """The result of the last proof.

    Attributes:
        begun_ms: Unix ms at which a sweep began to prove the ledgers; 0 for never.
        proven_ms: Unix ms at which the last one had done so; 0 for never.
        imbalances: Events by which the ledger of a shard is out of balance, by the shard's name; only
            those that are.
    """

    begun_ms: int
    proven_ms: int
    imbalances: dict[str, int]


def read_balances(fleet: Fleet) -> Balances:
    """The result of the last proof; a number that cannot be read is left out.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("look-up of the ledgers' last proof"):
        found = fleet.client.hgetall(fleet.keys.balances)
    numbers = {as_text(name): number(as_text(text), least=-LARGEST) for name, text in found.items()}
    begun, proven = (numbers.pop(name, 0) for name in (_BEGUN, _PROVEN))
    return Balances(begun, proven, {name: events for name, events in numbers.items() if events})


def note_begun(fleet: Fleet, now_ms: int) -> None:
    """Note that a sweep begins to prove the ledgers, so that no other one does.

    Raises:
        QueueUnavailable: Redis does not take it.
    """
    with unavailable("note of the ledgers' proof"):
        fleet.client.hset(fleet.keys.balances, _BEGUN, now_ms)


def note_proven(fleet: Fleet, now_ms: int, proven: Mapping[str, int]) -> None:
    """Note what a proof found, and that it ends.

    Args:
        fleet: The queues.
        now_ms: Redis' time.
        proven: Events by which the ledger of each shard that was looked at is out of balance, 0 for none.

    Raises:
        QueueUnavailable: Redis does not take it.
    """
    key = fleet.keys.balances
    wrong = {name: events for name, events in proven.items() if events}
    right = [name for name, events in proven.items() if not events]
    with unavailable("note of the ledgers' proof"):
        pipe = fleet.client.pipeline(transaction=False)
        if right:
            pipe.hdel(key, *right)
        pipe.hset(key, mapping={**wrong, _PROVEN: now_ms})
        pipe.execute()
