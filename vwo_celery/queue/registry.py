"""The record of queues: registrations as producers leave them, and their numbers of shards.

Beneath `fleet`, beside an event's way; `registering` and the spool write what `encode` makes. A
release must not misread what a later one wrote: it would send events under the name of another SDK,
or to another path. So a registration that needs more than this release knows says so by its version.
Releases before 0.2 do not look at the version; what they cannot send has a generation that they do
not know. Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vwo_celery.destinations import StoredDestination
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.registration import (
    MOST_SHARDS,
    NEWEST_VERSION,
    UNREADABLE,
    Registration,
    Registrations,
)

#: Ending of the generation of a destination that has a query as an SDK spelled it.
_WITH_QUERY = "+query"


def encode(registration: Registration) -> bytes:
    """Return a registration as it is stored, in the oldest shape that can say what it says."""
    destination = registration.destination
    if destination.query is None and not destination.is_single:
        return msgspec.json.encode(registration)
    stored = msgspec.to_builtins(msgspec.structs.replace(registration, version=NEWEST_VERSION))
    if destination.query is not None:
        stored["destination"]["generation"] += _WITH_QUERY
    return msgspec.json.encode(stored)


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
    version = msgspec.json.decode(text, type=_Version).version
    if version > NEWEST_VERSION:
        raise msgspec.ValidationError(
            f"it has version {version}, and this release reads {NEWEST_VERSION}: a later one wrote it"
        )
    try:
        return msgspec.json.decode(text, type=Registration)
    except msgspec.ValidationError:
        mended = _mended(msgspec.json.decode(text))
        if mended is None:
            raise
        return msgspec.convert(mended, Registration)


class _Version(msgspec.Struct):
    version: int = 1


def _mended(registration: Any) -> Any:
    """Mend what releases before 0.2 stored as it was given, or shall not read; None if nothing is."""
    destination = registration.get("destination")
    if not isinstance(destination, dict):
        return None
    parts = {name: value for name, value in destination.items() if value is not None}
    if isinstance(generation := parts.get("generation"), str):
        parts["generation"] = generation.removesuffix(_WITH_QUERY)
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
