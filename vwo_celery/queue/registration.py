"""Words of a queue: how it is announced in Redis, and the wake-up that names one of its shards.

Data without I/O; the spool and the demo know them without a client for Redis.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.queue.batches import Limits

#: As the setting `shards`; a registration that says more would have the sweep look for ever.
MOST_SHARDS = 64
#: What is raised where somebody else's bytes are no JSON of ours.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Registration(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a producer leaves in Redis, so that any worker can serve its queue.

    Attributes:
        destination: Where the events go; holds the SDK key.
        limits: What the scripts obey, for each shard.
        shards: Number of shards.
        flush_callback: Import path "module:function" of the callback, "" for none.
        version: Of this shape.
    """

    destination: Destination
    limits: Limits
    shards: Annotated[int, msgspec.Meta(ge=1, le=MOST_SHARDS)] = 1
    flush_callback: str = ""
    version: int = 1


class Registrations(NamedTuple):
    """All registered queues by name; where this release cannot read one, the reason instead."""

    readable: dict[str, Registration]
    unreadable: dict[str, str]


class Wakeup(msgspec.Struct, frozen=True, array_like=True):
    """A hint that a shard has a batch ready; `token` names the slot it holds."""

    queue: str
    shard: int
    token: str
