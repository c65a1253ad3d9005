"""Stage 6 of an event's way: the signals by which a worker announces what became of a batch.

They are Celery's own signals, so an application connects to them as to `task_success`. A receiver
is held weakly, takes `sender` (the queue's name) and `report`, runs in the worker's process, and
should be quick. An exception in a receiver is logged and counted and changes nothing: the batch is
settled before it is announced. If the worker dies between the two, the announcement is lost and the
delivery is not.

Below the adapters, this module alone imports Celery. `delivering` announces through it and so loads
Celery with it; it uses no app, task or broker. Producers import neither.

    from vwo_celery.signals import batch_delivered

    @batch_delivered.connect
    def note(sender, report, **kwargs): ...
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from celery.utils.dispatch import Signal

from vwo_celery.destinations import Destination
from vwo_celery.events import decode

if TYPE_CHECKING:
    from vwo_celery.sending.outcomes import Verdict

_ARGUMENTS = ["report"]
#: VWO accepted a batch, or some events of one that it refused as a whole.
batch_delivered = Signal(name="batch_delivered", providing_args=_ARGUMENTS)
#: A batch was released: its next attempt is due after `report.retry_in_seconds`.
batch_released = Signal(name="batch_released", providing_args=_ARGUMENTS)
#: A batch was split into smaller ones, named in `report.parts`.
batch_split = Signal(name="batch_split", providing_args=_ARGUMENTS)
#: Events were taken out of delivery and kept for the operator.
batch_dead_lettered = Signal(name="batch_dead_lettered", providing_args=_ARGUMENTS)
#: Accepted events were dropped; has `queue`, `reason` and `count` instead of `report`.
event_dropped = Signal(name="event_dropped", providing_args=["queue", "reason", "count"])
#: VWO's answers stopped a queue, or keep it stopped: a probe follows after
#: `report.retry_in_seconds`; where that is None, nothing is sent until an operator resumes it.
destination_paused = Signal(name="destination_paused", providing_args=_ARGUMENTS)


class BatchReport:
    """The result of one attempt at one batch, or at some of its events.

    Attributes:
        queue: The queue's name.
        destination: Where the batch was sent; its repr masks the key.
        batch: The batch's name, the same at every attempt.
        attempt: 1 for the first attempt.
        count: Number of events in the report; fewer than the batch has if it was settled in parts.
        size_bytes: Their size, a separator for each included.
        verdict: What VWO's answer means for the batch; None if nothing was sent.
        status: HTTP status; None if there was no answer.
        answer: The status, or the word of docs/reference/outcomes.md for what came instead; "" if
            nothing was sent.
        error: Why the events were not delivered; None if VWO accepted them. With `batch_split` it
            may be None, too.
        retry_in_seconds: Delay until the next attempt at a released batch, or of a stopped queue;
            else None.
        oldest_age_seconds: Age of the batch's oldest event at the claim.
        elapsed_seconds: Duration of the POST.
        raw_events: JSON of each event, oldest first; empty for an event too large to be read.
        parts: Names of the batches that it was split into.
    """

    def __init__(
        self,
        destination: Destination,
        raw_events: list[bytes],
        *,
        batch: str,
        attempt: int,
        oldest_age_seconds: float,
        error: str | None,
        verdict: Verdict | None = None,
        status: int | None = None,
        retry_in_seconds: float | None = None,
        elapsed_seconds: float = 0.0,
        parts: tuple[str, ...] = (),
    ) -> None:
        self.destination = destination
        self.queue = destination.queue
        self.batch = batch
        self.attempt = attempt
        self.count = len(raw_events)
        self.size_bytes = sum(map(len, raw_events)) + len(raw_events)
        self.oldest_age_seconds = oldest_age_seconds
        self.verdict = verdict
        self.status = status
        self.answer = "" if status is None else str(int(status))
        self.error = error
        self.retry_in_seconds = retry_in_seconds
        self.elapsed_seconds = elapsed_seconds
        self.raw_events = raw_events
        self.parts = parts

    @cached_property
    def events(self) -> list[Any]:
        """The events, decoded at the first access."""
        return [decode(event) for event in self.raw_events]

    def __repr__(self) -> str:
        return (
            f"<BatchReport {self.queue} batch {self.batch} attempt {self.attempt}: "
            f"{self.count} events, {self.error or 'delivered'}>"
        )
