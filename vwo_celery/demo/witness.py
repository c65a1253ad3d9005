"""A queue that writes down every receipt, so that the demo can prove what became of each event.

Place: adapters, the demo; it stands where an application's queue stands. An event is known by a
digest of its JSON, which the stand-in sees byte for byte.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import Any

from vwo_celery import Queue, Receipt
from vwo_celery.events import encode

_DIGEST_BYTES = 12


def digest(text: bytes) -> str:
    """The short name of an event's JSON."""
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).hexdigest()


class Witness(Queue):
    """A queue like *queue*, with a memory.

    Attributes:
        enqueued: Digest of each event whose receipt says that it will not be lost, in order.
        enqueue_seconds: How long each enqueue took.
        dropped_events: Digest of each event whose receipt says that it is dropped.
    """

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue.destination, queue.batch, queue.settings, queue.fleet.client)
        self.enqueued: list[str] = []
        self.dropped_events: list[str] = []
        self.enqueue_seconds: list[float] = []

    def enqueue(self, event: Any) -> Receipt:
        """Enqueue, and remember the receipt."""
        started = time.perf_counter()
        receipt = super().enqueue(event)
        self.enqueue_seconds.append(time.perf_counter() - started)
        (self.enqueued if receipt else self.dropped_events).append(digest(encode(event)))
        return receipt

    def enqueue_many(self, events: Iterable[Any]) -> list[Receipt]:
        """Enqueue one by one, and remember the receipts."""
        return [self.enqueue(event) for event in events]
