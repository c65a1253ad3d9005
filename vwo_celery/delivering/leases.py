"""The leases of this process: batches that it claimed and has neither settled nor handed back.

Stages 3 to 5 of an event's way, in a worker. A process that stops hands its batches back at once, and
no attempt is counted. Its threads may still be sending: from then on they settle nothing, except that
a batch which VWO accepted is still acknowledged. If the process dies instead, its leases run out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue.handling.waiting import vanish
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch, Part
from vwo_celery.queue.words.counts import NOTHING, Counts, summed
from vwo_celery.queue.work.succession import Successor, ack_and_claim
from vwo_celery.tracing.attempts import settles

#: Longest wait for a thread that is settling the batch at this moment, in seconds.
_LONGEST_WAIT_SECONDS = 1.0


class Lease:
    """The lease on one claimed batch.

    Once the batch was handed back or claimed by another worker, every method that settles but an ack
    does nothing and returns False. Each raises QueueUnavailable if Redis does not answer. *counts* are
    added to what `count` was told.

    Attributes:
        shard: Where the batch is.
        batch: As it was claimed.
        renewed_at: Time by the worker's clock from which the lease lasts at least its length: when the
            claim or the last extension was begun.
        claimed_at: Time by the worker's clock at which the claim was begun.
        handed_back: Whether the batch is no longer ours to send.
    """

    def __init__(
        self, shard: Shard, batch: Batch, renewed_at: float, events: list[bytes] | None = None
    ) -> None:
        self.shard = shard
        self.batch = batch
        self.claimed_at = renewed_at
        self.renewed_at = renewed_at
        self._counts: Counts = NOTHING
        self._until_ms = batch.lease_until_ms
        self.handed_back = False
        self._events = events
        self._lock = threading.Lock()

    def read(self) -> list[bytes]:
        """The batch's events, oldest first: those that came with the claim, else read now."""
        return self.shard.read(self.batch) if self._events is None else self._events

    def count(self, counts: Counts) -> None:
        """Add what happened to what is counted when the batch is settled, whatever becomes of it."""
        self._counts = summed(self._counts, counts)

    def extend(self, *, lease_seconds: float) -> bool:
        """Extend the lease to *lease_seconds* from now."""
        with self._lock:
            if self.handed_back:
                return False
            until = self.shard.extend(self.batch, lease_seconds=lease_seconds)
            self._until_ms = until or self._until_ms
            return bool(until)

    @settles("ack")
    def ack(self, counts: Counts = NOTHING) -> bool:
        """Forget the batch, since VWO accepted it; that holds whatever became of the lease."""
        counts = summed(self._counts, counts)
        with self._lock:
            return self.shard.ack(self.batch.id, claimed_ms=self.batch.claimed_ms, counts=counts)

    @settles("ack")
    def ack_and_claim(self, counts: Counts = NOTHING, *, lease_seconds: float) -> Successor | None:
        """Likewise, and claim what follows in the same packet; see `succession.ack_and_claim`."""
        counts = summed(self._counts, counts)
        with self._lock:
            return ack_and_claim(self.shard, self.batch, lease_seconds=lease_seconds, counts=counts)

    @settles("release")
    def release(self, *, delay_seconds: float, error: str, refused: bool = True) -> bool:
        """Release the batch, to be claimed again after a delay; see `Shard.release`."""
        with self._lock:
            if self.handed_back:
                return False
            return self.shard.release(
                self.batch, delay_seconds=delay_seconds, error=error, refused=refused,
                counts=self._counts,
            )  # fmt: skip

    @settles("dead_letter")
    def dead_letter(self, *, error: str, counts: Counts = NOTHING) -> bool:
        """Take the batch out of delivery and keep it for the operator."""
        counts = summed(self._counts, counts)
        with self._lock:
            if self.handed_back:
                return False
            return self.shard.dead_letter(self.batch, error=error, counts=counts)

    @settles("vanish")
    def vanish(self) -> bool:
        """Count the batch as dropped, whose events are gone from Redis; False if that is not so."""
        with self._lock:
            if self.handed_back:
                return False
            return vanish(self.shard, self.batch.id, attempt=self.batch.attempt) > 0

    @settles("split")
    def split(self, parts: Sequence[Part], *, delivered: int = 0, counts: Counts = NOTHING) -> bool:
        """Settle the batch in parts; see `Shard.split`."""
        counts = summed(self._counts, counts)
        with self._lock:
            if self.handed_back:
                return False
            return self.shard.split(self.batch, parts, delivered=delivered, counts=counts)

    @settles("hand_back")
    def hand_back(self) -> bool:
        """Undo the claim and refuse to settle the batch from now on; False if it was not ours."""
        if not self._lock.acquire(timeout=_LONGEST_WAIT_SECONDS):
            return False
        try:
            if self.handed_back:
                return False
            self.handed_back = True
            until_ms, counts = self._until_ms, self._counts
            self._counts = NOTHING  # an ack may follow
            return self.shard.hand_back(self.batch, lease_until_ms=until_ms, counts=counts)
        finally:
            self._lock.release()


class Leases:
    """The leases of one process; safe under threads and greenlets."""

    def __init__(self) -> None:
        self._held: set[Lease] = set()

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[None]:
        """Have a lease among the process' own until the block ends."""
        self._held.add(lease)
        try:
            yield
        finally:
            self._held.discard(lease)

    def keep(self, lease: Lease) -> None:
        """Have a lease among the process' own from now on, until a block that holds it ends."""
        self._held.add(lease)

    def hand_back_all(self) -> int:
        """Hand every batch back while Redis answers; return the number handed back."""
        given = 0
        for lease in list(self._held):
            try:
                given += lease.hand_back()
            except QueueUnavailable as exc:
                log.warning("leases are not handed back and run out by themselves: %s", exc)
                break
        if given:
            log.info("handed %d batches back, to be sent by another worker", given)
        return given
