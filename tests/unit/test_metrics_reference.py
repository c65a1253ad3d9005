"""docs/reference/metrics.md, and the table that it is made of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vwo_celery
from tools.docs import load_builder
from vwo_celery.metrics.metric import Metric
from vwo_celery.metrics.table import METRICS
from vwo_celery.operating.looks.facts import VERDICTS
from vwo_celery.sending.outcomes import Verdict

builder = load_builder("build_metrics")


def test_the_page_is_the_table() -> None:
    """Every metric, label and alert of the page is that of the code; to mend it: `make docs`."""
    page = builder.PAGE.read_text(encoding="utf-8")

    assert builder.build(page) == page


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.stem)
def test_a_row_is_one_that_monitoring_can_use(metric: Metric) -> None:
    """Names follow Prometheus' conventions, help is one sentence, and only histograms have bounds."""
    assert re.fullmatch("[a-z_]+", metric.stem)
    assert metric.stem.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert list(metric.bounds) == sorted(set(metric.bounds))
    assert not {"host", "pid", "worker", "batch", "account", "url"} & set(metric.labels)


def test_no_name_stands_for_two_metrics() -> None:
    """Neither in Prometheus' words nor in OpenTelemetry's."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert len({metric.dotted for metric in METRICS}) == len(METRICS)


def test_every_matter_with_dead_letters_is_on_its_list() -> None:
    """A word that is not on the list would be told as `other`."""
    told = set(VERDICTS)
    for path in Path(vwo_celery.__file__).parent.rglob("*"):
        if path.suffix in (".py", ".lua") and "metrics" not in path.parts:
            text = path.read_text("utf-8")
            assert set(re.findall(r"matter=\"(\w+)\"|'dead:(\w+)'", text)) <= {
                pair for word in told for pair in ((word, ""), ("", word))
            }, path
    refusing = {Verdict.TOO_LARGE, Verdict.REJECTED, Verdict.REFUSED}
    assert {each.value for each in refusing} <= told
