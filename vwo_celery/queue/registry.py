"""The record of queues: registrations as producers left them, and how many shards each queue ever had.

Beneath `fleet`, beside an event's way. A producer with fewer shards than others replaces the
registration, never that number: what higher shards hold, dead letters and counters included, stays
visible, and is delivered. If the process dies here, a registration is written or it is not; the next
enqueue of any producer writes it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from redis.exceptions import RedisError

from vwo_celery.connections.cluster import is_cluster_client
from vwo_celery.queue.keys import FleetKeys, as_text, shard_keys
from vwo_celery.queue.registration import MOST_SHARDS, UNREADABLE, Registration, Registrations
from vwo_celery.queue.scripts import script


def record(client: Any, namespace: str, keys: FleetKeys, registration: Registration) -> int:
    """Store a registration; return the number of shards that its queue ever had."""
    queue, text = registration.destination.queue, msgspec.json.encode(registration)

    def run(number: int, *, looked: bool) -> tuple[int, bool]:
        names, words = (keys.queues, keys.shards), (queue, text, number, int(looked))
        noted, look = script("register").run(client, names, words)
        return min(int(noted), MOST_SHARDS), bool(look)

    number, look = run(registration.shards, looked=False)
    if not look:
        return number
    try:
        number = max(number, _highest_used(client, namespace, queue, above=number) + 1)
    except RedisError:
        if not is_cluster_client(client):
            raise
        return number  # a node is away; the next registration looks again
    return run(number, looked=True)[0]


def _highest_used(client: Any, namespace: str, queue: str, *, above: int) -> int:
    """The highest shard number, *above* and up, with counters in Redis; -1 if there is none.

    Releases before 0.2 noted no number of shards.
    """
    pipe = client.pipeline(transaction=False)
    for number in range(above, MOST_SHARDS):
        pipe.exists(shard_keys(namespace, queue, number).meta)
    return max((above + i for i, used in enumerate(pipe.execute()) if used), default=-1)


def decode(text: bytes, shards: bytes | None) -> Registration:
    """A registration, with the number of shards that its queue ever had.

    Raises:
        UNREADABLE: The text is not a registration that this release can read.
    """
    registration = msgspec.json.decode(text, type=Registration)
    noted = int(shards) if shards is not None and shards.isdigit() else 0
    return msgspec.structs.replace(
        registration, shards=min(max(registration.shards, noted), MOST_SHARDS)
    )


def decode_all(found: Mapping[Any, bytes], shards: Mapping[Any, bytes | None]) -> Registrations:
    """All registrations in *found*, sorted by name; see `decode`."""
    readable, unreadable = {}, {}
    for key in sorted(found, key=as_text):
        try:
            readable[as_text(key)] = decode(found[key], shards.get(key))
        except UNREADABLE as exc:
            unreadable[as_text(key)] = str(exc)
    return Registrations(readable, unreadable)
