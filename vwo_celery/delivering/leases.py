"""The leases that this process holds: what is claimed, until it is settled or given back.

Stages 3 to 5 of an event's way, in a worker. A process that stops hands back what it holds, at once
and without an attempt counted, while its threads may still be sending: from then on they settle
nothing, but that VWO accepted a batch is always told. If the process dies instead, its leases run out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue.batches import Batch, Part
from vwo_celery.queue.shard import Shard

#: A thread that is settling a batch right now need not be waited for any longer to hand it back.
_LONGEST_WAIT_SECONDS = 1.0


class Lease:
    """One claimed batch. Every method answers False, and does nothing, once it is ours no more.

    Attributes:
        shard: Where the batch is.
        batch: As it was claimed.
        renewed_at: When it was claimed or extended last, by the worker's clock.
    """

    def __init__(self, shard: Shard, batch: Batch, renewed_at: float) -> None:
        self.shard = shard
        self.batch = batch
        self.renewed_at = renewed_at
        self._until_ms = batch.lease_until_ms
        self._lock = threading.Lock()
        self._handed_back = False

    def extend(self, *, lease_seconds: float, token: str) -> bool:
        """Hold it for *lease_seconds* from now."""
        with self._lock:
            if self._handed_back:
                return False
            until = self.shard.extend(self.batch, lease_seconds=lease_seconds, token=token)
            self._until_ms = until or self._until_ms
            return bool(until)

    def ack(self) -> bool:
        """VWO accepted it; true for whoever heard so, whatever became of the lease."""
        with self._lock:
            return self.shard.ack(self.batch.id)

    def release(self, *, delay_seconds: float, error: str) -> bool:
        """Have it tried again after a delay."""
        with self._lock:
            if self._handed_back:
                return False
            return self.shard.release(self.batch, delay_seconds=delay_seconds, error=error)

    def dead_letter(self, *, error: str) -> bool:
        """Have it tried no more, and kept for the operator."""
        with self._lock:
            return not self._handed_back and self.shard.dead_letter(self.batch, error=error)

    def split(self, parts: Sequence[Part], *, delivered: tuple[int, int] = (0, 0)) -> bool:
        """Settle it in parts; see `Shard.split`."""
        with self._lock:
            if self._handed_back:
                return False
            return self.shard.split(self.batch, parts, delivered=delivered)

    def hand_back(self) -> bool:
        """Undo the claim, and settle it no more; whether it was ours to give."""
        if not self._lock.acquire(timeout=_LONGEST_WAIT_SECONDS):
            return False
        try:
            if self._handed_back:
                return False
            self._handed_back = True
            return self.shard.hand_back(self.batch, lease_until_ms=self._until_ms)
        finally:
            self._lock.release()


class Leases:
    """All leases of one process; safe under threads and greenlets."""

    def __init__(self) -> None:
        self._held: set[Lease] = set()

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def holding(self, shard: Shard, batch: Batch, now: float) -> Iterator[Lease]:
        """The lease of a batch just claimed, kept in mind until the block ends."""
        lease = Lease(shard, batch, now)
        self._held.add(lease)
        try:
            yield lease
        finally:
            self._held.discard(lease)

    def hand_back_all(self) -> int:
        """Hand every lease back, as far as Redis answers; how many there were to give."""
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
