"""Capture: a test keeps what the application enqueues; nothing of it reaches Redis or a disk.

In place of stage 1 of an event's way, and of all that follows. Captured events end with the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from vwo_celery.errors import QueueFull
from vwo_celery.producing.producer import Producer
from vwo_celery.receipts import FlushResult, Receipt
from vwo_celery.testing.captured import CapturedEvent, CapturedEvents
from vwo_celery.testing.diversion import diverted_to


class Drop(msgspec.Struct, frozen=True):
    """Events that a queue dropped.

    Attributes:
        queue: Name of the queue.
        reason: The word of their receipts.
        count: Number of events.
        detail: The cause, for people.
    """

    queue: str
    reason: str
    count: int
    detail: str


class Capture(CapturedEvents):
    """All events that this process' queues enqueue from now on. Safe under threads.

    Args:
        keep: Whether to keep them.

    Attributes:
        dropped: What they dropped, such as an event that is no JSON.
    """

    def __init__(self, *, keep: bool = True) -> None:
        super().__init__()
        self._keeps = keep
        self.dropped: list[Drop] = []
        self._answer: Receipt | QueueFull | None = None
        self._unflushed: Counter[str] = Counter()

    def answer_with(self, answer: Receipt | QueueFull | None) -> None:
        """Let each `enqueue` from now on answer so, to test what the application makes of it.

        Args:
            answer: A receipt; an event that it says is dropped is not captured, and counts as in
                production. Or the error of `when_full="raise"`, to be raised. None for the usual.
        """
        self._answer = answer

    def clear(self) -> None:
        """Forget what was captured and dropped up to now."""
        self._events.clear()
        self.dropped.clear()
        self._unflushed.clear()

    def take(self, producer: Producer, encoded: Sequence[bytes]) -> Receipt | None:
        """Keep events of a queue; see `Taker`."""
        answer = self._answer
        if isinstance(answer, QueueFull):
            raise answer
        if answer is not None and not answer:
            return producer.drop(answer.reason or "", len(encoded), "as the test asked")
        if self._keeps:
            self._events.extend(CapturedEvent(producer.destination, each) for each in encoded)
        self._unflushed[producer.name] += len(encoded)
        return answer

    def note_drop(self, producer: Producer, reason: str, count: int, detail: str) -> None:
        """Keep what was dropped; see `Taker`."""
        if self._keeps:
            self.dropped.append(Drop(producer.name, reason, count, detail))

    def flush(self, producer: Producer) -> FlushResult | None:
        """Say that all was delivered which was captured since the last flush; see `Taker`."""
        return FlushResult(delivered=self._unflushed.pop(producer.name, 0))

    def _told(self) -> str:
        reasons = ", ".join(f"{each.count} ({each.reason}: {each.detail})" for each in self.dropped)
        return f"{super()._told()}; dropped: {reasons}" if reasons else super()._told()


@contextmanager
def capture_events(*, keep: bool = True) -> Iterator[Capture]:
    """Capture what this process enqueues until the block ends, by threads or by asyncio.

    Every queue of the process is captured, whether it was made before the block or in it, by
    `connect`, `attach` or `init`. Neither Redis nor the disk is touched; `flush_events()` says that
    all was delivered.

    Args:
        keep: Whether to keep the events; False for a block that lasts for long.
    """
    capture = Capture(keep=keep)
    with diverted_to(capture):
        yield capture
