"""Dead letters of a queue: all that is ready made into some, and what they hold."""

from __future__ import annotations

from tools.queue_states import Queues
from vwo_celery import Queue
from vwo_celery.queue.looks import places
from vwo_celery.queue.words.batches import Batch


def kill_all(queues: Queues, queue: Queue) -> None:
    """Make a dead letter of each ready batch."""
    shard = queues.shard(queue)
    while isinstance(batch := shard.claim(token="", lease_seconds=60), Batch):
        assert shard.dead_letter(batch, error="VWO answered 413")


def contents(queues: Queues, queue: Queue) -> dict[str, list[bytes]]:
    """The events of each dead letter, as they lie in Redis."""
    shard = queues.shard(queue)
    names = places.page_of(shard, "dead")
    return {name: queues.client.lrange(shard.keys.batch(name), 0, -1) for name in names}
