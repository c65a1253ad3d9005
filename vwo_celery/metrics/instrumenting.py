"""What an application's own process measures: how long its calls of enqueue take, and how they end.

Stage 1 of an event's way, around the call. These two are real objects of the application's own
prometheus-client, so that its multiprocess mode works; everything else is told by `Collector`. If the
process dies, so do its numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vwo_celery.metrics.metric import PREFIX
from vwo_celery.producing.watching import watch
from vwo_celery.receipts import Receipt

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

#: Names of the two, which docs/reference/metrics.md lists with their help.
DURATION: Final = f"{PREFIX}_enqueue_duration_seconds"
ENQUEUED: Final = f"{PREFIX}_enqueued_total"
DURATION_HELP: Final = "Time of one call that enqueues, by the worst that became of its events."
ENQUEUED_HELP: Final = "Events that this process enqueued, by what became of them."
#: From good to bad.
RESULTS: Final = ("redis", "spooled", "dropped")
_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

_registries: list[object] = []


def instrument(registry: CollectorRegistry | None = None) -> None:
    """Measure each call that enqueues in this process, of every queue, from now on.

    A second call for the same registry does nothing. Call it where the application makes its own
    metrics, before it forks or after.

    Args:
        registry: Where the two are told; None for prometheus-client's own.

    Raises:
        ImportError: prometheus-client is not installed; the message says what to install.
        ValueError: The registry has other metrics of these names.
    """
    from vwo_celery.metrics.prometheus import need_prometheus

    need_prometheus()
    import prometheus_client

    registry = prometheus_client.REGISTRY if registry is None else registry
    if any(each is registry for each in _registries):
        return
    duration = prometheus_client.Histogram(
        DURATION, DURATION_HELP, ["result"], registry=registry, buckets=_BOUNDS
    )
    enqueued = prometheus_client.Counter(ENQUEUED, ENQUEUED_HELP, ["result"], registry=registry)
    _registries.append(registry)

    def note(receipts: Sequence[Receipt], seconds: float) -> None:
        results = Counter[str](receipt.where for receipt in receipts)
        for result, events in results.items():
            enqueued.labels(result).inc(events)
        if results:
            duration.labels(max(results, key=RESULTS.index)).observe(seconds)

    watch(note)
