"""The keys that all queues share, as far as a push may write them in its own script.

Stages 1 and 2 of an event's way. A push that seals a batch leaves its wake-ups in the same step, and
one to a shard that nobody watches has it watched, so that the caller waits for one round trip and a
process that dies after it leaves nothing to the sweep. In a Cluster those keys lie in other slots:
there the caller writes them afterwards, see `sweeping.tell_workers`.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from vwo_celery.connections.cluster import is_cluster_client
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import fleet_keys

#: Clients of a Cluster that is reached as if it were one server, by its only node or by a proxy.
_of_one_slot: WeakSet[Any] = WeakSet()
#: Words of Redis for a script whose keys lie in several slots; it has not run.
_SEVERAL_SLOTS = "hash to the same slot"


def notice_keys(shard: Shard) -> tuple[str, ...]:
    """The list of wake-ups and the set of watched shards; none if a script cannot reach them."""
    if is_cluster_client(shard.client) or shard.client in _of_one_slot:
        return ()
    keys = fleet_keys(shard.namespace)
    return keys.wakeups, keys.watched


def is_of_several_slots(exc: Exception, shard: Shard) -> bool:
    """Whether a push was refused for these keys; from then on its client's pushes have none."""
    if _SEVERAL_SLOTS not in str(exc):
        return False
    _of_one_slot.add(shard.client)
    return True
