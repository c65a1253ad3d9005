"""compose/dashboard.json: made from the table of metrics, and asks only for what is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tools.docs import load_builder
from tools.promtool import problems_of_expressions
from vwo_celery.metrics.table import METRICS

builder = load_builder("build_dashboard")
DASHBOARD = json.loads(builder.FILE.read_text(encoding="utf-8"))
#: Schema of Grafana 10.2 and later.
SCHEMA = 39


def test_the_file_is_what_the_script_makes() -> None:
    """Neither the table nor the dashboard can change alone; to mend it: `make docs`."""
    assert builder.build() == builder.FILE.read_text(encoding="utf-8")


def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    """With values in place of Grafana's variables."""
    assert problems_of_expressions(tmp_path, builder.expressions(DASHBOARD)) == ""


def test_it_asks_for_metrics_and_labels_of_the_table() -> None:
    """A name or a label that is not told would draw an empty panel."""
    told = {metric.name: {"namespace", "le", *metric.labels} for metric in METRICS}
    suffix = re.compile(r"_(bucket|sum|count)$")
    for expression in builder.expressions(DASHBOARD):
        names = {suffix.sub("", name) for name in re.findall(r"vwo_celery_\w+", expression)}
        assert names <= set(told), expression
        labels = {*re.findall(r"(\w+)=~?\"", expression)}
        for grouped in re.findall(r"by ?\(([^)]*)\)", expression):
            labels |= set(re.findall(r"\w+", grouped))
        for name in names:
            assert labels <= told[name], expression


def test_its_legends_name_labels_that_are_there() -> None:
    """A legend of a label that is summed away would be empty."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"by ?\([^)]*\b{label}\b", target["expr"]), target


def test_its_place_and_its_schema_are_fixed() -> None:
    """An import replaces the one before it, and panels neither overlap nor share an id."""
    assert (DASHBOARD["uid"], DASHBOARD["schemaVersion"]) == ("vwo-celery", SCHEMA)
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_every_panel_says_what_it_shows() -> None:
    """By the help of its metrics."""
    for panel in DASHBOARD["panels"]:
        assert panel["type"] == "row" or panel["description"], panel["title"]
