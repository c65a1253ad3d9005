"""The text of a scrape is what prometheus-client would write, in each form that it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from vwo_celery.metrics.metric import OTHER_QUEUES, Family, Metric, Point, Spread, fold
from vwo_celery.metrics.prometheus import _Collected, prometheus_families
from vwo_celery.metrics.table import METRICS
from vwo_celery.metrics.text import write_text

ACCEPTED = (
    "", "text/plain;version=1.0.0;escaping=underscores",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
)  # fmt: skip
#: One metric for each shape of the table's: kind and number of labels.
SHAPES = [*{(each.kind, len(each.labels)): each for each in METRICS}.values()]
WORDS = st.one_of(st.sampled_from(['a"b', "c\\d", "e\nf", "%s", "g\0h", ""]), st.text(max_size=8))
NUMBERS = st.one_of(st.integers(0, 10**15), st.floats(0, 1e12))


def family(metric: Metric, words: Sequence[str], number: float) -> Family:
    """A metric with one point: its labels' values are taken from *words*."""
    labels = tuple(words[place] for place, _ in enumerate(metric.labels))
    counts = tuple(range(len(metric.bounds) + 1))
    return Family(metric, [Point(labels, Spread(counts, number) if metric.bounds else number)])


@pytest.mark.parametrize("accept", ACCEPTED)
@settings(max_examples=25)
@given(st.lists(WORDS, min_size=2, max_size=2), st.sampled_from(["vwo", "a%sb"]), NUMBERS)
def test_each_byte_is_as_prometheus_client_writes_it(
    accept: str, words: list[str], namespace: str, number: float
) -> None:
    """Whatever names and numbers Redis holds, in every shape of metric of the table."""
    encode, content_type = choose_encoder(accept)
    families = [family(metric, words, number) for metric in SHAPES]
    theirs = encode(_Collected([*prometheus_families(families, namespace)]))

    ours = write_text(
        families, namespace, floatToGoString, is_openmetrics="openmetrics" in content_type
    )

    assert ours == theirs


def test_a_metric_without_a_point_is_not_told() -> None:
    """Not even its name, so that nobody takes what is not known for zero."""
    assert write_text([Family(METRICS[0], [])], "vwo", str, is_openmetrics=False) == b""


def test_a_queue_comes_first_among_the_labels() -> None:
    """By that the queues that are not told of by name become one."""
    of_queues = [metric for metric in METRICS if "queue" in metric.labels]

    assert {metric.labels[0] for metric in of_queues} == {"queue"}
    for metric in of_queues:
        points = [
            *family(metric, ["one", "word"], 1).points,
            *family(metric, ["two", "word"], 1).points,
        ]
        told = fold(metric, points, frozenset(["one"]))
        assert [each.labels[0] for each in told] == ["one", OTHER_QUEUES]
