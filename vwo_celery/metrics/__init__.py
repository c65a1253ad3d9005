"""Metrics: every number that monitoring needs, for Prometheus and for OpenTelemetry.

Files, in reading order: `metric` (the words), `table` (all metrics), `measuring` (one look as numbers),
`text` (these as the text of a scrape), `prometheus` (as a collector, and what `/metrics` answers),
`instrumenting` (what an application's own process counts). `vwo_celery.otel` tells the same table to
OpenTelemetry. Beside an event's way: the numbers are counted by the scripts that move the events, so a
process that dies here takes none along.

Prometheus needs the extra `metrics`.
"""

from __future__ import annotations

from vwo_celery.metrics.instrumenting import instrument
from vwo_celery.metrics.prometheus import Collector, exposition

__all__ = ["Collector", "exposition", "instrument"]
