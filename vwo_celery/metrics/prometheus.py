"""The table for Prometheus: a collector for any registry, and the text that a scrape gets.

Beside an event's way. prometheus-client is imported at the first scrape, since who only reads the table
needs none. Changes nothing: nothing to lose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from vwo_celery.logs import log_surprise
from vwo_celery.metrics.measuring import Source, measure
from vwo_celery.metrics.metric import Family, Metric, Point, Spread, cumulative
from vwo_celery.metrics.text import write_text
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings
from vwo_celery.settings.arguments import SettingsArguments
from vwo_celery.text.lines import one_line

if TYPE_CHECKING:
    from prometheus_client.core import Metric as PrometheusFamily
    from typing_extensions import Unpack

_OPENMETRICS: Final = "application/openmetrics-text"
#: Schemes of names in which ours are spelled otherwise; nobody who monitors asks for them by default.
_RESPELLED: Final = re.compile("escaping=(dots|values)")


class Collector:
    """All metrics of the queues, for a registry of prometheus-client.

        import vwo_celery.metrics

        registry.register(vwo_celery.metrics.Collector())

    Each scrape looks at Redis, so any number of processes may tell the same, and none counts anything
    itself. While Redis is away a scrape tells `vwo_celery_redis_up 0` and no number of before. It
    connects at the first scrape, not before.

    Args:
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        arguments: Single settings, such as `redis_url` and `metrics_max_queues`.

    Raises:
        SettingsError: A setting is wrong.
    """

    def __init__(
        self, settings: Settings | None = None, **arguments: Unpack[SettingsArguments]
    ) -> None:
        self._source = Source(settings if settings is not None else Settings.load(**arguments))

    def describe(self) -> Iterator[Any]:
        """Return nothing: to name all metrics, a registry need not look at Redis."""
        return iter(())

    def collect(self) -> Iterator[PrometheusFamily]:
        """Look at Redis once, and yield every metric; a fault of ours spoils no other's metrics."""
        try:
            families = self._source.measure()
        except Exception as exc:
            log_surprise(exc, "a scrape has none of our metrics")
            return
        yield from prometheus_families(families, self._source.settings.namespace)


def exposition(fleet: Fleet, settings: Settings, accept: str = "") -> tuple[bytes, str]:
    """The text that a scrape gets, and its content type.

    Args:
        fleet: The queues.
        settings: For the most queues that are told of by name.
        accept: The header Accept of the request; "" for Prometheus' plain text.

    Raises:
        ImportError: prometheus-client is not installed; the message says what to install.
    """
    need_prometheus()
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.utils import floatToGoString

    encode, content_type = choose_encoder(accept)
    families = measure(fleet, settings)
    if _RESPELLED.search(content_type):
        told = list(prometheus_families(families, settings.namespace))
        return encode(_Collected(told)), content_type
    is_openmetrics = content_type.startswith(_OPENMETRICS)
    return write_text(
        families, settings.namespace, floatToGoString, is_openmetrics=is_openmetrics
    ), content_type


class _Collected:
    """A registry of what has been collected already."""

    def __init__(self, families: list[PrometheusFamily]) -> None:
        self._families = families

    def collect(self) -> list[PrometheusFamily]:
        return self._families


def prometheus_families(families: Iterable[Family], namespace: str) -> Iterator[PrometheusFamily]:
    """The same families in the words of prometheus-client; those without a point are left out."""
    need_prometheus()
    for metric, points in families:
        if points:
            yield _family(metric, points, namespace)


def _family(metric: Metric, points: Iterable[Point], namespace: str) -> PrometheusFamily:
    from prometheus_client import core

    kinds: dict[str, Any] = {
        "gauge": core.GaugeMetricFamily,
        "counter": core.CounterMetricFamily,
        "histogram": core.HistogramMetricFamily,
    }
    family = kinds[metric.kind](metric.name, metric.help, labels=("namespace", *metric.labels))
    # Redis may hold any name: a line end or a NUL would end a scrape in its middle.
    shown = cache(one_line)
    for labels, value in points:
        add = partial(family.add_metric, [namespace, *map(shown, labels)])
        if isinstance(value, Spread):
            add(cumulative(metric, value), sum_value=value.total)
        else:
            add(value)
    found: PrometheusFamily = family
    return found


def need_prometheus() -> None:
    """Make sure that prometheus-client is installed.

    Raises:
        ImportError: It is not; the message says what to install.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError as exc:
        raise ImportError(
            "metrics for Prometheus need prometheus-client, which our extra metrics brings"
        ) from exc
