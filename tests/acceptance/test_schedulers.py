"""Real beats of other schedulers, which keep entries in a database or in Redis, run the sweep."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import redis as redis_py

from tools.installation import ACCEPTANCE, Installation
from tools.waiting import wait_until
from vwo_celery.celery.options import SWEEP
from vwo_celery.celery.setup import BEAT_ENTRY
from vwo_celery.queue.fleet import Fleet


@pytest.mark.declared_keys("redbeat*", "_kombu*")
@pytest.mark.parametrize(
    ("app", "scheduler"),
    [
        ("database_beat_app", "django_celery_beat.schedulers:DatabaseScheduler"),
        ("redbeat_app", "redbeat.RedBeatScheduler"),
    ],
    ids=["django-celery-beat", "redbeat"],
)
def test_its_beat_runs_the_sweep_and_logs_nothing_of_it(
    installation: Installation, redis: redis_py.Redis, app: str, scheduler: str
) -> None:
    """The entry that setup makes is kept, sent and run, whatever else the scheduler drops."""
    installation.app = app
    installation.env["DATABASE"] = str(installation.folder / "beat.sqlite3")
    if app == "database_beat_app":
        making = [sys.executable, str(ACCEPTANCE / f"{app}.py")]
        subprocess.run(making, env={**os.environ, **installation.env}, check=True, timeout=120)
    fleet = Fleet(redis, "vwo")

    installation.worker("--concurrency=1")
    beat = installation.start("beat", "--loglevel=INFO", f"--scheduler={scheduler}", name="beat")
    wait_until(lambda: "beat" in fleet.last_sweeps_ms(), 60)

    logs = "\n".join(process.log() for process in installation.started)
    assert f"{BEAT_ENTRY} (" not in beat.log()
    assert f"Task {SWEEP}[" not in logs
