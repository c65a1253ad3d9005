"""Stage 1 of an event's way, in the application's process: encode it, store it, answer truthfully.

One call is one script in Redis. No Celery, no HTTP library. The call neither raises for trouble with
Redis or the event, nor waits much past `enqueue_timeout_seconds`; what became of the event stands in
the receipt. A push whose answer was lost is sent again under the same mark, so that it is stored once.
What Redis does not take goes to this host's spool. If the process dies before the receipt, the event
may or may not be stored; with a receipt that says "redis" or "spooled", it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

from vwo_celery.connections import open_client
from vwo_celery.connections.errors import REDIS_ERRORS
from vwo_celery.destinations import Destination
from vwo_celery.errors import EventError, QueueFull, QueueUnavailable, VwoCeleryError
from vwo_celery.events import encode
from vwo_celery.forks import PerProcess
from vwo_celery.logs import seldom
from vwo_celery.producing.flushing import flush
from vwo_celery.producing.limits import limits_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.marks import Marks
from vwo_celery.queue.pushes import Push, names_needed, pages, send_again, send_with_room
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.replication import Shortfall, replicas_of
from vwo_celery.queue.shard import DUPLICATE, NOT_REGISTERED, REFUSALS, STORED, Pushed, Shard
from vwo_celery.queue.sweeping import tell_workers
from vwo_celery.receipts import IN_REDIS, DrainResult, FlushResult, Receipt
from vwo_celery.settings import Settings
from vwo_celery.settings.batch_event_data import BatchSettings, parse_batch_event_data
from vwo_celery.spool.fallback import Leftovers, fallback_of

#: Batches of so many events and up: of those, few events open or fill one, which costs a call more.
_SHORT_WAY_FROM = 20
#: Of the time for one enqueue: each of two tries to reach Redis; the rest is for the disk.
SHARE_OF_A_TRY = 0.45


class Queue:
    """A destination's queue, as the application sees it. Made by `connect` or `attach`.

    May be shared by threads and greenlets, and be carried over a fork. Nothing is connected before
    the first use.
    """

    def __init__(
        self,
        destination: Destination,
        batch: BatchSettings,
        settings: Settings,
        client: Any = None,
    ) -> None:
        self._fallback = fallback_of(settings, client)
        self._breaker = self._fallback.breaker
        one_try = SHARE_OF_A_TRY * settings.enqueue_timeout_seconds
        self._replicas = replicas_of(settings, client, answer_seconds=one_try)
        if client is None:
            client = open_client(settings.redis_url, timeout_seconds=one_try)
        self.destination = destination
        self.batch = batch
        self.settings = settings
        self.name = destination.queue
        self.fleet = Fleet(client, settings.namespace)
        self.limits = limits_of(batch, settings)
        self.shards = [self.fleet.shard(self.name, i) for i in range(settings.shards)]
        self._marks = [Marks() for _ in self.shards]
        self._appends = batch.events_per_request >= _SHORT_WAY_FROM and self._replicas is None
        self._shortfall = Shortfall(self.name, settings.wait_replicas)
        self._registered = PerProcess(bool)
        self.leftovers = Leftovers(self.registration, settings, self._fallback)

    # -- storing

    def enqueue(self, event: Any) -> Receipt:
        """Store one event, to be sent with the batch it falls into.

        Args:
            event: A mapping, a struct of `vwo_celery.events`, or the bytes of one JSON object.

        Returns:
            A receipt; falsy only where the event is dropped.

        Raises:
            QueueFull: Only with `when_full="raise"`, of the queue and of the spool; the event is not
                stored.
        """
        try:
            encoded = encode(event)
        except EventError as exc:
            return self.drop(exc.reason, 1, str(exc))
        if self._appends and self.is_registered and not self._breaker.is_open:
            return self._append(encoded)
        return self._store((encoded,))

    def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Store events in their order, in one round trip for each thousand events or megabyte.

        Returns:
            A receipt for each event, in order. An event that cannot be encoded is dropped alone.

        Raises:
            QueueFull: Only with `when_full="raise"`; events of earlier thousands are stored.
        """
        events = list(events)
        try:
            encoded = [encode(event) for event in events]
        except EventError:
            return self._enqueue_good_ones(events)
        return self.store_encoded(encoded, [IN_REDIS] * len(encoded))

    def _enqueue_good_ones(self, events: Iterable[Any]) -> list[Receipt]:
        """As `enqueue_many`, where one of the events cannot be encoded."""
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
        """Store encoded events; *receipts* has "redis" in place of each of them, and is corrected."""
        stored = [receipt for page in pages(encoded) for receipt in [self._store(page)] * len(page)]
        if all(receipt is IN_REDIS for receipt in stored):
            return receipts
        answers = iter(stored)
        return [next(answers) if receipt is IN_REDIS else receipt for receipt in receipts]

    def _store(self, encoded: Sequence[bytes]) -> Receipt:
        if not self.asks_redis():
            return self.leftovers.keep(encoded)
        if not self.is_registered and not self.register():
            return self.leftovers.keep(encoded)
        return self._push(self.prepare(encoded))

    def _append(self, encoded: bytes) -> Receipt:
        """Store a single event by the shortest way; what is unusual goes the general way."""
        shard, failure = self._some_shard(), None
        marks = self._marks[shard.number]
        mark = marks.take(1)
        try:
            if shard.append(mark, encoded):
                marks.give_back(mark)
                return IN_REDIS
        except REDIS_ERRORS as exc:
            failure = exc
        push = Push(shard, mark, (encoded,), names_needed(self.limits, (encoded,)))
        if failure is not None:
            return self._push_again(push, failure)
        self._fallback.look()
        return self._push(push)

    def _push(self, push: Push, *, once_more: bool = True) -> Receipt:
        try:
            pushed = push.send()
        except REDIS_ERRORS as exc:
            return self._push_again(push, exc)
        return self.settle(push, pushed, once_more=once_more)

    def _push_again(self, push: Push, exc: Exception) -> Receipt:
        try:
            pushed = send_again(push, exc)
        except REDIS_ERRORS as again:
            return self.leftovers.keep_sent(push, again)
        return self.settle(push, pushed)

    # -- what the asyncio producer shares

    def asks_redis(self) -> bool:
        """Whether this call shall ask Redis, and not go straight to the spool."""
        if self._breaker.is_open:
            return self._fallback.may_ask()
        self._fallback.look()
        return True

    def prepare(self, encoded: Sequence[bytes], names: int | None = None) -> Push:
        """A push of *encoded*, ready to be sent, and to be sent again if its answer is lost.

        Args:
            encoded: The events, encoded; at most a page of them, see `pages`.
            names: Batches that it may seal at most; None for what this queue's limits need.
        """
        if names is None:
            names = names_needed(self.limits, encoded)
        shard = self._some_shard()
        return Push(
            shard, self._marks[shard.number].take(len(encoded)), encoded, names, self._replicas
        )

    def _some_shard(self) -> Shard:
        return self.shards[0] if len(self.shards) == 1 else random.choice(self.shards)

    def settle(self, push: Push, pushed: Pushed, *, once_more: bool = True) -> Receipt:
        """Do what an answer to a push asks for; its mark may serve the next push.

        Args:
            push: What was sent.
            pushed: The answer.
            once_more: Whether a push that stored nothing may be tried again.
        """
        if self._breaker.is_open:
            self._breaker.close()
        token, marks = push.token, self._marks[push.shard.number]
        if pushed.code in (STORED, DUPLICATE):
            marks.give_back(push.mark)
            if pushed.wakeups or pushed.watch:
                self._tell_workers(push.shard, token, pushed)
            return IN_REDIS if pushed.replicated else self._shortfall.note(len(push.encoded))
        if pushed.code in REFUSALS:
            return self._settle_refused(push, pushed)
        marks.give_back_unused(push.mark)
        if not once_more or (pushed.code == NOT_REGISTERED and not self.register()):
            return self.leftovers.keep(push.encoded, "Redis keeps losing the registration")
        # Where another process registered smaller batches, more may be sealed than names were given.
        return self._push(self.prepare(push.encoded, len(push.encoded) + 1), once_more=False)

    def _settle_refused(self, push: Push, pushed: Pushed) -> Receipt:
        """Do what `when_full` says where a queue has no room for a push."""
        policy, events = self.settings.when_full, len(push.encoded)
        try:
            if policy == "drop_oldest":
                pushed = send_with_room(push, pushed)
        except QueueUnavailable as exc:
            self._fallback.note_failure(exc.__cause__)
        except REDIS_ERRORS as exc:
            return self.leftovers.keep_sent(push, exc)
        if pushed.code not in REFUSALS:
            return self.settle(push, pushed, once_more=False)
        self._marks[push.shard.number].give_back_unused(push.mark)
        detail = (
            f"queue {self.name} is at its capacity (max_queue_events "
            f"{self.settings.max_queue_events}, max_queue_bytes {self.settings.max_queue_bytes})"
        )
        if policy == "raise":
            raise QueueFull(f"{events} events not stored: {detail}; drain it or raise the limit")
        if policy == "spool":
            return self.leftovers.keep(push.encoded, detail, reason="queue_full")
        return self.drop("queue_full", events, detail)

    @property
    def is_registered(self) -> bool:
        """Whether this process has registered the queue."""
        return self._registered.get()

    def register(self) -> bool:
        """Make the queue known to workers and scripts; False if Redis did not answer."""
        try:
            try:
                lives = self._register()
            except QueueUnavailable:  # over a new connection it may go well, and twice does no harm
                lives = self._register()
        except VwoCeleryError as exc:
            self._fallback.note_failure(exc.__cause__)
            seldom.warn(f"register {self.name}", "%s", exc)
            return False
        for marks, life in zip(self._marks, lives, strict=True):
            marks.renew(life)
        self._registered.set(True)
        self._fallback.look(now_and_then=False)
        return True

    def _register(self) -> list[str]:
        return self.fleet.register(self.registration, [marks.life for marks in self._marks])

    def _tell_workers(self, shard: Shard, token: str, pushed: Pushed) -> None:
        """Leave wake-ups; a failure only delays the batch until the next sweep."""
        try:
            tell_workers(self.fleet, shard, token, pushed)
        except VwoCeleryError as exc:
            seldom.warn(
                f"wakeup {self.name}",
                "a wake-up was not left, the next sweep finds the batch: %s",
                exc,
            )

    @cached_property
    def registration(self) -> Registration:
        """What this queue is registered with."""
        return Registration(
            self.destination, self.limits, self.settings.shards, self.batch.flush_callback
        )

    # -- what Redis did not take

    @property
    def dropped(self) -> Mapping[str, int]:
        """Events that this process dropped, by reason."""
        return dict(self.leftovers.dropped)

    @property
    def not_replicated(self) -> int:
        """Events stored by this process that fewer replicas than `wait_replicas` confirmed in time."""
        return self._shortfall.events

    def drop(self, reason: str, count: int, detail: str) -> Receipt:
        """Count and announce events that are not stored."""
        return self.leftovers.drop(reason, count, detail)

    def spooled(self) -> int:
        """Events of this queue on this host's disk, of all processes.

        Raises:
            SpoolUnavailable: The spool cannot be read.
        """
        return self._fallback.count(self.name)

    def drain_spool(self, timeout_seconds: float = 5.0) -> DrainResult:
        """Move what this host's spool holds to Redis, of all its queues, in this thread.

        Usually it drains by itself; this is for programs that end, and for those without threads.

        Args:
            timeout_seconds: Longest wait; a page that is under way by then is finished.

        Returns:
            What was achieved; truthy where the spool is empty now.
        """
        return self._fallback.drain(timeout_seconds)

    # -- flushing and listening

    def flush_events(self, timeout_seconds: float = 10.0) -> FlushResult:
        """Have everything sent that was enqueued before this call, by any process, and wait for it.

        What is in this host's spool counts as pending until it is in Redis.

        Args:
            timeout_seconds: Longest wait; 0 only wakes the workers.

        Returns:
            What was achieved; truthy where all of it was delivered. What is still pending stays,
            and is sent as soon as a worker can.
        """
        return flush(self._fallback, self.registration, timeout_seconds=timeout_seconds)

    def results(
        self, timeout_seconds: float | None = None
    ) -> Iterator[tuple[str | None, list[Any]]]:
        """(error, events) of this queue's batches as workers report them; best effort.

        What is reported while nobody iterates, or while Redis is away, is not seen.

        Args:
            timeout_seconds: End after so long without a report; None waits for ever.
        """
        from vwo_celery.queue.results import listen

        return listen(self._fallback.open_fleet(), self.registration, timeout_seconds)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: a copy would share marks, and take passwords along.

        Raises:
            TypeError: Always; a forked process may use the queue that it inherits.
        """
        raise TypeError(
            "a queue cannot be pickled or copied; call vwo_celery.connect, or attach, where it is used"
        )

    def __repr__(self) -> str:
        return f"<Queue {self.name} of {self.destination!r}>"


def connect(
    destination: Destination,
    *,
    batch_event_data: Any = None,
    strict: bool = False,
    settings: Settings | None = None,
    redis: Any = None,
    **arguments: Any,
) -> Queue:
    """A queue for *destination*, without an SDK. Connects to nothing yet.

    Args:
        destination: Where the events go.
        batch_event_data: As the SDKs take it: `events_per_request` (1 to 5000, default 100),
            `request_time_interval` (seconds, 1 and up, default 600), `flush_callback`. With
            neither number, every event leaves at once.
        strict: Raise for a wrong batch option instead of logging it and using its default.
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        redis: A client to use instead of one made from `redis_url`; it must not retry by itself.
        arguments: Single settings, see docs/reference/settings.md.

    Raises:
        SettingsError: A setting is wrong; or, with *strict*, a batch option.
    """
    batch = parse_batch_event_data(batch_event_data, strict=strict)
    settings = settings if settings is not None else Settings.load(**arguments)
    return Queue(destination, batch, settings, redis)
