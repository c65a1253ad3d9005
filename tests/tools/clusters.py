"""Queues in a Cluster: shards whose slots move, and what all of them hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import vwo_celery
from tools.producers import BATCH, connect, worker_fleet
from tools.redis_groups import ClusterGroup, client_of
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.testing import RedisServer

#: Shards of a queue that is to lie on several nodes.
SHARDS = 5


def connect_to(url: str, batch: Any = BATCH, **settings: Any) -> vwo_celery.Queue:
    """A queue without a spool."""
    return connect(url, batch, spool_dir="", **settings)


def slot_of(group: ClusterGroup, shard: Shard) -> int:
    """The slot of all keys of a shard."""
    return group.slot_of(shard.keys.meta)


def move(group: ClusterGroup, shard: Shard) -> int:
    """Move a shard to another node in one step; the number of its keys."""
    slot = slot_of(group, shard)
    source = group.owner_of(slot)
    target = next(node for node in group.masters if node is not source)
    group.begin_move(slot, source, target)
    moved = group.move_keys(slot, source, target)
    group.end_move(slot, source, target)
    return moved


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[list[object]]:
    """Run *work* in a thread beside the block; its result is available after the block."""
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()
    yield answers
    thread.join(20)


def tried_in_vain(*nodes: RedisServer) -> bool:
    """Whether a node has answered TRYAGAIN; which node does depends on the version of Redis."""
    answers = []
    for node in nodes:
        with client_of(node) as client:
            answers.append("errorstat_TRYAGAIN" in client.info("errorstats"))
    return any(answers)


def events_in(shard: Shard) -> list[bytes]:
    """All events of a shard, sealed or not."""
    batches = take_snapshot(shard).batches
    sealed = [event for batch in batches for event in shard.first_events(batch.id, batch.events)]
    return sealed + list(shard.client.lrange(shard.keys.open, 0, -1))


def ledger(queue: vwo_celery.Queue) -> Any:
    """The summed ledger of all shards."""
    fleet = worker_fleet(queue)
    (view,) = view_queues(fleet, fleet.registrations().readable)
    return view.ledger
