"""The record of queues, read: registrations as producers left them, and their numbers of shards.

Beneath `fleet`, beside an event's way; `registering` writes it. Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vwo_celery.destinations import StoredDestination
from vwo_celery.queue.keys import as_text
from vwo_celery.queue.registration import MOST_SHARDS, UNREADABLE, Registration, Registrations


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
