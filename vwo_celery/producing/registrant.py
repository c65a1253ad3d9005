"""The producer's place in the fleet: its queue's registration, its shards, and their breakers.

Stage 1 of an event's way, beneath `producer`. Registering is the first call of a process, and comes
again after Redis has lost everything; in a Cluster, the shards whose part is away are registered
later. If the process dies here, a registration may be written in part; the next enqueue of any
producer writes it again.
"""

from __future__ import annotations

import random
from functools import cached_property
from typing import Any

from vwo_celery.clocks import monotonic
from vwo_celery.connections import shared_client, twin_of
from vwo_celery.destinations import Destination
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.forks import PerProcess
from vwo_celery.logs import seldom
from vwo_celery.producing.limits import limits_of
from vwo_celery.producing.singles import encoder_of, encoder_of_many, one_by_one
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.gates import Gate
from vwo_celery.queue.parts import part_of
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.marks import Marks
from vwo_celery.queue.words.registration import Registration
from vwo_celery.queue.work.replication import replicas_of
from vwo_celery.settings import Settings
from vwo_celery.settings.batch_event_data import BatchSettings
from vwo_celery.spool.breaker import Breaker
from vwo_celery.spool.fallback import QueueFallback, fallback_of

#: Batch size in events from which `append` pays: only an event that opens or fills a batch needs a
#: second call.
_APPEND_FROM_EVENTS = 20
#: Share of `enqueue_timeout_seconds` for each of the two attempts on Redis; the rest is left for
#: the disk.
ATTEMPT_SHARE = 0.45
#: Scripts that are read before the first use, which may come when the interpreter ends and no file
#: of the package can be found any more; those that store events are read as well.
_SCRIPTS = ("limit", "register", "make_room", "report")


class Registrant:
    """A destination's queue in Redis, as one process registers and reaches it.

    Nothing is connected before the first use.

    Attributes:
        name: The queue's name.
        fleet: The queues in Redis, through a client as quick as a request needs it.
        shards: This queue's shards.
        limits: What the scripts of each shard obey.
        encode: Encodes an event, or raises EventError.
        encode_all: Encodes many, or raises EventError if it cannot encode all of them.
        fallback: Takes this queue's events where Redis does not, and counts the dropped ones.
        host: Breaker, spool and drainer, shared with this process' other queues of the same Redis.
        reporter: Theirs, which tells Redis what it could not count.
        not_replicated: Events stored that fewer replicas than `wait_replicas` confirmed in time.
    """

    def __init__(
        self,
        destination: Destination,
        batch: BatchSettings,
        settings: Settings,
        client: Any = None,
    ) -> None:
        attempt_seconds = ATTEMPT_SHARE * settings.enqueue_timeout_seconds
        self.host = fallback_of(settings, client)
        self._breaker = self.host.breaker  # of a single server
        self.reporter = self.host.reporter
        self._replicas = replicas_of(settings, answer_seconds=attempt_seconds)
        if client is None:
            client = shared_client(settings.redis_url, timeout_seconds=attempt_seconds)
        else:
            client = twin_of(client, timeout_seconds=attempt_seconds)
        self.destination = destination
        self.batch = one_by_one(batch) if destination.is_single else batch
        self.settings = settings
        self.name = destination.queue
        self.fleet = Fleet(client, settings.namespace)
        self._in_cluster = self.fleet.in_cluster
        self.limits = limits_of(self.batch, settings)
        self.shards = [self.fleet.shard(self.name, i) for i in range(settings.shards)]
        self.not_replicated = 0
        self._marks = [Marks() for _ in self.shards]
        self._gates = [Gate(shard) for shard in self.shards]
        self.encode = encoder_of(destination)
        self.encode_all = encoder_of_many(destination)
        self._appends = (
            self.batch.events_per_request >= _APPEND_FROM_EVENTS and self._replicas is None
        )
        self._registered: PerProcess[tuple[int, ...]] = PerProcess(tuple)  # numbers of shards
        self.fallback = QueueFallback(self.registration, settings, self.host)
        for name in _SCRIPTS:
            script(name)

    # -- registering

    @property
    def is_registered(self) -> bool:
        """Whether this process has registered the queue, as far as that can be done now."""
        registered = self._registered.get()
        if len(registered) >= self.settings.shards and not self.fleet.memory.is_behind:
            return True
        return bool(registered) and self.fleet.hints.is_resting(self.name)

    def register(self) -> bool:
        """Make the queue known to workers and scripts; False if Redis did not answer.

        In a Cluster the shards whose part is away are left for later.
        """
        self.fleet.hints.rest(self.name)
        try:
            try:
                lives = self._register()
            except QueueUnavailable:  # a new connection may work; to register twice does no harm
                lives = self._register()
        except VwoCeleryError as exc:
            for shard in self.shards:
                self._note_failure(exc.__cause__, shard)
            if not isinstance(
                exc.__cause__, Exception
            ):  # else told with the events, see `fallback`
                seldom.warn(f"register {self.name}", "%s", exc)
            return False
        for marks, life in zip(self._marks, lives, strict=True):
            if life:
                marks.renew(life)
        self._registered.set(tuple(number for number, life in enumerate(lives) if life))
        self.host.look(now_and_then=False)
        return True

    def _note_failure(self, exc: BaseException | None, shard: Shard) -> None:
        self.host.note_failure(exc, self.registration, shard.number, self._part_of(shard))

    def _register(self) -> list[str]:
        lives = [marks.life for marks in self._marks]
        return self.fleet.register(self.registration, lives).lives

    @cached_property
    def registration(self) -> Registration:
        """The registration that this producer leaves in Redis."""
        return Registration(
            self.destination, self.limits, self.settings.shards, self.batch.flush_callback
        )

    def asks_redis(self) -> bool:
        """Whether this call shall ask Redis, and not go straight to the spool."""
        breakers = [self._breaker_of(shard) for shard in self.shards]
        if all(breaker.is_open for breaker in breakers):
            return any(breaker.may_probe(monotonic()) for breaker in breakers)
        self.host.look()
        return True

    def _ready_shard(self, lot: int | None = None) -> Shard | None:
        """A registered shard without an open breaker, one for each lot; None if there is none."""
        registered, shards = self._registered.get(), self.shards
        if self._in_cluster:
            shards = [shard for shard in shards if shard.number in registered]
            shards = [shard for shard in shards if not self._breaker_of(shard).is_open]
        elif self._breaker.is_open or not registered:
            return None
        if len(shards) == 1:
            return shards[0]
        if lot is not None and shards:
            return shards[lot % len(shards)]
        return random.choice(shards) if shards else None

    def _breaker_of(self, shard: Shard) -> Breaker:
        return self.host.breaker_at(self._part_of(shard))

    def _part_of(self, shard: Shard) -> str:
        """The part of a Cluster that a shard lies on; "" for a single server, or if it is not known."""
        return part_of(self.fleet.client, shard.keys.meta) if self._in_cluster else ""
