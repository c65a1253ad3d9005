"""`python -m workers.health`, as a container runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from queues import Queues

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.declared_keys(
    "watched", "open", "batch", "wakeups", "slots", "ready", "info"
)


def check_health(*words: str, **variables: str) -> tuple[int, str]:
    """Its exit code and its one line."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("VWO_CELERY_")}
    ran = subprocess.run(
        [sys.executable, "-m", "workers.health", *words],
        cwd=REPOSITORY, env={**clean, **variables}, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert ran.stderr == ""
    (line,) = ran.stdout.splitlines()
    return ran.returncode, line


def test_the_health_of_the_fleet_is_its_exit_code(redis_url: str) -> None:
    """0 where events leave in time, 1 where the oldest pending one is far over its interval."""
    queues = Queues(redis_url)
    queue = queues.add()
    queues.fill(queue, 1)
    queues.fleet.note_listener("worker:1")

    well = check_health(VWO_CELERY_REDIS_URL=redis_url)
    queues.age_open(queue, 500)
    ill = check_health(VWO_CELERY_REDIS_URL=redis_url)

    assert well == (0, "healthy: 1 worker listens, 1 event pending")
    assert ill[0] == 1
    assert ill[1].startswith(
        f"unhealthy: queue {queue.name}: the oldest of 1 pending event is 7 min"
    )


def test_beat_is_well_when_its_sweeps_are_run(redis_url: str) -> None:
    """A worker's listener that sweeps in its place keeps events moving, and beat is not well."""
    queues = Queues(redis_url)

    never = check_health("beat", VWO_CELERY_REDIS_URL=redis_url)
    queues.fleet.note_sweep("listener")
    replaced = check_health("beat", VWO_CELERY_REDIS_URL=redis_url)
    queues.fleet.note_sweep("beat")
    seen = check_health("beat", VWO_CELERY_REDIS_URL=redis_url)

    assert (never[0], replaced[0], seen[0]) == (1, 1, 0)
    assert "beat has never been seen" in never[1]
    assert seen[1].startswith("healthy: beat had the queues swept")


def test_a_check_of_something_else_is_wrong_usage() -> None:
    """A misspelt check must not pass for a healthy one."""
    assert check_health("beets") == (2, "usage: python -m workers.health [beat]")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"VWO_CELERY_REDIS_URL": "redis://:sekrit@127.0.0.1:1/0"},
            "redis://…@127.0.0.1:1/0 cannot",
        ),
        ({"VWO_CELERY_REDIS_URL": "redis://:sekrit@localhost:port"}, "cannot be used"),
        ({"VWO_CELERY_REDIS_URL": "redis+cluster://:sekrit@127.0.0.1:1"}, "cannot be used"),
        ({"VWO_CELERY_LEASE_SECONDS": "1"}, "VWO_CELERY_LEASE_SECONDS"),
    ],
)
def test_what_cannot_be_known_is_unhealthy(variables: dict[str, str], words: str) -> None:
    """Redis out of reach or wrong settings: one line, no password, no traceback."""
    code, line = check_health(**variables)

    assert code == 1
    assert line.startswith("unhealthy: ")
    assert words in line
    assert "sekrit" not in line
