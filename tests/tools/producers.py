"""One queue of one destination, for tests of producers: made, filled, and looked at in Redis."""

from __future__ import annotations

from typing import Any

import vwo_celery
from tools.waiting import wait_until
from vwo_celery.connections import open_worker_client
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.snapshots import Snapshot, take_snapshot
from vwo_celery.queue.shard import Shard

DESTINATION = vwo_celery.Destination(account_id=1, sdk_key="k" * 32, generation="fme")
BATCH = {"events_per_request": 100, "request_time_interval": 600}
#: Key families that such a queue leaves in Redis.
KEPT = ("open", "watched", "ready", "info", "batch", "slots", "wakeups")
#: Longest time of a call with TIMEOUT_SECONDS, on a busy machine too.
SOON_SECONDS = 5.0
TIMEOUT_SECONDS = 0.5


def connect(url: str, batch: Any = BATCH, **settings: Any) -> vwo_celery.Queue:
    """A queue of the one destination."""
    options = {"enqueue_timeout_seconds": 5.0, **settings}
    return vwo_celery.connect(
        DESTINATION, batch_event_data=batch, strict=True, redis_url=url, **options
    )


def worker_fleet(queue: vwo_celery.Queue) -> Fleet:
    """The queues of that one's namespace as a worker or an operator has them.

    An application's own client may do less: see `tools/acl_users.py`.
    """
    return Fleet(open_worker_client(queue.settings.redis_url), queue.settings.namespace)


def worker_shards(queue: vwo_celery.Queue) -> list[Shard]:
    """A queue's shards as a worker or an operator has them."""
    fleet = worker_fleet(queue)
    return [fleet.shard(queue.name, each.number) for each in producer_of(queue).shards]


def snapshot(redis: Any, shard: int = 0) -> Snapshot:
    """Snapshot of one shard of that queue."""
    return take_snapshot(
        producer_of(vwo_celery.connect(DESTINATION, redis=redis, shards=shard + 1)).shards[shard]
    )


def stored(redis: Any, shard: int = 0) -> list[bytes]:
    """Every event in Redis at one moment, batch by batch and then the open ones, oldest first."""
    keys = (
        producer_of(vwo_celery.connect(DESTINATION, redis=redis, shards=shard + 1))
        .shards[shard]
        .keys
    )

    def read() -> list[list[bytes]] | None:
        names = [batch.id for batch in snapshot(redis, shard).batches]
        with redis.pipeline() as pipe:
            for key in (*map(keys.batch, names), keys.open):
                pipe.lrange(key, 0, -1)
            for key in (keys.ready, keys.leases, keys.dead):
                pipe.zrange(key, 0, -1)
            *lists, ready, leases, dead = pipe.execute()
        # Where a batch has come or gone after they were counted, its events would be missed.
        return lists if sorted(names) == sorted(map(bytes.decode, ready + leases + dead)) else None

    lists = wait_until(read, what="a moment in which no batch comes or goes")
    return [text for events in lists for text in reversed(events)]


def numbers(count: int, start: int = 0) -> list[bytes]:
    """*count* encoded events, numbered from *start*."""
    return [b'{"n":%d}' % n for n in range(start, start + count)]
