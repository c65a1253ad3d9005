"""Prometheus' own promtool, which checks what a scrape tells, and lets alerts fire on series.

It cannot be had from PyPI, so it is taken from the machine: Debian's package `prometheus`, installed or
only unpacked (VWO_CELERY_PROMTOOL names the program). `.ci/run` fetches it. Where there is none, tests
that need it are skipped and say so; where CI is set they fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml


def promtool(
    *words: str, text: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run promtool with *text* as its standard input; its answer, whatever its exit code."""
    program = os.environ.get("VWO_CELERY_PROMTOOL") or shutil.which("promtool")
    if program is None:
        missing = "no promtool here: apt-get install prometheus, or see tests/tools/promtool.py"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return subprocess.run(
        [program, *words],
        input=text,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def problems_of_expressions(folder: Path, expressions: list[str]) -> str:
    """What promtool says of these expressions of PromQL; "" if it can read each."""
    rules = [{"record": f"checked_{i}", "expr": each} for i, each in enumerate(expressions)]
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "checked", "rules": rules}]}))
    ran = promtool("check", "rules", str(file))
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


class Rules:
    """Tests of a file of rules, run all at once.

    Args:
        rules: The file.
        folder: Where the tests are written.
    """

    def __init__(self, rules: Path, folder: Path) -> None:
        self._rules = rules
        self._folder = folder
        self._tests: list[dict[str, Any]] = []

    def expect(
        self,
        name: str,
        series: dict[str, str],
        at: dict[str, set[str]],
        *,
        interval: str = "1m",
    ) -> None:
        """Expect just these alerts to fire at each of these times.

        Args:
            name: Name of the test.
            series: Values by series, in promtool's notation.
            at: Names of the alerts by time, such as "10m".
            interval: Time between two values.
        """
        firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
        self._tests.append({
            "name": name,
            "interval": interval,
            "input_series": [{"series": each, "values": values} for each, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": firing,
                    "eval_time": time,
                    "exp_samples": [
                        {"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)
                    ],
                }
                for time, alerts in at.items()
            ],
        })  # fmt: skip

    def run(self) -> str:
        """What promtool says; "" if all is as expected."""
        file = self._folder / "tests.yaml"
        tests = {
            "rule_files": [str(self._rules)],
            "evaluation_interval": "1m",
            "tests": self._tests,
        }
        file.write_text(yaml.safe_dump(tests, sort_keys=False, width=10**9))
        ran = promtool("test", "rules", str(file))
        return "" if ran.returncode == 0 else ran.stdout + ran.stderr
