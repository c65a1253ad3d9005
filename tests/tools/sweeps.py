"""One sweep, and what it finds: queues, lists and times that a test has made old."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tools.producers import DESTINATION, connect
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration, Wakeup
from vwo_celery.queue.work import sweeping

SECOND = 1_000


def sweep(redis: Any) -> list[Wakeup]:
    """Sweep once, as beat's task does."""
    return sweeping.sweep(Fleet(redis, "vwo"), by="beat")


def another(account: int) -> Registration:
    """A registration of another queue."""
    queue = connect("redis://nowhere")
    return replace(
        producer_of(queue).registration,
        destination=replace(DESTINATION, account_id=account),
        shards=1,
    )


def age(shard: Shard, key: str, milliseconds: int) -> None:
    """Make every time in a sorted set older."""
    for member, at in shard.client.zrange(key, 0, -1, withscores=True):
        shard.client.zadd(key, {member: at - milliseconds})


def make_due(shard: Shard) -> None:
    """Make the open list's first event older than any interval."""
    shard.client.hset(shard.keys.meta, "first_ms", 1)


def watched(redis: Any) -> set[str]:
    """The short names of the watched shards."""
    return {shard.keys.name for shard in Fleet(redis, "vwo").watched()}


def unwatch_all(redis: Any, *shards: Shard) -> None:
    """Make the sweep forget empty shards, as after long idleness."""
    for shard in shards:
        Fleet(redis, "vwo").unwatch(shard)
