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
from vwo_celery.destinations import StoredDestination
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


def decode(queue: str, text: bytes, shards: bytes | None) -> Registration:
    """Return a registration, with the number of shards that its queue ever had.

    Args:
        queue: Name under which it is stored.
        text: What is stored.
        shards: The number of shards as it is noted; None if it is not.

    Raises:
        UNREADABLE: The text is not a registration that this release can read.
    """
    registration = _read(text)
    noted = int(shards) if shards is not None and shards.isdigit() else 0
    number = min(max(registration.shards, noted), MOST_SHARDS)
    destination = registration.destination
    if destination.queue != queue:
        destination = StoredDestination(**msgspec.structs.asdict(destination), name=queue)
    return msgspec.structs.replace(registration, shards=number, destination=destination)


def _read(text: bytes) -> Registration:
    try:
        return msgspec.json.decode(text, type=Registration)
    except msgspec.ValidationError:
        mended = _mended(msgspec.json.decode(text))
        if mended is None:
            raise
        return msgspec.convert(mended, Registration)


def _mended(registration: Any) -> Any:
    """Mend the values that releases before 0.2 stored as they were given; None if there are none."""
    destination = registration.get("destination") if isinstance(registration, dict) else None
    if not isinstance(destination, dict):
        return None
    parts = {name: value for name, value in destination.items() if value is not None}
    for name in ("region", "sdk_name", "sdk_version"):
        if name in parts:
            parts[name] = _text(parts[name])
    if isinstance(stats := parts.get("usage_stats"), dict):
        parts["usage_stats"] = [[name, _text(value)] for name, value in stats.items()]
    return None if parts == destination else {**registration, "destination": parts}


def _text(value: Any) -> Any:
    """The text of a number; anything else unchanged."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def decode_all(found: Mapping[Any, bytes], shards: Mapping[Any, bytes | None]) -> Registrations:
    """Return all registrations in *found*, sorted by name; see `decode`."""
    readable, unreadable = {}, {}
    for key in sorted(found, key=as_text):
        name = as_text(key)
        try:
            readable[name] = decode(name, found[key], shards.get(key))
        except UNREADABLE as exc:
            unreadable[name] = str(exc)
    return Registrations(readable, unreadable)
