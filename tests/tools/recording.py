"""OpenTelemetry's SDK with an exporter in memory: the spans that a test's own process records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased


class Recording:
    """What is recorded, while a test runs.

    Args:
        processors: Further processors, asked before the exporter's.
        share: Share of the traces that are sampled.
    """

    def __init__(self, *processors: SpanProcessor, share: float = 1.0) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(share)))
        for each in (*processors, SimpleSpanProcessor(self.exporter)):
            self.provider.add_span_processor(each)

    @contextmanager
    def request(self, name: str = "request") -> Iterator[trace.Span]:
        """A span as an instrumented web framework makes it current for a request."""
        with self.provider.get_tracer("web").start_as_current_span(name) as span:
            yield span

    def spans(self, name: str) -> Sequence[ReadableSpan]:
        """The spans of a name that have ended, in the order of their ends."""
        return [each for each in self.exporter.get_finished_spans() if each.name == name]

    @property
    def sent(self) -> Sequence[ReadableSpan]:
        """The spans of calls that enqueued."""
        return self.spans("enqueue vwo.events")

    @property
    def attempts(self) -> Sequence[ReadableSpan]:
        """The spans of attempts at a batch."""
        return self.spans("process vwo.events")

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Be the process' provider until the block ends; the API itself lets one be set only once."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trace, "_TRACER_PROVIDER", self.provider)
            yield
        self.provider.shutdown()


def ids(spans: Sequence[ReadableSpan]) -> list[tuple[int, int]]:
    """Trace and span id of each span."""
    found = [each.get_span_context() for each in spans]
    return [(each.trace_id, each.span_id) for each in found if each is not None]


def linked(span: ReadableSpan) -> list[tuple[int, int]]:
    """Trace and span id of each link of a span."""
    return [(each.context.trace_id, each.context.span_id) for each in span.links]


def parent(span: ReadableSpan) -> tuple[int, int]:
    """Trace and span id of its parent; zeros for none."""
    above = span.parent
    return (above.trace_id, above.span_id) if above is not None else (0, 0)


def facts(span: ReadableSpan) -> dict[str, Any]:
    """Its attributes."""
    return dict(span.attributes or {})
