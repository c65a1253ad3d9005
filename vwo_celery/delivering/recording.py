"""What an attempt's span tells: the batch, the contexts of its events, and what became of them.

Beside stages 3 to 5 of an event's way. Nothing here decides anything. If the process dies here, a span is
lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from vwo_celery.delivering.attempts import Announcement, Attempt
from vwo_celery.tracing.api import Recorded
from vwo_celery.tracing.attempts import Facts, attempting


def recorded(attempt: Attempt) -> AbstractContextManager[Recorded]:
    """Record the attempt until the block ends, where OpenTelemetry has a provider."""
    batch, shard = attempt.batch, attempt.lease.shard
    age_seconds = (batch.claimed_ms - batch.first_ms) / 1000
    facts = Facts(shard.queue, batch.id, batch.attempt, batch.events, batch.bytes, age_seconds)
    return attempting(facts, lambda: shard.contexts_of(batch.id))


def note_outcome(span: Recorded, announcements: Sequence[Announcement]) -> None:
    """Mark the span as failed with what VWO answered, or a word for why nothing was sent."""
    for report, _ in announcements:
        if report.error:
            span.fail(report.answer or "unsent")
            return
