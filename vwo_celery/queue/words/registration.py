"""Registrations, which announce queues in Redis, and wake-ups, which name one of their shards.

Data without I/O: nothing to lose. The spool and the demo use it without a client for Redis.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.queue.words.batches import Limits

#: Most shards of a queue, as in the setting `shards`; more would keep the sweep busy without end.
MOST_SHARDS = 64
#: Newest shape of a registration that this release reads. A registration has the oldest one that can
#: say what it says; a release leaves the events of a newer one to those that can read it.
NEWEST_VERSION = 2
#: Exceptions raised for bytes that are not the expected JSON.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Registration(msgspec.Struct, frozen=True, omit_defaults=True):
    """The record that a producer leaves in Redis, so that any worker can serve its queue.

    Attributes:
        destination: The events' destination; holds the SDK key.
        limits: The limits of each shard.
        shards: Number of shards that the producer pushes to; where the registration was read from
            Redis, the number that the queue ever had.
        flush_callback: Import path "module:function" of the callback, "" for none.
        version: Version of this shape: 2 where the destination has a query as an SDK spelled it, or
            the generation "single".
    """

    destination: Destination
    limits: Limits
    shards: Annotated[int, msgspec.Meta(ge=1, le=MOST_SHARDS)] = 1
    flush_callback: str = ""
    version: int = 1


class Registered(NamedTuple):
    """The answer to a registration.

    Attributes:
        lives: Name of the life of each shard that the producer pushes to.
        shards: Number of shards that the queue ever had.
    """

    lives: list[str]
    shards: int


class Registrations(NamedTuple):
    """All registered queues by name; for one that this release cannot read, the reason."""

    readable: dict[str, Registration]
    unreadable: dict[str, str]


class Wakeup(msgspec.Struct, frozen=True, array_like=True):
    """A hint that a shard has a batch ready; `token` names the slot it holds."""

    queue: str
    shard: int
    token: str
