"""Stage 1 of an event's way, in the application's process: encode it, store it, answer truthfully.

One call is one script in Redis. No thread, no Celery, no HTTP library. The call neither raises for
trouble with Redis or the event, nor waits much past `enqueue_timeout_seconds`; what became of the
event stands in the receipt. A push whose answer was lost is sent again under the same mark, so that
it is stored once. If the process dies before the receipt, the event may or may not be stored; with
a receipt that says "redis", it is.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import msgspec
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from vwo_celery import store, triggers
from vwo_celery.batching import BatchSettings, parse_batch_event_data
from vwo_celery.connections import open_client
from vwo_celery.destinations import Destination
from vwo_celery.errors import EventError, QueueFull, VwoCeleryError
from vwo_celery.events import BODY_OVERHEAD_BYTES, MAX_BODY_BYTES, encode
from vwo_celery.fleet import Fleet, Registration
from vwo_celery.settings import Settings
from vwo_celery.store import Limits, Mark, Pushed, Shard, as_ms

log = logging.getLogger("vwo_celery")

#: Most events and bytes of one command, so that no command holds Redis for more than a moment.
PUSH_EVENTS = 1000
PUSH_BYTES = 1_000_000
#: Sweeps that a wake-up slot outlives when no task picks the wake-up up.
SLOT_SWEEPS = 3
_SHORTEST_SLOT_SECONDS = 3.0
_LOG_EVERY_SECONDS = 60.0


class Receipt(msgspec.Struct, frozen=True):
    """What became of one event.

    Attributes:
        where: "redis": it will be delivered, or be visible among the dead letters; "spooled": the
            same, from this host's disk; "dropped": it will not.
        reason: Why it was dropped, one word: "not_json", "not_an_object", "too_large",
            "queue_full", "redis_unavailable"; else None.
    """

    where: Literal["redis", "spooled", "dropped"]
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.where != "dropped"


IN_REDIS = Receipt(where="redis")


class FlushResult(msgspec.Struct, frozen=True):
    """What a flush achieved within its timeout; truthy where everything was delivered.

    Attributes:
        delivered: Events that VWO accepted since the flush began, of those pending then.
        failed: Events of those that were dead-lettered since.
        pending: Events of those that are still in Redis.
        reason: Why not everything was delivered, "" if it was.
    """

    delivered: int = 0
    failed: int = 0
    pending: int = 0
    reason: str = ""

    def __bool__(self) -> bool:
        return not (self.failed or self.pending or self.reason)


class Marks:
    """Idempotency marks of this process; each serves one push at a time.

    A mark goes back only after a push whose fate is known. After a fork the child starts with none
    of its parent's, since both would count on from the same number.
    """

    def __init__(self) -> None:
        self._free: deque[Mark] = deque()
        self._pid = os.getpid()

    def take(self) -> Mark:
        """A mark with its sequence raised for the next push."""
        if self._pid != os.getpid():
            self._free, self._pid = deque(), os.getpid()
        try:
            mark = self._free.pop()
        except IndexError:
            mark = Mark(uuid4().hex[:12])
        mark.sequence += 1
        return mark

    def give_back(self, mark: Mark) -> None:
        """Let the next push use it."""
        self._free.append(mark)


class Push(NamedTuple):
    """One push: where to, under which mark, of what, and the command that does it."""

    shard: Shard
    mark: Mark
    token: str
    texts: Sequence[bytes]
    command: tuple[Any, ...]


class Queue:
    """A destination's queue, as the application sees it. Made by `connect` or `attach`.

    May be shared by threads and greenlets, and be carried over a fork. Nothing is connected before
    the first use.
    """

    def __init__(
        self, destination: Destination, batch: BatchSettings, settings: Settings, client: Any
    ) -> None:
        self.destination = destination
        self.batch = batch
        self.settings = settings
        self.name = destination.queue
        self.fleet = Fleet(client, settings.namespace)
        self.limits = limits_of(batch, settings)
        self.shards = [self.fleet.shard(self.name, i) for i in range(settings.shards)]
        self._marks = Marks()
        self._registered = 0  # pid of the process that did
        self._dropped: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}

    # -- storing

    def enqueue(self, event: Any) -> Receipt:
        """Store one event, to be sent with the batch it falls into.

        Args:
            event: A mapping, a struct of `vwo_celery.events`, or the bytes of one JSON object.

        Returns:
            A receipt; falsy only where the event is dropped.

        Raises:
            QueueFull: Only with `when_full="raise"`; the event is not stored.
        """
        try:
            text = encode(event)
        except EventError as exc:
            return self.drop(exc.reason, 1, str(exc))
        return self._store((text,))

    def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Store events in their order, in one round trip for each thousand events or megabyte.

        Returns:
            A receipt for each event, in order. An event that cannot be encoded is dropped alone.

        Raises:
            QueueFull: Only with `when_full="raise"`; events of earlier thousands are stored.
        """
        receipts: list[Receipt] = []
        texts: list[bytes] = []
        for event in events:
            try:
                texts.append(encode(event))
                receipts.append(IN_REDIS)
            except EventError as exc:
                receipts.append(self.drop(exc.reason, 1, str(exc)))
        return self.store_encoded(texts, receipts)

    def store_encoded(self, texts: Sequence[bytes], receipts: list[Receipt]) -> list[Receipt]:
        """Store encoded events; *receipts* has "redis" in place of each of them, and is corrected."""
        stored = [receipt for page in pages(texts) for receipt in [self._store(page)] * len(page)]
        if all(receipt is IN_REDIS for receipt in stored):
            return receipts
        answers = iter(stored)
        return [next(answers) if receipt is IN_REDIS else receipt for receipt in receipts]

    def _store(self, texts: Sequence[bytes]) -> Receipt:
        if not self.is_registered and not self.register():
            return self.drop("redis_unavailable", len(texts), "the queue could not be registered")
        return self._push(texts, store.names_needed(self.limits, texts))

    def _push(self, texts: Sequence[bytes], names: int, *, once_more: bool = True) -> Receipt:
        push = self.prepare(texts, names)
        try:
            pushed = push.shard.push(push.command)
        except RedisError as exc:
            try:
                pushed = _push_again(push, exc)
            except RedisError as again:
                return self.drop("redis_unavailable", len(texts), describe(again))
        self._marks.give_back(push.mark)
        if is_plain(pushed):
            return IN_REDIS
        return self.settle(push, pushed, once_more=once_more)

    # -- what the asyncio producer shares

    def prepare(self, texts: Sequence[bytes], names: int | None = None) -> Push:
        """A push of *texts*, ready to be sent, and to be sent again if its answer is lost.

        Args:
            texts: The events, encoded; at most a page of them, see `pages`.
            names: Batches that it may seal at most; None for what this queue's limits need.
        """
        if names is None:
            names = store.names_needed(self.limits, texts)
        shard = self.shards[0] if len(self.shards) == 1 else random.choice(self.shards)
        mark = self._marks.take()
        return Push(
            shard, mark, store.push_token(mark), texts, shard.push_command(mark, texts, names)
        )

    def give_back(self, push: Push) -> None:
        """Let the next push use the mark of this one, whose answer came."""
        self._marks.give_back(push.mark)

    def settle(self, push: Push, pushed: Pushed, *, once_more: bool = True) -> Receipt:
        """Do what an answer that is not plain asks for.

        Args:
            push: What was sent.
            pushed: The answer.
            once_more: Whether a push that stored nothing may be tried again.
        """
        if pushed.code in (store.STORED, store.DUPLICATE):
            self._tell_workers(push.shard, push.token, pushed)
            return IN_REDIS
        count = len(push.texts)
        if pushed.code in (store.TOO_MANY_EVENTS, store.TOO_MANY_BYTES):
            return self._refuse(count)
        if not once_more or (pushed.code == store.NOT_REGISTERED and not self.register()):
            return self.drop("redis_unavailable", count, "Redis keeps losing the registration")
        # Where another process registered smaller batches, more may be sealed than names were given.
        return self._push(push.texts, count + 1, once_more=False)

    @property
    def is_registered(self) -> bool:
        """Whether this process has registered the queue."""
        return self._registered == os.getpid()

    def register(self) -> bool:
        """Make the queue known to workers and scripts; False if Redis did not answer."""
        try:
            self.fleet.register(self.registration)
        except VwoCeleryError as exc:
            self._log_seldom("register", "%s", exc)
            return False
        self._registered = os.getpid()
        return True

    def _tell_workers(self, shard: Shard, token: str, pushed: Pushed) -> None:
        """Leave wake-ups; a failure only delays the batch until the next sweep."""
        try:
            if pushed.watch:
                self.fleet.watch(shard.keys.name)
            if pushed.wakeups:
                tokens = triggers.tokens(token, pushed.wakeups)
                self.fleet.leave_wakeups(self.name, shard.number, tokens)
        except VwoCeleryError as exc:
            self._log_seldom(
                "wakeup", "a wake-up was not left, the next sweep finds the batch: %s", exc
            )

    @property
    def registration(self) -> Registration:
        """What this queue is registered with."""
        return Registration(
            self.destination, self.limits, self.settings.shards, self.batch.flush_callback
        )

    # -- dropping

    @property
    def dropped(self) -> Mapping[str, int]:
        """Events that this process dropped, by reason."""
        return dict(self._dropped)

    def _refuse(self, count: int) -> Receipt:
        detail = (
            f"queue {self.name} is at its capacity (max_queue_events "
            f"{self.settings.max_queue_events}, max_queue_bytes {self.settings.max_queue_bytes})"
        )
        if self.settings.when_full == "raise":
            raise QueueFull(f"{count} events not stored: {detail}; drain it or raise the limit")
        return self.drop("queue_full", count, detail)

    def drop(self, reason: str, count: int, detail: str) -> Receipt:
        """Count and log events that are not stored."""
        self._dropped[reason] += count
        self._log_seldom(
            reason, "dropped an event of queue %s (%s; %d so far): %s",
            self.name, reason, self._dropped[reason], detail,
        )  # fmt: skip
        return Receipt(where="dropped", reason=reason)

    def _log_seldom(self, topic: str, message: str, *details: object) -> None:
        now = time.monotonic()
        if now - self._logged_at.get(topic, -_LOG_EVERY_SECONDS) < _LOG_EVERY_SECONDS:
            return
        self._logged_at[topic] = now
        log.warning(message, *details)

    # -- flushing and listening

    def flush_events(self, timeout_seconds: float = 10.0) -> FlushResult:
        """Have everything sent that was enqueued before this call, by any process, and wait for it.

        Args:
            timeout_seconds: Longest wait; 0 only wakes the workers.

        Returns:
            What was achieved; truthy where all of it was delivered. What is still pending stays,
            and is sent as soon as a worker can.
        """
        try:
            counts = triggers.flush(
                self.fleet, self.registration, self.settings, timeout_seconds=timeout_seconds
            )
        except VwoCeleryError as exc:
            return FlushResult(reason=str(exc))
        return FlushResult(**counts._asdict())

    def results(
        self, timeout_seconds: float | None = None
    ) -> Iterator[tuple[str | None, list[Any]]]:
        """(error, events) of this queue's batches as workers report them; best effort.

        What is reported while nobody iterates, or while Redis is away, is not seen.

        Args:
            timeout_seconds: End after so long without a report; None waits for ever.
        """
        from vwo_celery.listening import listen

        return listen(self.fleet, self.registration, timeout_seconds)

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
    # Half the time for each of two tries, so that both end in time.
    client = redis if redis is not None else open_client(
        settings.redis_url, timeout_seconds=settings.enqueue_timeout_seconds / 2
    )  # fmt: skip
    return Queue(destination, batch, settings, client)


