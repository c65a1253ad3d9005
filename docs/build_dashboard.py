"""Write compose/dashboard.json, a dashboard for Grafana: `python docs/build_dashboard.py`.

Made from the table of metrics, so that help texts and labels are those of a scrape. A test builds it and
compares, and holds every expression against the table and promtool.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from vwo_celery.metrics.metric import PREFIX
from vwo_celery.metrics.table import METRICS

FILE = Path(__file__).parents[1] / "compose" / "dashboard.json"
#: Version of Grafana's format; newer ones read it, too.
SCHEMA_VERSION: Final = 39
UID: Final = "vwo-celery"
_WIDTH, _HEIGHT, _COLUMNS = 6, 8, 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_FLEET: Final = 'namespace="$namespace"'
_QUEUE: Final = f'{_FLEET}, queue=~"$queue"'
_HELP: Final = {metric.name: metric.help for metric in METRICS}

#: The rows: title, and panels as (title, unit, kind, {legend: expression}). In an expression @ stands for
#: the first word of each name, Q for the labels of the chosen queues, F for those of the namespace, and R
#: for the time between two points.
_ROWS: Final[tuple[tuple[str, tuple[tuple[str, str, str, dict[str, str]], ...]], ...]] = (
    ("Promise: every event in time, and none lost", (
        ("Overdue", "s", "timeseries", {
            "{{queue}}": "max by (queue) (@late_seconds{Q})"}),
        ("Oldest event against its interval", "s", "timeseries", {
            "{{queue}} oldest": "max by (queue) (@oldest_event_age_seconds{Q})",
            "{{queue}} interval": "max by (queue) (@interval_seconds{Q})"}),
        ("Age at delivery", "s", "heatmap", {
            "{{le}}": "sum by (le) (increase(@delivery_age_seconds_bucket{Q}[R]))"}),
        ("Ledger out of balance", "short", "timeseries", {
            "{{queue}}": "max by (queue) (@ledger_imbalance_events{Q})"}),
    )),
    ("Flow: what comes and what goes", (
        ("Accepted and delivered a second", "short", "timeseries", {
            "accepted": "sum(rate(@events_accepted_total{Q}[R]))",
            "delivered": "sum(rate(@events_delivered_total{Q}[R]))"}),
        ("Where events are", "short", "stacked", {
            "{{state}}": "sum by (state) (@events{Q})"}),
        ("Answers of VWO a second", "short", "stacked", {
            "{{answer}}": "sum by (answer) (rate(@answers_total{Q}[R]))"}),
        ("Lost in the time shown", "short", "timeseries", {
            "dropped {{reason}}": "sum by (reason) (increase(@events_dropped_total{Q}[R])) > 0",
            "before Redis {{reason}}": "sum by (reason) (increase(@events_unaccepted_total{Q}[R])) > 0",
            "refused": "sum(increase(@events_refused_total{Q}[R])) > 0"}),
        ("Time of a request", "s", "timeseries", {
            "p50": "histogram_quantile(.5, sum by(le) (rate(@request_duration_seconds_bucket{Q}[R])))",
            "p95": "histogram_quantile(.95, sum by(le) (rate(@request_duration_seconds_bucket{Q}[R])))"}),
        ("Events of a request", "short", "timeseries", {
            "mean": "sum(rate(@batch_events_sum{Q}[R])) / sum(rate(@batch_events_count{Q}[R]))"}),
        ("Dead letters", "short", "timeseries", {
            "now": 'sum(@events{Q, state="dead"})',
            "died {{verdict}}": "sum by (verdict) (increase(@events_dead_lettered_total{Q}[R])) > 0",
            "redriven": "sum(increase(@events_redriven_total{Q}[R])) > 0"}),
        ("Stopped", "bool_yes_no", "timeseries", {
            "{{queue}} by {{by}}": "max by (queue, by) (@queue_stopped{Q}) > 0"}),
    )),
    ("Limits: how much room is left", (
        ("Share of the capacity taken", "percentunit", "timeseries", {
            "{{queue}}": "max by (queue) (@queue_used_ratio{Q})"}),
        ("The same in four hours", "percentunit", "timeseries", {
            "{{queue}}": "max by (queue) (predict_linear(@queue_used_ratio{Q}[30m], 4 * 3600))"}),
        ("Memory of Redis", "bytes", "timeseries", {
            "used": "max(@redis_memory_bytes{F})",
            "limit": "max(@redis_memory_limit_bytes{F})"}),
        ("On hosts' disks", "short", "timeseries", {
            "{{queue}}": "max by (queue) (@events_on_disk{Q})"}),
    )),
    ("Workers: who does the work", (
        ("Lanes", "short", "timeseries", {
            "wanted": "max(@lanes_wanted{F})",
            "busy": "max(@lanes_busy{F})",
            "there": "max(@lanes{F})",
            "of use at most": "max(@lanes_most{F})"}),
        ("Workers by release", "short", "stacked", {
            "{{version}} {{pool}}": "max by (version, pool) (@workers{F})"}),
        ("Since the last sweep and task", "s", "timeseries", {
            "sweep by {{by}}": "time() - max by (by) (@last_sweep_timestamp_seconds{F})",
            "task": "time() - max(@last_task_timestamp_seconds{F})"}),
        ("Leases lost, receivers that raised", "short", "timeseries", {
            "leases": "sum(increase(@leases_lost_total{Q}[R]))",
            "receivers": "sum(increase(@receiver_errors_total{Q}[R]))"}),
    )),
)  # fmt: skip


def document() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": UID,
        "title": "vwo_celery",
        "description": "Queues of VWO's events: made by docs/build_dashboard.py.",
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [*_variables()]},
        "annotations": {"list": [_annotation()]},
        "panels": [*_panels()],
    }


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """Every expression, with values in place of Grafana's variables."""
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    found += [each["expr"] for each in dashboard["annotations"]["list"]]
    return [each.replace("$__rate_interval", "5m").replace("$__range", "6h") for each in found]


