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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vwo_celery import store, triggers
from vwo_celery.batching import BatchSettings, parse_batch_event_data
from vwo_celery.connections import open_client
from vwo_celery.destinations import Destination
from vwo_celery.errors import EventError, QueueFull, QueueUnavailable, VwoCeleryError
from vwo_celery.events import encode
from vwo_celery.fleet import Fleet, Registration
from vwo_celery.marks import Marks
from vwo_celery.pushes import REDIS_ERRORS, Push, describe, limits_of, pages, send_again
from vwo_celery.receipts import IN_REDIS, FlushResult, Receipt
from vwo_celery.settings import Settings
from vwo_celery.store import Pushed, Shard

log = logging.getLogger("vwo_celery")

_LOG_EVERY_SECONDS = 60.0
#: Batches of so many events and up: of those, few events open or fill one, which costs a call more.
_SHORT_WAY_FROM = 20
#: Longest wait for one answer where no request waits: flush_events and results.
_PATIENCE_SECONDS = 2.0


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
        given = client is not None
        if not given:
            # Half the time for each of two tries, so that both end in time.
            half = settings.enqueue_timeout_seconds / 2
            client = open_client(settings.redis_url, timeout_seconds=half)
        self.destination = destination
        self.batch = batch
        self.settings = settings
        self.name = destination.queue
        self.fleet = Fleet(client, settings.namespace)
        self.limits = limits_of(batch, settings)
        self.shards = [self.fleet.shard(self.name, i) for i in range(settings.shards)]
        self._marks = Marks()
        self._appends = batch.events_per_request >= _SHORT_WAY_FROM
        self._registered = 0  # pid of the process that did
        self._patient: Fleet | None = self.fleet if given else None
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
        if self._appends and self.is_registered:
            return self._append(text)
        return self._store((text,))

    def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Store events in their order, in one round trip for each thousand events or megabyte.

        Returns:
            A receipt for each event, in order. An event that cannot be encoded is dropped alone.

        Raises:
            QueueFull: Only with `when_full="raise"`; events of earlier thousands are stored.
        """
        events = list(events)
        try:
            texts = [encode(event) for event in events]
        except EventError:
            return self._enqueue_good_ones(events)
        return self.store_encoded(texts, [IN_REDIS] * len(texts))

    def _enqueue_good_ones(self, events: Iterable[Any]) -> list[Receipt]:
        """As `enqueue_many`, where one of the events cannot be encoded."""
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
        return self._push(self.prepare(texts))

    def _append(self, text: bytes) -> Receipt:
        """Store a single event by the shortest way; what is unusual goes the general way."""
        shard, mark, failure = self._some_shard(), self._marks.take(), None
        try:
            if shard.append(mark, text):
                self._marks.give_back(mark)
                return IN_REDIS
        except REDIS_ERRORS as exc:
            failure = exc
        push = Push(shard, mark, (text,), store.names_needed(self.limits, (text,)))
        return self._push_again(push, failure) if failure else self._push(push)

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
            # The mark does not go back: what it was last used for may still arrive.
            return self.drop("redis_unavailable", len(push.texts), describe(again))
        return self.settle(push, pushed)

    # -- what the asyncio producer shares

    def prepare(self, texts: Sequence[bytes], names: int | None = None) -> Push:
        """A push of *texts*, ready to be sent, and to be sent again if its answer is lost.

        Args:
            texts: The events, encoded; at most a page of them, see `pages`.
            names: Batches that it may seal at most; None for what this queue's limits need.
        """
        if names is None:
            names = store.names_needed(self.limits, texts)
        return Push(self._some_shard(), self._marks.take(), texts, names)

    def _some_shard(self) -> Shard:
        return self.shards[0] if len(self.shards) == 1 else random.choice(self.shards)

    def settle(self, push: Push, pushed: Pushed, *, once_more: bool = True) -> Receipt:
        """Do what an answer to a push asks for; its mark may serve the next push.

        Args:
            push: What was sent.
            pushed: The answer.
            once_more: Whether a push that stored nothing may be tried again.
        """
        token = push.token
        self._marks.give_back(push.mark)
        if pushed.code in (store.STORED, store.DUPLICATE):
            if pushed.wakeups or pushed.watch:
                self._tell_workers(push.shard, token, pushed)
            return IN_REDIS
        count = len(push.texts)
        if pushed.code in (store.TOO_MANY_EVENTS, store.TOO_MANY_BYTES):
            return self._refuse(count)
        if not once_more or (pushed.code == store.NOT_REGISTERED and not self.register()):
            return self.drop("redis_unavailable", count, "Redis keeps losing the registration")
        # Where another process registered smaller batches, more may be sealed than names were given.
        return self._push(self.prepare(push.texts, count + 1), once_more=False)

    @property
    def is_registered(self) -> bool:
        """Whether this process has registered the queue."""
        return self._registered == os.getpid()

    def register(self) -> bool:
        """Make the queue known to workers and scripts; False if Redis did not answer."""
        try:
            try:
                self.fleet.register(self.registration)
            except QueueUnavailable:  # over a new connection it may go well, and twice does no harm
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
                self._patient_fleet(), self.registration, timeout_seconds=timeout_seconds
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

        return listen(self._patient_fleet(), self.registration, timeout_seconds)

    def _patient_fleet(self) -> Fleet:
        """The queues, by a client that waits longer than a web request may."""
        if self._patient is None:
            url, namespace = self.settings.redis_url, self.settings.namespace
            self._patient = Fleet(open_client(url, timeout_seconds=_PATIENCE_SECONDS), namespace)
        return self._patient

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
