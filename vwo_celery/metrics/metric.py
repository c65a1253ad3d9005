"""The words of the table: a metric, its points, and how those of many queues become one.

Beside an event's way. Pure: nothing to lose.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Final, Literal, NamedTuple

import msgspec

from vwo_celery.operating.looks.facts import Facts

#: First word of every name.
PREFIX: Final = "vwo_celery"
#: The name under which queues beyond `metrics_max_queues` are told as one; no queue is called so.
OTHER_QUEUES: Final = "_other"
#: A label's value where Redis holds one that is not on its closed list.
OTHER: Final = "other"
#: The end of a name in Prometheus' words, and the unit in OpenTelemetry's.
UNITS: Final = {"_seconds": "s", "_bytes": "By", "_ratio": "1"}
#: What is counted where a name has no unit.
_THINGS: Final = {
    "events": "event", "batches": "batch", "lanes": "lane", "workers": "worker", "queues": "queue",
    "answers": "request", "leases": "lease",
}  # fmt: skip


def own_version() -> str:
    """The release of this package; "" before it is imported as a whole."""
    return str(getattr(sys.modules.get("vwo_celery"), "__version__", ""))


class Spread(NamedTuple):
    """What a histogram tells: counts by bucket, the last one beyond the last bound; and the sum."""

    counts: tuple[int, ...]
    total: float


class Point(NamedTuple):
    """One value of a metric.

    Attributes:
        labels: The value of each label, in their order, without the namespace.
        value: The number, or what a histogram tells.
    """

    labels: tuple[str, ...]
    value: float | Spread


class Reading(NamedTuple):
    """What one look has brought.

    Attributes:
        facts: Everything that is measured; None if Redis did not answer.
        seconds: Time that the look took.
    """

    facts: Facts | None
    seconds: float


Read = Callable[[Reading], Iterable[Point]]


class Metric(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        stem: Its name without `PREFIX`.
        kind: "gauge": goes up and down; "counter": only grows, and begins anew where Redis lost it;
            "histogram": counts by bucket.
        labels: Its labels, in their order, beside the namespace that each has; "queue" comes first.
        help: What it tells, in one sentence.
        source: Where it comes from.
        read: Its points.
        together: How one point is made of those of several queues.
        bounds: The bounds of a histogram's buckets.
    """

    stem: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    source: str
    read: Read
    together: Literal["sum", "greatest"] = "sum"
    bounds: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Its name for Prometheus."""
        return f"{PREFIX}_{self.stem}"

    @property
    def dotted(self) -> str:
        """Its name for OpenTelemetry, where the unit and the kind are no part of it."""
        stem = self.stem.removesuffix("_total") if self.kind == "counter" else self.stem
        for ending in UNITS:
            stem = stem.removesuffix(ending)
        return f"{PREFIX}.{stem}"

    @property
    def unit(self) -> str:
        """Its unit, as OpenTelemetry spells it."""
        stem = self.stem.removesuffix("_total")
        of = next((unit for ending, unit in UNITS.items() if stem.endswith(ending)), "")
        if of:
            return of
        return next((f"{{{unit}}}" for word, unit in _THINGS.items() if word in stem), "")


def cumulative(metric: Metric, spread: Spread) -> list[tuple[str, int]]:
    """The buckets of a histogram as Prometheus has them: each bound, and all that is within it."""
    bounds, below, found = (*map(_spelled, metric.bounds), "+Inf"), 0, []
    for bound, count in zip(bounds, spread.counts, strict=True):
        below += count
        found.append((bound, below))
    return found


def _spelled(bound: float) -> str:
    """As Prometheus' own libraries write it, by which series are told apart: 1 is "1.0"."""
    return str(float(bound))


class Family(NamedTuple):
    """A metric and its points."""

    metric: Metric
    points: list[Point]


def fold(metric: Metric, points: Iterable[Point], told: Set[str] | None) -> list[Point]:
    """Make one point of those of queues that are not told of by name.

    Args:
        metric: The metric.
        points: Its points.
        told: The queues that are; None for all.
    """
    if told is None or "queue" not in metric.labels:
        return list(points)
    named: list[Point] = []
    others: dict[tuple[str, ...], list[Any]] = {}
    for point in points:
        if point.labels[_QUEUE] in told:
            named.append(point)
        else:
            others.setdefault(point.labels[_QUEUE + 1 :], []).append(point.value)
    together = _TOGETHER["buckets" if metric.bounds else metric.together]
    return named + [
        Point((OTHER_QUEUES, *rest), together(values)) for rest, values in others.items()
    ]


def _sum_of(spreads: Sequence[Spread]) -> Spread:
    counts = zip(*(each.counts for each in spreads), strict=True)
    return Spread(tuple(map(sum, counts)), sum(each.total for each in spreads))


#: The place of a queue's name among the labels, and how values of queues become one.
_QUEUE: Final = 0
_TOGETHER: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    "sum": sum, "greatest": max, "buckets": _sum_of,
}  # fmt: skip
