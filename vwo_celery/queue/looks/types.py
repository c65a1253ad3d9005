"""Keys of a wrong type: somebody wrote another thing where a key of ours belongs.

Beside an event's way; asked only once Redis has answered WRONGTYPE, whose error names no key. Changes
nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import FLEET_FAMILIES, SHARD_FAMILIES, KeyFamily, as_text

#: Most shards whose keys one look goes through.
_MOST_SHARDS = 100


class WrongType(NamedTuple):
    """A key that is not what it should be."""

    key: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.key} is a {self.found} and should be a {self.wanted}"


def wrong_types(fleet: Fleet) -> list[WrongType]:
    """Find the keys of a wrong type among those that all queues share, and those of watched shards.

    Raises:
        QueueUnavailable: Redis did not answer, or denies TYPE to this user.
    """
    with unavailable("look at the types of keys"):
        found = list(_wrong(fleet.client, fleet.keys, FLEET_FAMILIES))
        if found:
            return found  # the set of watched shards may be among them
        return [each for shard in fleet.watched()[:_MOST_SHARDS] for each in _of_shard(shard)]


def wrong_types_of(shards: Sequence[Shard]) -> list[WrongType]:
    """The same for these shards only."""
    with unavailable("look at the types of keys"):
        return [each for shard in shards for each in _of_shard(shard)]


def _of_shard(shard: Shard) -> list[WrongType]:
    return list(_wrong(shard.client, shard.keys, SHARD_FAMILIES))


def _wrong(client: Any, keys: Any, families: Sequence[KeyFamily]) -> Iterator[WrongType]:
    for family in families:
        key = getattr(keys, family.pattern.partition(":")[0], None)
        if not isinstance(key, str):
            continue  # a family of keys with names of their own
        found = as_text(client.type(key))
        if found not in (family.type, "none"):
            yield WrongType(key, found, family.type)
