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
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import chain, repeat
from typing import Any

from vwo_celery.connections.errors import advise, is_without_master
from vwo_celery.errors import EventError, QueueFull, QueueUnavailable
from vwo_celery.logs import log_surprise
from vwo_celery.producing.registrant import ATTEMPT_SHARE, Registrant
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.answers import CLONED, KEPT, NOT_REGISTERED, REFUSALS, STORED, Pushed
from vwo_celery.queue.words.marks import Mark
from vwo_celery.queue.work.pushes import (
    ALONE,
    Place,
    Push,
    names_needed,
    placed_pages,
    send_again,
    send_with_room,
)
from vwo_celery.queue.work.replication import warn_of_lag
from vwo_celery.queue.work.sweeping import tell_workers
from vwo_celery.receipts import IN_REDIS, NOT_REPLICATED, Receipt
from vwo_celery.settings.redis_url import host_of
from vwo_celery.tracing.api import is_sampled
from vwo_celery.tracing.calls import Sending, sending


class Producer(Registrant):
    """Stores the events of one destination. Safe under threads, greenlets and forks.

    Nothing is connected before the first use.
    """

    # -- storing

    def enqueue(self, event: Any) -> Receipt:
        """Store one event; see `Queue.enqueue`."""
        try:
            encoded = self.encode(event)
        except EventError as exc:
            return self.drop(exc.reason, 1, str(exc))
        if is_sampled():
            return self.store_encoded((encoded,), [IN_REDIS])[0]
        try:
            if self._appends:
                shard = self._ready_shard()
                if shard is not None:
                    return self._append(shard, encoded)
        except QueueFull:
            raise
        except Exception as exc:
            return self.give_up(exc, 1)
        return self.store_page((encoded,))

    def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Store events in their order; see `Queue.enqueue_many`."""
        encoded, receipts = self.encode_many(list(events))
        return self.store_encoded(encoded, receipts)

    def encode_many(self, events: Sequence[Any]) -> tuple[list[bytes], list[Receipt]]:
        """Encode events, and drop those that cannot be encoded.

        Returns:
            The encoded events, and a receipt for each event: IN_REDIS for those that are encoded.
        """
        try:
            return self.encode_all(events), [IN_REDIS] * len(events)
        except EventError:
            return self._encode_good_ones(events)

    def _encode_good_ones(self, events: Iterable[Any]) -> tuple[list[bytes], list[Receipt]]:
        """Encode events of which at least one cannot be."""
        receipts: list[Receipt] = []
        encoded: list[bytes] = []
        for event in events:
            try:
                encoded.append(self.encode(event))
                receipts.append(IN_REDIS)
            except EventError as exc:
                receipts.append(self.drop(exc.reason, 1, str(exc)))
        return encoded, receipts

    def store_encoded(self, encoded: Sequence[bytes], receipts: list[Receipt]) -> list[Receipt]:
        """Store encoded events, page by page.

        Args:
            encoded: The events, in order.
            receipts: IN_REDIS in the place of each of them; other receipts stay as they are.

        Returns:
            *receipts*, with the receipt of each event in its place.
        """
        if encoded and is_sampled():
            with self.sending(encoded) as call:
                return call.concluded(self._store(call.events, receipts))
        return self._store(encoded, receipts)

    def sending(self, encoded: Sequence[bytes]) -> AbstractContextManager[Sending]:
        """Record a call that stores *encoded*, at least one, until the block ends."""
        return sending(self.name, encoded, host_of(self.settings.redis_url))

    def _store(self, encoded: Sequence[bytes], receipts: list[Receipt]) -> list[Receipt]:
        stored = [
            (self.store_page(page, place), len(page)) for page, place in placed_pages(encoded)
        ]
        if all(receipt is IN_REDIS for receipt, _ in stored):
            return receipts
        answers = chain.from_iterable(repeat(receipt, count) for receipt, count in stored)
        return [next(answers) if receipt is IN_REDIS else receipt for receipt in receipts]

    def store_page(self, encoded: Sequence[bytes], place: Place = ALONE) -> Receipt:
        """Store a page of a call's encoded events, and return the receipt of each."""
        try:
            push = self._prepare_if_ready(encoded, place)
            return self.fallback.keep(encoded) if push is None else self._push(push)
        except QueueFull:
            raise
        except Exception as exc:
            return self.give_up(exc, len(encoded))

    def _prepare_if_ready(self, encoded: Sequence[bytes], place: Place) -> Push | None:
        """Return a push of *encoded*; None if Redis is not to be asked. Nothing is sent yet."""
        try:
            if not self.asks_redis() or (not self.is_registered and not self.register()):
                return None
            return self.prepare(encoded, place=place)
        except Exception as exc:
            log_surprise(exc, "its events go to the spool")
            return None

    def _append(self, shard: Shard, encoded: bytes) -> Receipt:
        """Store a single event by the shortest way; where that cannot be, push it."""
        marks, failure = self._marks[shard.number], None
        mark, part = marks.take(1), self._part_of(shard)
        try:
            if not shard.is_full and shard.append(mark, encoded):
                if self.reporter.has_news:
                    self._tell(shard, mark)
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
        return self.conclude_and_tell(push, pushed, once_more=once_more)

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
        return self.fallback.keep(push.encoded, advise(exc))

    def prepare(
        self, encoded: Sequence[bytes], names: int | None = None, place: Place = ALONE
    ) -> Push:
        """Return a push of *encoded*; it may be sent again if its answer is lost.

        Args:
            encoded: The events; at most a page of them, see `pages`.
            names: Most batches that it may seal; None for as many as this queue's limits need.
            place: Its place in the call that the events come from.
        """
        if names is None:
            names = names_needed(self.limits, encoded)
        lot = place.lot if self.batch.is_least else None
        shard = self._ready_shard(lot) or random.choice(self.shards)
        mark = self._marks[shard.number].take(len(encoded))
        part, gate = self._part_of(shard), self._gates[shard.number] if self._appends else None
        return Push(shard, mark, encoded, names, self._replicas, False, part, place, gate)

    def conclude(self, push: Push, pushed: Pushed, *, once_more: bool = True) -> Receipt:
        """Do what the answer to a push asks for, and return the receipt of its events.

        Its mark is free for the next push wherever its fate is known.

        Args:
            push: The push that was sent.
            pushed: The answer.
            once_more: Whether a push that stored nothing may be sent again.
        """
        marks = self._marks[push.shard.number]
        if pushed.code in KEPT:
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
        again = self.prepare(push.encoded, len(push.encoded) + 1, push.place)
        return self._push(again, once_more=False)

    def conclude_and_tell(self, push: Push, pushed: Pushed, *, once_more: bool = True) -> Receipt:
        """Conclude, and tell Redis, which has just answered, what this process has counted."""
        receipt = self.conclude(push, pushed, once_more=once_more)
        if self.reporter.has_news:
            self._tell(push.shard, push.mark)
        return receipt

    def _tell(self, shard: Shard, mark: Mark) -> None:
        """Tell it unless the call might then take too long."""
        taken_seconds = (time.time_ns() - mark.taken_ns) / 1e9
        if taken_seconds <= (1 - ATTEMPT_SHARE) * self.settings.enqueue_timeout_seconds:
            self.reporter.tell_of(self.fleet, self.name, shard.number)

    def _note_stored(self, push: Push, pushed: Pushed) -> None:
        token = push.token
        marks = self._marks[push.shard.number]
        marks.give_back_pushed(push.mark, renewed=pushed.code == STORED)
        self._close_breaker(push)
        if pushed.wakeups or pushed.watch:
            tell_workers(self.fleet, push.shard, token, pushed)

    def _close_breaker(self, push: Push) -> None:
        breaker = self.host.breaker_at(push.part)
        if breaker.is_open:
            breaker.close()
            self.host.diary.note_recovered(push.part)

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

    def __repr__(self) -> str:
        return f"<Producer {self.name} of {self.destination!r}>"
