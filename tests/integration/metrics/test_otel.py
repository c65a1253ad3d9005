"""OpenTelemetry is told what Prometheus is told, metric by metric."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from integration.metrics.test_metrics import fleet_in_trouble, scrape
from tools.queue_states import Queues
from vwo_celery import otel
from vwo_celery.metrics.metric import UNITS
from vwo_celery.metrics.table import METRICS
from vwo_celery.testing import RedisServer

__all__ = ["fleet_in_trouble"]
pytestmark = pytest.mark.declared_keys(
    "watched", "open", "batch", "wakeups", "slots", "ready", "info", "leases", "dead"
)

Points = dict[frozenset[tuple[str, Any]], float]
#: Metrics that are of one moment.
PASSING = ("_age_seconds", "late_", "circuit_retry", "scrape_", "memory_bytes")
ENDINGS = {"bucket": "_bucket", "count": "_count", "sum": "_sum"}


def collected(redis_url: str) -> dict[str, tuple[str, str, Points]]:
    """Unit, kind and points of each instrument, as an SDK collects them."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    otel.observe(provider.get_meter("test"), redis_url=redis_url)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    return {
        metric.name: (
            metric.unit or "",
            type(metric.data).__name__,
            {frozenset((p.attributes or {}).items()): p.value for p in metric.data.data_points},
        )
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def in_prometheus_words(name: str, unit: str, kind: str) -> str:
    """The name that OpenTelemetry's own rule gives a metric for Prometheus."""
    ending = next((ending for ending, each in UNITS.items() if each == unit), "")
    return name.replace(".", "_") + ending + ("_total" if kind == "Sum" else "")


def test_opentelemetry_is_told_the_same_as_prometheus(fleet_in_trouble: Queues) -> None:
    """Each row of the table has the same points in both, by the same labels."""
    found = collected(fleet_in_trouble.settings.redis_url)
    text = scrape(fleet_in_trouble)
    samples: dict[str, Points] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value

    told = 0
    for metric in METRICS:
        for instrument in otel.instruments_of(metric):
            _, part = instrument.name, instrument.name.rpartition(".")[2]
            ending = ENDINGS[part] if metric.kind == "histogram" else ""
            points, expected = found[instrument.name][2], samples[metric.name + ending]
            if any(word in metric.name for word in PASSING) and not ending:
                assert points.keys() == expected.keys(), instrument.name
            else:
                assert points == expected, instrument.name
            told += 1
    assert told == len(found)


def test_the_names_become_those_of_prometheus(fleet_in_trouble: Queues) -> None:
    """A collector that hands them on to Prometheus makes the table's own names, but for histograms."""
    found = collected(fleet_in_trouble.settings.redis_url)

    for metric in METRICS:
        if metric.kind == "histogram":
            continue
        unit, kind, _ = found[metric.dotted]
        assert in_prometheus_words(metric.dotted, unit, kind) == metric.name
        assert (kind == "Sum") == (metric.kind == "counter")


def test_one_collection_looks_once(queues: Queues) -> None:
    """Some sixty instruments are asked one after the other, and Redis once."""
    queues.fill(queues.add(), 3)
    queues.client.config_resetstat()

    collected(queues.settings.redis_url)

    assert queues.client.info("commandstats")["cmdstat_info"]["calls"] == 1


def test_a_redis_that_stops_is_told() -> None:
    """Without Redis only the exporter's own metrics are told."""
    with RedisServer() as server:
        url = server.url

    found = collected(url)

    assert {name for name, (_, _, points) in found.items() if points} == {
        "vwo_celery.redis_up", "vwo_celery.scrape_duration", "vwo_celery.build_info",
    }  # fmt: skip
    assert [*found["vwo_celery.redis_up"][2].values()] == [0.0]
