"""A queue that records every receipt, so that the demo can prove what became of each event.

In the place of an application's queue. A digest of its JSON identifies an
event; the stand-in receives the same bytes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import Any

from vwo_celery import Queue, Receipt
from vwo_celery.events import encode
from vwo_celery.producing.queue import producer_of

_DIGEST_BYTES = 12


def digest(encoded: bytes) -> str:
    """The identity of an encoded event."""
    return hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).hexdigest()


class RecordingQueue(Queue):
    """A queue like *queue* that keeps its receipts.

    Attributes:
        enqueued: Digest of each event with a receipt that promises delivery, in order.
        enqueue_seconds: Duration of each enqueue.
        dropped_events: Digest of each event with a receipt that says it was dropped.
    """

    def __init__(self, queue: Queue) -> None:
        super().__init__(producer_of(queue))
        self.enqueued: list[str] = []
        self.dropped_events: list[str] = []
        self.enqueue_seconds: list[float] = []

    def enqueue(self, event: Any) -> Receipt:
        """Enqueue, and record the receipt."""
        started = time.perf_counter()
        receipt = super().enqueue(event)
        self.enqueue_seconds.append(time.perf_counter() - started)
        (self.enqueued if receipt else self.dropped_events).append(digest(encode(event)))
        return receipt

    def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Enqueue one by one, and record the receipts."""
        return [self.enqueue(event) for event in events]
