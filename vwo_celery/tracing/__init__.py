"""Spans of OpenTelemetry along an event's way, and the trace contexts that events bring along.

Beside every stage. A call that enqueues within a recorded, sampled span gets a span of its own, whose
context is kept beside its events, in Redis and in a spool, and never in them. A worker's attempt at a
batch gets a span with links to those contexts. A process that has not loaded OpenTelemetry's API
imports nothing and pays a look into a dict. Nothing here changes the outcome of a call: whatever a
provider, a processor or a propagator raises is logged now and then. If the process dies here, a span
is lost.

`words` are the names of spans and attributes; `carried`, contexts on their way; `api`,
OpenTelemetry's API where it is loaded. Above them `calls` is for those that enqueue, `attempts` for
workers.
"""
