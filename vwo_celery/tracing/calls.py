"""The span of a call that enqueues, whose context its events bring along.

Beside stage 1 of an event's way, around the call: only within a span that is recorded and sampled, so
that all other calls are as they are without OpenTelemetry. If the process dies here, the span is lost,
and its context may still be linked to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vwo_celery.receipts import Receipt
from vwo_celery.tracing.api import Recorded, current, start
from vwo_celery.tracing.carried import Span, Traced
from vwo_celery.tracing.words import (
    BODY_SIZE,
    MESSAGE_COUNT,
    SERVER_ADDRESS,
    about,
    span_name,
)

_OPERATION = "enqueue"


class Sending:
    """A call that enqueues.

    Attributes:
        events: Its events, with the context that they bring along.
    """

    def __init__(self, events: Sequence[bytes], span: Recorded) -> None:
        context = span.context()
        self.events = Traced(events, (Span(0, len(events), context),)) if context else events
        self._span = span

    def concluded(self, receipts: list[Receipt]) -> list[Receipt]:
        """Note what became of the events; their receipts as they are."""
        reason = next((each.reason for each in receipts if each.where == "dropped"), None)
        if reason:
            self._span.fail(reason)
        return receipts


@contextmanager
def sending(queue: str, events: Sequence[bytes], server: str = "") -> Iterator[Sending]:
    """Record a call that enqueues until the block ends; see `api.is_sampled`.

    Args:
        queue: The queue's name.
        events: The encoded events, at least one.
        server: The host of Redis, "" if it is not one.
    """
    facts: dict[str, str | int | float] = {
        **about(_OPERATION, "send", queue), BODY_SIZE: sum(map(len, events)),
    }  # fmt: skip
    if len(events) > 1:
        facts[MESSAGE_COUNT] = len(events)
    if server:
        facts[SERVER_ADDRESS] = server
    with current(start(span_name(_OPERATION), "PRODUCER", facts)) as span:
        yield Sending(events, span)