def is_plain(pushed: Pushed) -> bool:
    """Whether an answer says that the events are stored, and asks for nothing else."""
    return pushed.code == store.STORED and not (pushed.wakeups or pushed.watch)


def can_repeat(exc: RedisError) -> bool:
    """Whether sending a push again can help; its mark keeps it from storing twice."""
    return isinstance(exc, (NoScriptError, RedisConnectionError, RedisTimeoutError))


def describe(exc: Exception) -> str:
    """What Redis said, for a log line."""
    return f"Redis answered {type(exc).__name__}: {exc}"


def _push_again(push: Push, exc: RedisError) -> Pushed:
    if not can_repeat(exc):
        raise exc
    if isinstance(exc, NoScriptError):
        push.shard.load_push()
    return push.shard.push(push.command)


def limits_of(batch: BatchSettings, settings: Settings) -> Limits:
    """What the scripts of each shard have to obey."""
    shards = settings.shards
    return Limits(
        events_per_request=batch.events_per_request,
        interval_ms=batch.request_time_interval_ms,
        batch_bytes=MAX_BODY_BYTES - BODY_OVERHEAD_BYTES,
        capacity_events=-(-settings.max_queue_events // shards),
        capacity_bytes=-(-settings.max_queue_bytes // shards),
        parallel=-(-settings.max_parallel_sends // shards),
        slot_ttl_ms=as_ms(
            max(_SHORTEST_SLOT_SECONDS, SLOT_SWEEPS * settings.sweep_interval_seconds)
        ),
    )


def pages(texts: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """*texts* in runs of at most PUSH_EVENTS events and about PUSH_BYTES bytes."""
    if len(texts) <= PUSH_EVENTS and sum(map(len, texts)) <= PUSH_BYTES:
        if texts:
            yield texts
        return
    start, size = 0, 0
    for i, text in enumerate(texts):
        if i > start and (i - start >= PUSH_EVENTS or size + len(text) > PUSH_BYTES):
            yield texts[start:i]
            start, size = i, 0
        size += len(text)
    yield texts[start:]
