"""Keys of a wrong type: somebody wrote another thing where a key of ours belongs.

Beside an event's way; Redis' own error names no key. Changes nothing: nothing to lose.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import FLEET_FAMILIES, SHARD_FAMILIES, KeyFamily, as_text

#: Most shards whose keys one look goes through.
_MOST_SHARDS = 100
#: Most jobs whose keys one look goes through.
_MOST_JOBS = 100


class WrongType(NamedTuple):
    """A key that is not what it should be."""

    key: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.key} is a {self.found} and should be a {self.wanted}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        key, aside = shlex.quote(self.key), shlex.quote(f"aside:{self.key}")
        return (
            "somebody wrote it, and nothing of ours is in it: keep it under another name, with "
            f"redis-cli RENAME {key} {aside}, and find out who did"
        )


def wrong_types(fleet: Fleet) -> list[WrongType]:
    """Find the keys of a wrong type among those that all queues share, and those of watched shards.

    Raises:
        QueueUnavailable: Redis did not answer, or denies TYPE to this user.
    """
    with unavailable("look at the types of keys"):
        found = wrong_shared(fleet)
        if found:
            return found  # the set of watched shards may be among them
        return [each for shard in fleet.watched()[:_MOST_SHARDS] for each in _of_shard(shard)]


def wrong_shared(fleet: Fleet) -> list[WrongType]:
    """Find those that all queues share, in one round trip; without a part of a Cluster that is away.

    Raises:
        QueueUnavailable: Redis did not answer, or denies TYPE to this user.
    """
    families = [
        each for each in _named(fleet.keys, FLEET_FAMILIES) if not fleet.hints.is_resting(each[0])
    ]
    with unavailable("look at the types of keys"):
        pipe = fleet.client.pipeline(transaction=False)
        for key, _ in families:
            pipe.type(key)
        return list(_differing(families, pipe.execute()))


def wrong_jobs(fleet: Fleet) -> list[WrongType]:
    """Find those of the last hour's jobs, of the 100 newest at most.

    Raises:
        QueueUnavailable: Redis did not answer, denies TYPE to this user, or the list is of a wrong type.
    """
    with unavailable("look at the types of keys"):
        names = fleet.client.zrange(fleet.keys.jobs, -_MOST_JOBS, -1)
        families = [(fleet.keys.job(as_text(name)), "hash") for name in names]
        return list(_differing(families, [fleet.client.type(key) for key, _ in families]))


def wrong_types_of(shards: Sequence[Shard]) -> list[WrongType]:
    """The same for these shards only."""
    with unavailable("look at the types of keys"):
        return [each for shard in shards for each in _of_shard(shard)]


def _of_shard(shard: Shard) -> list[WrongType]:
    families = _named(shard.keys, SHARD_FAMILIES)
    return list(_differing(families, [shard.client.type(key) for key, _ in families]))


def _named(keys: Any, families: Sequence[KeyFamily]) -> list[tuple[str, str]]:
    """Name and type of each key, without families of keys with names of their own."""
    found = (
        (getattr(keys, family.pattern.partition(":")[0], None), family.type) for family in families
    )
    return [(key, wanted) for key, wanted in found if isinstance(key, str)]


def _differing(families: Sequence[tuple[str, str]], types: Sequence[Any]) -> Iterator[WrongType]:
    for (key, wanted), told in zip(families, types, strict=True):
        found = as_text(told)
        if found not in (wanted, "none"):
            yield WrongType(key, found, wanted)
