"""Queues in every state that an operator may find, made without workers and without waiting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis as redis_py

import vwo_celery
from vwo_celery import Settings
from vwo_celery.operating.batches import finding
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.doctor import BrokerFacts
from vwo_celery.operating.looks.inspector import QueueView, view_queues
from vwo_celery.operating.operations import Order, count_dead
from vwo_celery.operating.past.audit import Actor
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.registration import Registration
from vwo_celery.testing import RedisServer

#: Who asks for the changes of a test.
OPERATOR = Actor("alice", "cli", "ops1")
KEY = "0123456789abcdef0123456789abcdef"
LEASE_SECONDS = 60.0
#: Families of the keys that exist only while a queue holds something.
HOLDS_SOMETHING = (
    "watched", "open", "ready", "leases", "info", "dead", "batch", "wakeups", "slots",
)  # fmt: skip


def everything(found: Sequence[DeadBatch], **options: Any) -> Order:
    """An order to change all of *found*, as somebody gives who has just counted them."""
    latest_ms = max((each.died_ms for each in found), default=0)
    return Order(count_dead(found, latest_ms), **options)


class Queues:
    """The queues of one namespace, as an operator sees them."""

    def __init__(self, redis_url: str, **settings: Any) -> None:
        self.settings = Settings(redis_url=redis_url, **settings)
        self.client: Any = redis_py.Redis.from_url(redis_url)
        self.fleet = Fleet(self.client, self.settings.namespace)

    def add(
        self, account: int = 1, *, base_url: str = "", shards: int = 1, **batch: Any
    ) -> vwo_celery.Queue:
        """A registered queue that holds nothing; 5 events make a batch unless *batch* says else."""
        options = {"events_per_request": 5, "request_time_interval": 60, **batch}
        queue = vwo_celery.connect(
            vwo_celery.Destination(
                account_id=account, sdk_key=KEY, generation="fme", base_url=base_url
            ),
            batch_event_data=options,
            strict=True,
            redis_url=self.settings.redis_url,
            enqueue_timeout_seconds=5.0,
            shards=shards,
            namespace=self.settings.namespace,
        )
        assert producer_of(queue).register()
        return queue

    def fill(self, queue: vwo_celery.Queue, events: int) -> None:
        """Enqueue *events* events."""
        assert all(queue.enqueue_many({"n": n} for n in range(events)))

    def claim(self, queue: vwo_celery.Queue, shard: int = 0) -> Batch:
        """Claim a batch: it is in flight."""
        batch = self.shard(queue, shard).claim(token="", lease_seconds=LEASE_SECONDS)
        assert isinstance(batch, Batch)
        return batch

    def release(self, queue: vwo_celery.Queue, error: str, delay_seconds: float = 30.0) -> Batch:
        """Claim and release a batch, as after an attempt that failed."""
        batch = self.claim(queue)
        assert self.shard(queue).release(batch, delay_seconds=delay_seconds, error=error)
        return batch

    def kill(self, queue: vwo_celery.Queue, error: str) -> Batch:
        """Claim a batch and make it a dead letter."""
        batch = self.claim(queue)
        assert self.shard(queue).dead_letter(batch, error=error)
        return batch

    def deliver(self, queue: vwo_celery.Queue) -> None:
        """Claim and ack a batch, as a worker does when VWO has accepted it."""
        assert self.shard(queue).ack(self.claim(queue).id)

    def shard(self, queue: vwo_celery.Queue, number: int = 0) -> Shard:
        """One shard, as a worker sees it."""
        return self.fleet.shard(queue.name, number)

    def age_open(self, queue: vwo_celery.Queue, seconds: float) -> None:
        """Make the first event of the open list this old."""
        first = self.fleet.now_ms() - int(1000 * seconds)
        self.client.hset(self.shard(queue).keys.meta, "first_ms", first)

    def age_ready(
        self, queue: vwo_celery.Queue, *, first_seconds: float, visible_seconds: float
    ) -> None:
        """Make every ready batch's first event this old, and visible for so long."""
        keys, now = self.shard(queue).keys, self.fleet.now_ms()
        for batch in self.client.zrange(keys.ready, 0, -1):
            line = self.client.hget(keys.info, batch)
            assert line is not None
            parts = line.decode().split(":")
            parts[4] = str(now - int(1000 * first_seconds))
            self.client.hset(keys.info, batch, ":".join(parts))
            self.client.zadd(keys.ready, {batch: now - int(1000 * visible_seconds)})

    @property
    def registered(self) -> dict[str, Registration]:
        """Registrations by queue name."""
        return self.fleet.registrations().readable

    def views(self) -> list[QueueView]:
        """Views of all queues."""
        return view_queues(self.fleet, self.registered)

    def view(self, queue: vwo_celery.Queue) -> QueueView:
        """View of one queue."""
        (found,) = view_queues(self.fleet, {queue.name: self.registered[queue.name]})
        return found


@contextmanager
def waiting_and_dead() -> Iterator[Queues]:
    """A queue with waiting events and a dead letter, on a Redis that nobody else asks."""
    with RedisServer() as server:
        queues = Queues(server.url)
        queue = queues.add()
        queues.fill(queue, 12)
        queues.kill(queue, "HTTP 413")
        yield queues


def no_broker(_: Settings) -> BrokerFacts:
    """What the doctor knows of a broker that nobody asks."""
    return BrokerFacts(url="redis://broker", unchecked="it is not what this is about")


def find_dead(
    fleet: Fleet,
    registered: Mapping[str, Registration],
    *,
    batches: Sequence[str] = (),
    reason: str = "",
) -> list[DeadBatch]:
    """The dead letters of these queues, the newest first, of these names and with this reason."""
    wanted = Filter().narrowed(batches=batches, reason=reason)
    return list(finding.find_dead(fleet, registered, wanted))
