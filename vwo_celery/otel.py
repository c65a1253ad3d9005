"""The table of metrics for OpenTelemetry, as instruments that are asked: what Prometheus is told.

Beside an event's way. Each collection looks at Redis once, whatever the number of instruments. It needs
the extra `otel`, which is OpenTelemetry's API alone: without an SDK nothing is measured, and nothing is
asked. If the process dies here, no number is lost: the scripts that move the events count them.

    from opentelemetry import metrics
    vwo_celery.otel.observe(metrics.get_meter("shop"))

OpenTelemetry has no histogram that is asked, so each histogram of the table becomes three counters:
`….bucket` with the attribute `le` as Prometheus has it, `….count` and `….sum`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from vwo_celery.clocks import monotonic
from vwo_celery.metrics.measuring import Source
from vwo_celery.metrics.metric import Family, Metric, Point, Spread, cumulative, own_version
from vwo_celery.metrics.table import METRICS
from vwo_celery.settings import Settings
from vwo_celery.text.lines import one_line

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from typing_extensions import Unpack

    from vwo_celery.settings.arguments import SettingsArguments

#: Time for which one look serves the instruments of a collection, which are asked one after the other.
_ONE_LOOK_SECONDS: Final = 1.0

Value = tuple[float, dict[str, str]]


def observe(
    meter: Meter | None = None,
    settings: Settings | None = None,
    **arguments: Unpack[SettingsArguments],
) -> None:
    """Tell a meter of every metric of the queues.

    Call it in one process of a fleet, or in any number: all tell the same. Call it after a fork, where
    the SDK's provider is made. It connects at the first collection, not before.

    Args:
        meter: The meter; None for one of the provider in force.
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        arguments: Single settings, such as `redis_url` and `metrics_max_queues`.

    Raises:
        ImportError: OpenTelemetry's API is not installed; the message says what to install.
        SettingsError: A setting is wrong.
    """
    try:
        from opentelemetry import metrics
    except ImportError as exc:
        raise ImportError(
            "metrics for OpenTelemetry need its API, which our extra otel brings"
        ) from exc
    source = Source(settings if settings is not None else Settings.load(**arguments))
    looks = _Looks(source.measure, source.settings.namespace)
    meter = metrics.get_meter("vwo_celery", own_version()) if meter is None else meter
    for metric in METRICS:
        for instrument in instruments_of(metric):
            instrument.create(meter, partial(_observations, looks, instrument))


class Instrument:
    """One instrument, and what it reads of the points of its metric.

    Attributes:
        metric: The metric.
        name: Its name.
        kind: "gauge" or "counter".
        unit: Its unit, as OpenTelemetry spells it.
    """

    def __init__(self, metric: Metric, part: str = "") -> None:
        self.metric = metric
        self.name = f"{metric.dotted}.{part}" if part else metric.dotted
        self.kind = "counter" if part else metric.kind
        self.unit = metric.unit if part in ("", "sum") else ""
        self._part = part

    def create(
        self, meter: Meter, callback: Callable[[CallbackOptions], Iterable[Observation]]
    ) -> None:
        """Make it, with the help of its metric."""
        counts = self.kind == "counter"
        make = meter.create_observable_counter if counts else meter.create_observable_gauge
        make(self.name, [callback], unit=self.unit, description=self.metric.help)

    def values(self, points: Iterable[Point], namespace: str) -> Iterator[Value]:
        """The number and the attributes of each point."""
        for labels, value in points:
            words = map(one_line, labels)
            attributes = {
                "namespace": namespace,
                **dict(zip(self.metric.labels, words, strict=True)),
            }
            if not isinstance(value, Spread):
                yield value, attributes
            elif self._part == "sum":
                yield value.total, attributes
            elif self._part == "count":
                yield sum(value.counts), attributes
            else:
                for bound, number in cumulative(self.metric, value):
                    yield number, {**attributes, "le": bound}


def instruments_of(metric: Metric) -> list[Instrument]:
    """The instruments of a metric: one, or three for a histogram."""
    parts = ("bucket", "count", "sum") if metric.kind == "histogram" else ("",)
    return [Instrument(metric, part) for part in parts]


class _Looks:
    """Looks that the instruments of one collection share."""

    def __init__(self, look: Callable[[], list[Family]], namespace: str) -> None:
        self.namespace = namespace
        self._look = look
        self._lock = Lock()
        self._found: Mapping[str, list[Point]] = {}
        self._until = 0.0

    def points(self, metric: Metric) -> list[Point]:
        """The points of a metric, as of a moment ago."""
        with self._lock:
            if monotonic() >= self._until:
                self._found = {each.metric.stem: each.points for each in self._look()}
                self._until = monotonic() + _ONE_LOOK_SECONDS
            return self._found[metric.stem]


def _observations(looks: _Looks, instrument: Instrument, _: Any) -> Iterator[Observation]:
    from opentelemetry.metrics import Observation

    points = looks.points(instrument.metric)
    return (Observation(*each) for each in instrument.values(points, looks.namespace))
