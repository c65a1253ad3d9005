"""Write the tables of docs/reference/metrics.md from the code: `python docs/build_metrics.py`.

A test builds the page and compares, so neither the page nor the code can change alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import yaml
from page_tables import filled

from vwo_celery.metrics import instrumenting
from vwo_celery.metrics.table import METRICS
from vwo_celery.operating.looks.facts import DROP_REASONS, UNACCEPTED_REASONS, VERDICTS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "metrics.md"
ALERTS = ROOT / "compose" / "alerts.yaml"
_RESULT: Final = "result: redis, spooled, dropped"


def build(page: str) -> str:
    """Return *page* with the tables between its marks made anew."""
    tables = {
        "metrics": metrics_table(),
        "histograms": bounds_table(),
        "words": words_table(),
        "own": own_table(),
        "opentelemetry": names_table(),
        "alerts": alerts_table(),
    }
    return filled(page, tables)


def metrics_table() -> str:
    """Every metric: name, type, labels, help, source."""
    rows = ((f"`{m.name}`", m.kind, ", ".join(m.labels) or "–", m.help, m.source) for m in METRICS)
    return _table(("Name", "Type", "Labels", "Tells", "From"), rows)


def bounds_table() -> str:
    """The buckets of each histogram."""
    found = ((f"`{m.name}`", ", ".join(f"{b:g}" for b in m.bounds)) for m in METRICS if m.bounds)
    return _table(("Histogram", "Bounds of its buckets"), found)


def words_table() -> str:
    """The closed lists of words."""
    words = {
        "`reason` of `events_dropped_total`": DROP_REASONS,
        "`reason` of `events_unaccepted_total`": UNACCEPTED_REASONS,
        "`verdict`": VERDICTS,
    }
    return _table(("Label", "Words"), ((label, ", ".join(each)) for label, each in words.items()))


def own_table() -> str:
    """What an application's own process measures."""
    rows = (
        (f"`{instrumenting.DURATION}`", "histogram", _RESULT, instrumenting.DURATION_HELP),
        (f"`{instrumenting.ENQUEUED}`", "counter", _RESULT, instrumenting.ENQUEUED_HELP),
    )
    return _table(("Name", "Type", "Labels", "Tells"), rows)


def names_table() -> str:
    """Each metric's name and unit for OpenTelemetry."""
    rows = ((f"`{m.name}`", f"`{m.dotted}`", f"`{m.unit}`" if m.unit else "–") for m in METRICS)
    return _table(("Prometheus", "OpenTelemetry", "Unit"), rows)


def alerts_table() -> str:
    """Every alert: how bad, after what time, what it says, where to read on."""
    return _table(("Alert", "Severity", "After", "Says", "Read on"), _alerts())


def _alerts() -> Iterator[tuple[str, ...]]:
    for rule in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"][0]["rules"]:
        page, _, place = rule["annotations"]["runbook_url"].partition("#")
        link = f"[{place}](../how-to/{Path(page).name}#{place})"
        said = rule["annotations"]["summary"].replace("|", "\\|")
        after = rule.get("for", "at once")
        yield f"`{rule['alert']}`", rule["labels"]["severity"], after, f"`{said}`", link


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [heads, ["---" for _ in heads], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(build(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
