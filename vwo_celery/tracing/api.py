"""OpenTelemetry's API, if this process has loaded it: tracers, sampled calls, and contexts as text.

Beside every stage; the one module that starts a span. The provider is asked for at each use, so one that
is made late, as in a forked child, is used from then on. What goes wrong in an exporter, a processor or a
propagator is logged now and then, and never reaches a caller: `harmless` stands around each call. If the
process dies here, a span is lost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vwo_celery.logs import seldom
from vwo_celery.tracing.carried import MOST_STATE_BYTES
from vwo_celery.tracing.words import ERROR_TYPE, SCHEMA_URL

if TYPE_CHECKING:
    from opentelemetry.trace import Link, SpanKind, Tracer, TracerProvider
    from opentelemetry.trace import Span as OpenSpan

Answer = TypeVar("Answer")
#: What an attribute of a span may be, as far as ours are.
Attributes = Mapping[str, "str | int | float"]

_SCOPE: Final = "vwo_celery"
_MODULE: Final = "opentelemetry.trace"


def is_loaded() -> bool:
    """Whether this process has loaded OpenTelemetry's API; nobody else can have made a provider."""
    return _MODULE in sys.modules


def harmless(act: Callable[[], Answer], otherwise: Answer) -> Answer:
    """What *act* returns; *otherwise*, and a warning now and then, if OpenTelemetry raises."""
    try:
        return act()
    except Exception as exc:
        seldom.warn(
            f"tracing {type(exc).__name__}",
            "a span is not recorded, or not whole: OpenTelemetry met %s: %s",
            type(exc).__name__, exc,
        )  # fmt: skip
        return otherwise


def is_sampled() -> bool:
    """Whether the call that is under way is recorded and sampled, here or by whoever sent it."""
    return is_loaded() and harmless(_is_sampled, False)


def _is_sampled() -> bool:
    from opentelemetry import trace

    span = trace.get_current_span()
    if span is trace.INVALID_SPAN:
        return False
    context = span.get_span_context()
    return context.trace_flags.sampled and (span.is_recording() or context.is_remote)


def is_recording() -> bool:
    """Whether the span that is current is recorded."""
    return is_loaded() and harmless(_is_recording, False)


def _is_recording() -> bool:
    from opentelemetry import trace

    return trace.get_current_span().is_recording()


def has_provider() -> bool:
    """Whether this process has a provider of tracers; without one no span is recorded."""
    return is_loaded() and harmless(_has_provider, False)


def _has_provider() -> bool:
    from opentelemetry import trace

    nobody = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    return not isinstance(trace.get_tracer_provider(), nobody)


class Recorded:
    """A span that was started, or none: every method may be called, and none raises.

    Args:
        span: The span; None for none.
    """

    def __init__(self, span: OpenSpan | None = None) -> None:
        self._span = span

    @property
    def is_recording(self) -> bool:
        """Whether anything is recorded."""
        span = self._span
        return span is not None and harmless(span.is_recording, False)

    def note(self, attributes: Attributes) -> None:
        """Set attributes."""
        span = self._span
        if span is not None:
            harmless(lambda: span.set_attributes(attributes), None)

    def fail(self, error: str) -> None:
        """Mark it as failed with a word such as "503" or "timeout"."""
        if self._span is not None:
            harmless(lambda: self._fail(error), None)

    def _fail(self, error: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        if self._span is not None:
            self._span.set_attribute(ERROR_TYPE, error)
            self._span.set_status(Status(StatusCode.ERROR, error))

    def context(self) -> str:
        """Its context as text, see `carried`; "" if it is not sampled."""
        span = self._span
        return "" if span is None else harmless(lambda: _as_text(span), "")

    def end(self) -> None:
        """End it."""
        if self._span is not None:
            harmless(self._span.end, None)


def _as_text(span: OpenSpan) -> str:
    from opentelemetry.trace import set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not (span.is_recording() and span.get_span_context().trace_flags.sampled):
        return ""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, set_span_in_context(span))
    parent, state = carrier.get("traceparent", ""), carrier.get("tracestate", "")
    may_keep = state.isascii() and state.isprintable() and len(state) <= MOST_STATE_BYTES
    return f"{parent} {state}" if state and may_keep else parent


def start(
    name: str,
    kind: str,
    attributes: Attributes,
    contexts: Sequence[str] = (),
) -> Recorded:
    """Start a span below the current one.

    Args:
        name: Its name.
        kind: "PRODUCER", "CONSUMER" or "CLIENT".
        attributes: Its attributes.
        contexts: The contexts that it is linked to, as text.
    """
    return Recorded(harmless(lambda: _start(name, kind, attributes, contexts), None))


def _start(
    name: str, kind: str, attributes: Attributes, contexts: Sequence[str]
) -> OpenSpan | None:
    from opentelemetry import trace

    links = [link for each in contexts if (link := _link(each)) is not None]
    span_kind: SpanKind = trace.SpanKind[kind]
    tracer = _tracer_of(trace.get_tracer_provider())
    return tracer.start_span(name, kind=span_kind, attributes=dict(attributes), links=links)


@lru_cache(maxsize=1)
def _tracer_of(provider: TracerProvider) -> Tracer:
    """Our tracer of a provider: making one for each span would cost as much as half a span."""
    release = getattr(sys.modules.get(_SCOPE), "__version__", None)
    return provider.get_tracer(_SCOPE, release, schema_url=SCHEMA_URL)


def _link(context: str) -> Link | None:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent, _, state = context.partition(" ")
    carrier = {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}
    read = TraceContextTextMapPropagator().extract(carrier, Context())
    found = trace.get_current_span(read).get_span_context()
    return trace.Link(found) if found.is_valid else None


@contextmanager
def current(recorded: Recorded) -> Iterator[Recorded]:
    """Make a span the current one until the block ends, and end it then; an exception marks it."""
    token = harmless(lambda: _attach(recorded), None)
    try:
        yield recorded
    except BaseException as exc:
        recorded.fail(type(exc).__name__)
        raise
    finally:
        if token is not None:
            harmless(lambda: _detach(token), None)
        recorded.end()


def _attach(recorded: Recorded) -> Any:
    from opentelemetry.context import attach
    from opentelemetry.trace import set_span_in_context

    span = recorded._span
    return None if span is None else attach(set_span_in_context(span))


def _detach(token: Any) -> None:
    from opentelemetry.context import detach

    detach(token)


@contextmanager
def incoming(headers: Mapping[str, str]) -> Iterator[None]:
    """Let a request's own context be current until the block ends, unless a span is already.

    An instrumentation of the framework makes one current; without it the headers tell the context, as
    the propagator in force reads them, usually from `traceparent`.

    Args:
        headers: The request's headers, their names in small letters.
    """
    token = harmless(lambda: _attach_incoming(headers), None) if is_loaded() else None
    try:
        yield
    finally:
        if token is not None:
            harmless(lambda: _detach(token), None)


def _attach_incoming(headers: Mapping[str, str]) -> Any:
    from opentelemetry import trace
    from opentelemetry.context import attach
    from opentelemetry.propagate import extract

    if trace.get_current_span().get_span_context().is_valid:
        return None
    context = extract(headers)
    is_told = trace.get_current_span(context).get_span_context().is_valid
    return attach(context) if is_told else None
