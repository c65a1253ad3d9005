"""The producer: from an event to its receipt, in one script of Redis.

Stage 1 of an event's way, in the application's process. `queue` and `aio` are what an application
holds; both use the producer beneath. It imports neither Celery nor an HTTP library.

Neither trouble with Redis, whatever exception the client makes of it, nor an unusable event
raises, and a call waits little longer than
`enqueue_timeout_seconds`: the receipt says what became of the event. A push whose answer was lost
is sent again under the same mark, so Redis stores it once; what Redis does not take goes to this
host's spool. If the process dies before the receipt, the event may or may not be stored; with the
receipt "redis" or "spooled", it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from vwo_celery.clocks import monotonic
from vwo_celery.connections import shared_client, twin_of
from vwo_celery.connections.errors import describe, is_without_master
from vwo_celery.destinations import Destination
from vwo_celery.errors import EventError, QueueFull, QueueUnavailable, VwoCeleryError
from vwo_celery.events import encode
from vwo_celery.forks import PerProcess
from vwo_celery.logs import log_surprise, seldom
from vwo_celery.producing.limits import limits_of
from vwo_celery.queue.answers import CLONED, DUPLICATE, NOT_REGISTERED, REFUSALS, STORED, Pushed
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.marks import Marks
from vwo_celery.queue.parts import part_of
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.work.pushes import Push, names_needed, pages, send_again, send_with_room
from vwo_celery.queue.work.replication import replicas_of, warn_of_lag
from vwo_celery.queue.work.sweeping import tell_workers
from vwo_celery.receipts import IN_REDIS, NOT_REPLICATED, Receipt
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
_SCRIPTS = ("limit", "register", "make_room")


class Producer:
    """Stores the events of one destination. Safe under threads, greenlets and forks.

    Nothing is connected before the first use.

    Attributes:
        name: The queue's name.
        fleet: The queues in Redis, through a client as quick as a request needs it.
        shards: This queue's shards.
        limits: What the scripts of each shard obey.
        fallback: Takes this queue's events where Redis does not, and counts the dropped ones.
        host: Breaker, spool and drainer, shared with this process' other queues of the same Redis.
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
        self._replicas = replicas_of(settings, answer_seconds=attempt_seconds)
        if client is None:
            client = shared_client(settings.redis_url, timeout_seconds=attempt_seconds)
        else:
            client = twin_of(client, timeout_seconds=attempt_seconds)
        self.destination = destination
        self.batch = batch
        self.settings = settings
        self.name = destination.queue
        self.fleet = Fleet(client, settings.namespace)
        self._in_cluster = self.fleet.in_cluster
        self.limits = limits_of(batch, settings)
        self.shards = [self.fleet.shard(self.name, i) for i in range(settings.shards)]
        self.not_replicated = 0
        self._marks = [Marks() for _ in self.shards]
        self._appends = batch.events_per_request >= _APPEND_FROM_EVENTS and self._replicas is None
        self._registered: PerProcess[set[int]] = PerProcess(set)  # numbers of shards
        self.fallback = QueueFallback(self.registration, settings, self.host)
        for name in _SCRIPTS:
            script(name)

    # -- storing

    def enqueue(self, event: Any) -> Receipt:
        """Store one event; see `Queue.enqueue`."""
        try:
            encoded = encode(event)
        except EventError as exc:
            return self.drop(exc.reason, 1, str(exc))
        try:
            if self._appends:
                shard = self._ready_shard()
                if shard is not None:
                    return self._append(shard, encoded)
        except QueueFull:
            raise
        except Exception as exc:
            return self.give_up(exc, 1)
        return self._store((encoded,))

    def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Store events in their order; see `Queue.enqueue_many`."""
        events = list(events)
        try:
            encoded = [encode(event) for event in events]
        except EventError:
            return self._enqueue_good_ones(events)
        return self.store_encoded(encoded, [IN_REDIS] * len(encoded))

    def _enqueue_good_ones(self, events: Iterable[Any]) -> list[Receipt]:
        """Store events of which at least one cannot be encoded."""
        receipts: list[Receipt] = []
        encoded: list[bytes] = []
        for event in events:
            try:
                encoded.append(encode(event))
                receipts.append(IN_REDIS)
            except EventError as exc:
                receipts.append(self.drop(exc.reason, 1, str(exc)))
        return self.store_encoded(encoded, receipts)

    def store_encoded(self, encoded: Sequence[bytes], receipts: list[Receipt]) -> list[Receipt]:
        """Store encoded events, page by page.

        Args:
            encoded: The events, in order.
            receipts: IN_REDIS in the place of each of them; other receipts stay as they are.

        Returns:
            *receipts*, with the receipt of each event in its place.
        """
        stored = [receipt for page in pages(encoded) for receipt in [self._store(page)] * len(page)]
        if all(receipt is IN_REDIS for receipt in stored):
            return receipts
        answers = iter(stored)
        return [next(answers) if receipt is IN_REDIS else receipt for receipt in receipts]

    def _store(self, encoded: Sequence[bytes]) -> Receipt:
        try:
            push = self._prepare_if_ready(encoded)
            return self.fallback.keep(encoded) if push is None else self._push(push)
        except QueueFull:
            raise
        except Exception as exc:
            return self.give_up(exc, len(encoded))

    def _prepare_if_ready(self, encoded: Sequence[bytes]) -> Push | None:
        """Return a push of *encoded*; None if Redis is not to be asked. Nothing is sent yet."""
        try:
            if not self.asks_redis() or (not self.is_registered and not self.register()):
                return None
            return self.prepare(encoded)
        except Exception as exc:
            log_surprise(exc, "its events go to the spool")
            return None

    def _append(self, shard: Shard, encoded: bytes) -> Receipt:
        """Store a single event by the shortest way; where that cannot be, push it."""
        marks, failure = self._marks[shard.number], None
        mark, part = marks.take(1), self._part_of(shard)
        try:
            if shard.append(mark, encoded):
                marks.give_back(mark)
                return IN_REDIS
        except Exception as exc:
            failure = exc
        push = Push(shard, mark, (encoded,), names_needed(self.limits, (encoded,)), part=part)
        if failure is not None:
            return self.push_again(push, failure)
        self.host.look()
        if not self.is_registered:
            self.register()
        return self._push(push)

    def _push(self, push: Push, *, once_more: bool = True) -> Receipt:
        try:
            pushed = push.send()
        except Exception as exc:
            return self.push_again(push, exc)
        return self.conclude(push, pushed, once_more=once_more)

    # -- the steps that `aio` takes one by one

    def push_again(self, push: Push, exc: Exception) -> Receipt:
        """Send a push again that failed with *exc*, if that can help; return its events' receipt."""
        try:
            pushed = send_again(push, exc)
        except Exception as again:
            return self.keep_unanswered(push, again)
        return self.conclude(push, pushed)

    def keep_unanswered(self, push: Push, exc: Exception) -> Receipt:
        """Spool the events of a push that failed with *exc*.

        While Sentinel knows no master nothing is sent. The next push then uses the same mark, which
        shows what the old master had acknowledged and the new one lacks.
        """
        if not is_without_master(exc) or push.mark.in_doubt:
            return self.fallback.keep_sent(push, exc)
        self._marks[push.shard.number].give_back_unused(push.mark)
        self._note_failure(exc, push.shard)
        return self.fallback.keep(push.encoded, describe(exc))

    def asks_redis(self) -> bool:
        """Whether this call shall ask Redis, and not go straight to the spool."""
        breakers = [self._breaker_of(shard) for shard in self.shards]
        if all(breaker.is_open for breaker in breakers):
            return any(breaker.may_probe(monotonic()) for breaker in breakers)
        self.host.look()
        return True

    def prepare(self, encoded: Sequence[bytes], names: int | None = None) -> Push:
        """Return a push of *encoded*; it may be sent again if its answer is lost.

        Args:
            encoded: The events; at most a page of them, see `pages`.
            names: Most batches that it may seal; None for as many as this queue's limits need.
        """
        if names is None:
            names = names_needed(self.limits, encoded)
        shard = self._ready_shard() or random.choice(self.shards)
        mark = self._marks[shard.number].take(len(encoded))
        return Push(shard, mark, encoded, names, self._replicas, part=self._part_of(shard))

    def _ready_shard(self) -> Shard | None:
        """A registered shard with no open breaker in the way; None if there is none."""
        registered, shards = self._registered.get(), self.shards
        if self._in_cluster:
            shards = [shard for shard in shards if shard.number in registered]
            shards = [shard for shard in shards if not self._breaker_of(shard).is_open]
        elif self._breaker.is_open or not registered:
            return None
        if len(shards) == 1:
            return shards[0]
        return random.choice(shards) if shards else None

    def _breaker_of(self, shard: Shard) -> Breaker:
        return self.host.breaker_at(self._part_of(shard))

    def _part_of(self, shard: Shard) -> str:
        """The part of a Cluster that a shard lies on; "" for a single server, or if it is not known."""
        return part_of(self.fleet.client, shard.keys.meta) if self._in_cluster else ""

    def conclude(self, push: Push, pushed: Pushed, *, once_more: bool = True) -> Receipt:
        """Do what the answer to a push asks for, and return the receipt of its events.

        Its mark is free for the next push wherever its fate is known.

        Args:
            push: The push that was sent.
            pushed: The answer.
            once_more: Whether a push that stored nothing may be sent again.
        """
        marks = self._marks[push.shard.number]
        if pushed.code in (STORED, DUPLICATE):
            try:
                self._note_stored(push, pushed)
            except Exception as exc:
                log_surprise(exc, "its events are in Redis; a sweep finds them")
            return IN_REDIS if pushed.replicated else self._note_not_replicated(push)
        self._close_breaker(push)
        if pushed.code in REFUSALS:
            return self._conclude_refused(push, pushed)
        if pushed.code == CLONED:
            marks.start_afresh()
        else:
            marks.give_back_unused(push.mark)
        if not once_more or (pushed.code == NOT_REGISTERED and not self.register()):
            return self.fallback.keep(push.encoded, "Redis keeps losing the registration")
        # A clone of this process may have used the mark: nothing is stored, and another mark is new.
        # Another process may have registered smaller batches, of which more than expected are
        # sealed.
        return self._push(self.prepare(push.encoded, len(push.encoded) + 1), once_more=False)

    def _note_stored(self, push: Push, pushed: Pushed) -> None:
        token = push.token
        self._marks[push.shard.number].give_back(push.mark)
        self._close_breaker(push)
        if pushed.wakeups or pushed.watch:
            tell_workers(self.fleet, push.shard, token, pushed)

    def _close_breaker(self, push: Push) -> None:
        breaker = self.host.breaker_at(push.part)
        if breaker.is_open:
            breaker.close()

    def _conclude_refused(self, push: Push, pushed: Pushed) -> Receipt:
        """Follow `when_full` for a push that a full queue refused."""
        policy, events = self.settings.when_full, len(push.encoded)
        try:
            if policy == "drop_oldest":
                pushed = send_with_room(push, pushed)
        except QueueUnavailable as exc:
            self._note_failure(exc.__cause__, push.shard)
        except Exception as exc:
            return self.fallback.keep_sent(push, exc)
        if pushed.code not in REFUSALS:
            return self.conclude(push, pushed, once_more=False)
        self._marks[push.shard.number].give_back_unused(push.mark)
        detail = (
            f"queue {self.name} is at its capacity (max_queue_events "
            f"{self.settings.max_queue_events}, max_queue_bytes {self.settings.max_queue_bytes})"
        )
        if policy == "raise":
            raise QueueFull(f"{events} events not stored: {detail}; drain it or raise the limit")
        if policy == "spool":
            return self.fallback.keep(push.encoded, detail, reason="queue_full")
        return self.drop("queue_full", events, detail)

    def _note_not_replicated(self, push: Push) -> Receipt:
        """Count events that too few replicas confirmed, and warn now and then."""
        events = len(push.encoded)
        self.not_replicated += events  # in one step: a signal handler may do the same
        warn_of_lag(self.name, self.settings.wait_replicas, self.not_replicated)
        return NOT_REPLICATED

    def give_up(self, exc: Exception, count: int) -> Receipt:
        """Return the receipt of events that met a fault of ours: nothing else may reach a request."""
        log_surprise(exc, "its events count as dropped")
        return self.drop("internal_error", count, f"vwo_celery met {type(exc).__name__}")

    def drop(self, reason: str, count: int, detail: str) -> Receipt:
        """Count and announce events that are not stored, and return their receipt."""
        return self.fallback.drop(reason, count, detail)

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
            seldom.warn(f"register {self.name}", "%s", exc)
            return False
        for marks, life in zip(self._marks, lives, strict=True):
            if life:
                marks.renew(life)
        self._registered.set({number for number, life in enumerate(lives) if life})
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

    def __repr__(self) -> str:
        return f"<Producer {self.name} of {self.destination!r}>"