def _variables() -> list[dict[str, Any]]:
    named = {"namespace": "vwo_celery_redis_up", "queue": f"vwo_celery_events{{{_FLEET}}}"}
    source = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    return [source, *(_variable(*each) for each in named.items())]


def _variable(name: str, metric: str) -> dict[str, Any]:
    has_many = name == "queue"
    return {
        "name": name, "type": "query", "datasource": _SOURCE, "refresh": 2, "sort": 1,
        "query": {"query": f"label_values({metric}, {name})", "refId": name},
        "definition": f"label_values({metric}, {name})", "multi": has_many, "includeAll": has_many,
    }  # fmt: skip


def _annotation() -> dict[str, Any]:
    """A line where a queue was stopped, or went on; `vwo-celery audit` says who did it, and why."""
    return {
        "name": "stopped, or went on", "enable": True, "iconColor": "orange", "datasource": _SOURCE,
        "expr": f"changes(vwo_celery_queue_paused{{{_QUEUE}}}[1m]) > 0",
        "titleFormat": "{{queue}} paused or resumed", "step": "60s",
    }  # fmt: skip


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, those in _ROWS:
        panels.append({
            "id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        })  # fmt: skip
        top += 1
        for number, (name, unit, kind, lines) in enumerate(those):
            place = {
                "x": number * _WIDTH % _COLUMNS,
                "y": top + number * _WIDTH // _COLUMNS * _HEIGHT,
                "w": _WIDTH,
                "h": _HEIGHT,
            }
            panels.append(
                {"id": len(panels) + 1, **_panel(name, unit, kind, lines), "gridPos": place}
            )
        top += -(-len(those) * _WIDTH // _COLUMNS) * _HEIGHT
    return panels


def _panel(title: str, unit: str, kind: str, lines: dict[str, str]) -> dict[str, Any]:
    is_heatmap, drawn = kind == "heatmap", {"fillOpacity": 10, "spanNulls": False}
    if kind == "stacked":
        drawn = {**drawn, "stacking": {"mode": "normal"}}
    targets = [
        {
            "refId": chr(ord("A") + number), "datasource": _SOURCE, "legendFormat": legend,
            "expr": _spelled_out(expression), "format": "heatmap" if is_heatmap else "time_series",
        }
        for number, (legend, expression) in enumerate(lines.items())
    ]  # fmt: skip
    return {
        "type": "heatmap" if is_heatmap else "timeseries",
        "title": title,
        "description": _description(targets),
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": drawn}, "overrides": []},
    }


def _spelled_out(expression: str) -> str:
    spelled = expression.replace("{Q", f"{{{_QUEUE}").replace("{F", f"{{{_FLEET}")
    return spelled.replace("@", f"{PREFIX}_").replace("[R]", "[$__rate_interval]")


def _description(targets: list[dict[str, Any]]) -> str:
    """The help of each metric that a panel shows."""
    names = [n for each in targets for n in re.findall(rf"{PREFIX}_\w+", each["expr"])]
    found = [re.sub(r"_(bucket|sum|count)$", "", name) for name in names]
    return " ".join(dict.fromkeys(_HELP[name] for name in found))


def build() -> str:
    """The file."""
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(build(), encoding="utf-8")
