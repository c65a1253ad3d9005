"""compose/alerts.yaml: each alert fires on its own series, and none does on those of a healthy fleet."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tools.promtool import Rules, promtool
from vwo_celery.metrics.table import METRICS
from vwo_celery.operating.doctor.kinds import KINDS

REPOSITORY = Path(__file__).parents[3]
ALERTS = REPOSITORY / "compose" / "alerts.yaml"
DEPLOY = REPOSITORY / "tests" / "data" / "rolling_deploy.json"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"][0]["rules"]
NAMES = [rule["alert"] for rule in RULES]
MINUTES = 1_500
N = 'namespace="vwo"'
Q = f'{N},queue="fme-1-abc"'


def metric(name: str, labels: str = Q) -> str:
    """A series."""
    return f"vwo_celery_{name}{{{labels}}}"


#: The series of a fleet that is well, by the minute for a day and an hour.
HEALTHY = {
    **{metric("events", f'{Q},state="{state}"'): f"{n}x{MINUTES}" for state, n in
       [("open", 40), ("ready", 0), ("in_flight", 100), ("released", 0), ("dead", 7)]},
    metric("queue_used_ratio"): f"0.01x{MINUTES}",
    metric("late_seconds"): f"0x{MINUTES}",
    metric("queue_paused"): f"0x{MINUTES}",
    metric("circuit_open"): f"0x{MINUTES}",
    **{metric("queue_stopped", f'{Q},by="{by}"'): f"0x{MINUTES}" for by in
       ("operator", "refusal", "outage", "workers", "unknown")},
    metric("queue_declining_workers"): f"0x{MINUTES}",
    metric("events_on_disk"): f"0x{MINUTES}",
    metric("events_accepted_total"): f"1000+60x{MINUTES}",
    metric("events_refused_total"): f"3x{MINUTES}",
    metric("events_dropped_total", f'{Q},reason="vanished"'): f"2x{MINUTES}",
    metric("events_dropped_total", f'{Q},reason="purged"'): f"5+1x{MINUTES}",
    metric("events_unaccepted_total", f'{Q},reason="redis_unavailable"'): f"9x{MINUTES}",
    metric("events_unaccepted_total", f'{Q},reason="not_json"'): f"9+1x{MINUTES}",
    metric("events_dead_lettered_total", f'{Q},verdict="rejected"'): f"7x{MINUTES}",
    metric("leases_lost_total"): f"1x{MINUTES}",
    metric("receiver_errors_total"): f"0x{MINUTES}",
    metric("lanes", N): f"8x{MINUTES}",
    metric("workers", f'{N},version="0.2.0",pool="prefork"'): f"2x{MINUTES}",
    metric("worker_settings_differing", N): f"0x{MINUTES}",
    metric("last_sweep_timestamp_seconds", f'{N},by="beat"'): f"0+60x{MINUTES}",
    metric("last_sweep_timestamp_seconds", f'{N},by="listener"'): f"0+60x{MINUTES}",
    metric("ledger_imbalance_events"): f"0x{MINUTES}",
    metric("redis_up", N): f"1x{MINUTES}",
    metric("redis_writable", N): f"1x{MINUTES}",
    metric("redis_memory_bytes", N): f"100x{MINUTES}",
    metric("redis_memory_limit_bytes", N): f"1000x{MINUTES}",
}  # fmt: skip


class Case(NamedTuple):
    """Series in which a trouble begins at minute 30, and what fires then.

    `gone` are series of the healthy fleet that are not there.
    """

    alert: str
    series: dict[str, str]
    silent_at: str
    fires_at: str
    besides: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def begins(healthy: str, wrong: str, minute: int = 30) -> str:
    """A value that stays for so many minutes, and another one after that."""
    return f"{healthy}x{minute - 1} {wrong}x{MINUTES}"


CASES = (
    Case("EventsLate", {metric("late_seconds"): begins("0", "300+60")}, "34m", "37m"),
    Case("NoWorkers", {}, "1m", "3m",
         gone=(metric("workers", f'{N},version="0.2.0",pool="prefork"'),)),
    Case("QueueFullSoon", {metric("queue_used_ratio"): f"0.21+0.004x{MINUTES}"}, "9m", "20m"),
    Case("QueueFullSoon", {metric("redis_memory_bytes", N): begins("100", "950")}, "39m", "41m"),
    Case("EventsLost",
         {metric("events_dropped_total", f'{Q},reason="vanished"'): begins("2", "5")}, "29m", "31m"),
    Case("EventsLost", {metric("events_refused_total"): begins("3", "5")}, "29m", "31m"),
    Case("EventsLost", {metric("events_unaccepted_total", f'{Q},reason="redis_unavailable"'):
         begins("9", "11")}, "29m", "31m"),
    Case("EventsLost", {metric("events_accepted_total"): begins("1000", "4")}, "29m", "31m"),
    Case("RedisAway", {metric("redis_up", N): begins("1", "0")}, "31m", "33m"),
    Case("RedisAway", {metric("redis_writable", N): begins("1", "0")}, "31m", "33m"),
    Case("PausedByVwo", {metric("queue_paused"): begins("0", "1"),
         metric("queue_stopped", f'{Q},by="refusal"'): begins("0", "1")}, "39m", "41m"),
    Case("CircuitOpen", {metric("circuit_open"): begins("0", "1")}, "59m", "61m"),
    Case("CircuitOpenLong", {metric("circuit_open"): begins("0", "1")}, "29m", "391m",
         besides=("CircuitOpen",)),
    Case("DeadLetters", {metric("events_dead_lettered_total", f'{Q},verdict="rejected"'):
         begins("7", "8")}, "29m", "31m"),
    Case("BeatSilent", {metric("last_sweep_timestamp_seconds", f'{N},by="beat"'): f"60x{MINUTES}"},
         "12m", "15m"),
    Case("LedgerUnbalanced", {metric("ledger_imbalance_events"): begins("0", "-3")}, "49m", "51m"),
    Case("LeasesLost", {metric("leases_lost_total"): begins("1", "6")}, "29m", "31m"),
    Case("ReceiverErrors", {metric("receiver_errors_total"): begins("0", "1")}, "29m", "31m"),
    Case("WorkersDiffer", {metric("workers", f'{N},version="0.1.0",pool=""'): f"1x{MINUTES}"},
         "1439m", "1441m"),
    Case("WorkersDiffer", {metric("worker_settings_differing", N): f"1x{MINUTES}"}, "1439m", "1441m"),
    Case("WorkersDiffer", {metric("queue_declining_workers"): f"1x{MINUTES}"}, "1439m", "1441m"),
    Case("Spooling", {metric("events_on_disk"): begins("0", "4")}, "44m", "46m"),
    Case("ExporterAbsent", {}, "9m", "11m", gone=tuple(HEALTHY)),
)  # fmt: skip


def test_the_file_is_one_that_prometheus_reads() -> None:
    """promtool finds nothing wrong with the rules."""
    ran = promtool("check", "rules", str(ALERTS))

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_fires_on_its_series_and_no_other_does(tmp_path: Path) -> None:
    """Each trouble raises its own alert, after its time and not before, and no other one."""
    rules = Rules(ALERTS, tmp_path)
    for number, case in enumerate(CASES):
        series = {**{s: v for s, v in HEALTHY.items() if s not in case.gone}, **case.series}
        at = {case.silent_at: set(), case.fires_at: {case.alert, *case.besides}}
        rules.expect(f"{number} {case.alert}", series, at)

    assert rules.run() == ""
    assert {case.alert for case in CASES} == set(NAMES)


def test_a_healthy_fleet_raises_no_alert(tmp_path: Path) -> None:
    """For a day and an hour, while events flow, some are purged, and some cannot be sent."""
    rules = Rules(ALERTS, tmp_path)
    rules.expect("healthy", HEALTHY, {time: set() for time in ("1m", "30m", "6h", "1499m")})

    assert rules.run() == ""


def test_a_pause_of_an_operators_raises_no_alert(tmp_path: Path) -> None:
    """It was meant: nothing that waits behind it is late, and nobody is called."""
    rules = Rules(ALERTS, tmp_path)
    paused = {
        metric("queue_paused"): begins("0", "1"),
        metric("queue_stopped", f'{Q},by="operator"'): begins("0", "1"),
        metric("late_seconds"): begins("0", "300+60"),
    }
    rules.expect("paused", {**HEALTHY, **paused}, {"6h": set()})

    assert rules.run() == ""


def test_a_rolling_deploy_raises_no_alert(tmp_path: Path) -> None:
    """The series of a real one, scraped while two workers were replaced under load."""
    recorded = json.loads(DEPLOY.read_text("utf-8"))
    rules = Rules(ALERTS, tmp_path)
    times = {f"{minute}m": set[str]() for minute in range(1, recorded["minutes"] + 1)}
    rules.expect("deploy", recorded["series"], times, interval=recorded["interval"])

    assert rules.run() == ""


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_asks_for_metrics_of_the_table(rule: dict[str, Any]) -> None:
    """Whatever an alert asks for is told, and it says what is wrong, how bad, and where to read on."""
    told = {each.name for each in METRICS}

    assert set(re.findall(r"vwo_celery_\w+", rule["expr"])) <= told
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    page, _, place = rule["annotations"]["runbook_url"].partition("#")
    text = (REPOSITORY / page).read_text("utf-8")
    assert re.search(rf"^#+ {place}$", text, re.MULTILINE | re.IGNORECASE)


def test_the_alerts_of_the_runbook_are_there() -> None:
    """Each alert that a trouble names is shipped."""
    assert {kind.alert for kind in KINDS.values() if kind.alert} <= set(NAMES)
