"""Every benchmark runs: each in a form so short that its figures mean nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
#: What makes each benchmark short: constants of the module, or words of its command line.
SHORT: dict[str, dict[str, object] | str] = {
    "bench_alternatives": "--events=200 --per-request=100 --rounds=1",
    "bench_cluster": {"SHARDS": (1, 2), "SINGLE": 500, "MANY": 1_000, "ROUNDS": 1},
    "bench_crowd": {"CONNECTIONS": (1, 2), "EVENTS": 200, "ROUNDS": 1},
    "bench_drain": {"EVENTS": 2_000, "PER_REQUEST": 500, "ROUNDS": 1, "LANES": 2},
    "bench_enqueue": {"SINGLE": 100, "MANY": 200, "AWAITS": 10},
    "bench_growth": "--largest=2 --rounds=1",
    "bench_look": {"BATCHES": 2_000, "GLANCES": 5, "SNAPSHOTS": 1},
    "bench_memory": {
        "QUEUES": (2,),
        "SHARDS": (1,),
        "EVENTS_PER_REQUEST": (10,),
        "EVENT_SIZES": (300,),
        "EVENTS": 5_000,
    },
    "bench_metrics": {"QUEUES": 3, "ROUNDS": 1},
    "bench_redis_time": {"SIZES": (1, 10), "BATCHES": 5, "APPENDS": 20, "APPEND_ROUNDS": 1},
    "bench_relay": {"CONNECTIONS": 2, "ROUNDS": 1, "SECONDS": 0.1, "FULL_SECONDS": 0.6},
    "bench_sweep": {"QUEUES": 500, "ROUNDS": 1},
    "bench_tail": {"PER_REQUEST": (20,), "SECONDS": 0.2, "ROUNDS": 1},
}
LONGEST_SECONDS = 600
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
name, change = sys.argv[2], eval(sys.argv[3])
module = __import__(name)
if isinstance(change, str):
    sys.argv = [name, *change.split()]
else:
    for constant, value in change.items():
        getattr(module, constant)
        setattr(module, constant, value)
module.main()
"""


def test_each_benchmark_has_a_short_form() -> None:
    """The table of this test names every benchmark."""
    assert set(SHORT) == {path.stem for path in FOLDER.glob("bench_*.py")}


@pytest.mark.parametrize("name", SHORT)
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    """It ends well, prints its tables, and leaves no event in the user's own spool."""
    words = [sys.executable, "-c", PROGRAM, str(FOLDER), name, repr(SHORT[name])]

    ran = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "COLUMNS": "160"}, capture_output=True,
        text=True, timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert "━" in ran.stdout
    assert not list(Path(os.environ["XDG_STATE_HOME"]).iterdir())
