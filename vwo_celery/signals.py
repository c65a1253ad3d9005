"""Stage 6 of an event's way: say what became of a batch, to this worker's receivers.

Signals are Celery's own: a receiver is held weakly, takes `sender` (the queue's name) and `report`,
runs in the worker's process, and should be quick. What a receiver raises is logged and counted and
changes nothing: the batch is settled before it is announced. If the worker dies between the two, the
announcement is lost and the delivery is not.

    from vwo_celery.signals import batch_delivered

    @batch_delivered.connect
    def note(sender, report, **kwargs): ...
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from celery.utils.dispatch import Signal

from vwo_celery.destinations import Destination
from vwo_celery.events import decode
from vwo_celery.queue.batches import Batch
from vwo_celery.sending.outcomes import Verdict

_ARGUMENTS = ["report"]
#: VWO accepted a batch.
batch_delivered = Signal(name="batch_delivered", providing_args=_ARGUMENTS)
#: A batch was given back, to be tried again after `report.retry_in_seconds`.
batch_released = Signal(name="batch_released", providing_args=_ARGUMENTS)
#: A batch was split into smaller ones.
batch_split = Signal(name="batch_split", providing_args=_ARGUMENTS)
#: A batch was taken out of delivery and kept for the operator.
batch_dead_lettered = Signal(name="batch_dead_lettered", providing_args=_ARGUMENTS)
#: Accepted events were dropped; `reason` and `count` instead of `report`.
event_dropped = Signal(name="event_dropped", providing_args=["queue", "reason", "count"])
#: A queue was paused, since nothing can pass until somebody mends the configuration.
destination_paused = Signal(name="destination_paused", providing_args=_ARGUMENTS)


class BatchReport:
    """What became of one try to send one batch.

    Attributes:
        queue: The queue's name.
        destination: Where it was sent; its repr masks the key.
        batch: The batch's name, the same at every try.
        attempt: 1 for the first try.
        count: Number of events that the report is about; not all of the batch where it was split.
        size_bytes: Their size, a separator for each included.
        verdict: What VWO's answer meant; None where the batch was not sent.
        status: HTTP status, None if there was no answer.
        error: None only where VWO accepted the batch.
        retry_in_seconds: Delay until the next try; None if there will be none by itself.
        oldest_age_seconds: How long before the claim the oldest event was enqueued.
        elapsed_seconds: Duration of the POST.
        raw_events: JSON of each event, oldest first; none of one too large to be read.
        parts: Names of the batches that it was split into.
    """

    def __init__(
        self,
        destination: Destination,
        batch: Batch,
        raw_events: list[bytes],
        *,
        error: str | None,
        verdict: Verdict | None = None,
        status: int | None = None,
        retry_in_seconds: float | None = None,
        elapsed_seconds: float = 0.0,
        parts: tuple[str, ...] = (),
    ) -> None:
        self.destination = destination
        self.queue = destination.queue
        self.batch = batch.id
        self.attempt = batch.attempt
        self.count = len(raw_events)
        self.size_bytes = sum(map(len, raw_events)) + len(raw_events)
        self.oldest_age_seconds = (batch.claimed_ms - batch.first_ms) / 1000
        self.verdict = verdict
        self.status = status
        self.error = error
        self.retry_in_seconds = retry_in_seconds
        self.elapsed_seconds = elapsed_seconds
        self.raw_events = raw_events
        self.parts = parts

    @cached_property
    def events(self) -> list[Any]:
        """The events, decoded when first asked for."""
        return [decode(event) for event in self.raw_events]

    def __repr__(self) -> str:
        return (
            f"<BatchReport {self.queue} batch {self.batch} attempt {self.attempt}: "
            f"{self.count} events, {self.error or 'delivered'}>"
        )
