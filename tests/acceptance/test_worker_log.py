"""The logs of a real worker and beat: quiet while nothing happens, and one document a line as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis as redis_py

from tools.installation import Installation, event
from tools.waiting import wait_until
from vwo_celery.operating.looks.workers import view_workers
from vwo_celery.queue.fleet import Fleet

#: Sweeps of the listener that a quiet run has, at least.
QUIET_SWEEPS = 5


def documents(log: str) -> list[dict[str, Any]]:
    """The lines of a log that are JSON; the others are the banner that Celery prints."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def wait_for_sweeps(fleet: Fleet, count: int) -> None:
    """Wait until beat's sweep was run, and then so many of the listener."""
    wait_until(lambda: "beat" in fleet.last_sweeps_ms(), 30)
    for _ in range(count):
        last = fleet.last_sweeps_ms().get("listener", 0)
        wait_until(lambda last=last: fleet.last_sweeps_ms().get("listener", 0) > last, 20)


def test_a_quiet_fleet_logs_nothing_and_a_batch_one_document(
    installation: Installation, redis: redis_py.Redis
) -> None:
    """Sweeps that find nothing leave no line at INFO, of ours or of Celery's, in worker and beat.

    The worker's card says what it is.

    As JSON every line is a document, a batch's has its facts, and Celery's line on the task, which has
    what Flower shows, says what it did.
    """
    installation.env["VWO_CELERY_LOG_FORMAT"] = "json"
    worker = installation.worker()
    beat = installation.beat()
    beat.wait_for_log("Starting...")
    started = len(documents(worker.log())), len(documents(beat.log()))

    wait_for_sweeps(Fleet(redis, "vwo"), QUIET_SWEEPS)
    quiet = len(documents(worker.log())), len(documents(beat.log()))
    (view,) = view_workers(Fleet(redis, "vwo"))
    queue = installation.connect(events_per_request=2, request_time_interval=60)
    for name in ("a", "b"):
        queue.enqueue(event(name))
    worker.wait_for_log("succeeded in")

    assert quiet == started
    assert view.card is not None
    assert (view.card.pool, view.card.concurrency, view.card.busy) == ("prefork", 2, 0)
    assert view.card.celery_queues == ("celery",)
    assert view.card.rss_bytes > 0
    assert view.card.settings["log_format"] == "json"
    lines = [each for each in documents(worker.log()) if each["logger"] == "vwo_celery.batches"]
    (line,) = lines
    assert (line["queue"], line["events"], line["outcome"]) == (queue.name, 2, "delivered")
    result = "{'delivered': {'batches': 1, 'events': 2}}"
    assert any(result in each["message"] for each in documents(worker.log()))


@pytest.mark.declared_keys("open")
def test_celerys_remote_control_reaches_a_real_worker(
    installation: Installation, redis: redis_py.Redis
) -> None:
    """`celery inspect vwo_queues` and `celery control vwo_pause` are known to Celery's command line,
    and answered by a worker.
    """
    queue = installation.connect(events_per_request=2, request_time_interval=60)
    queue.enqueue(event("a"))
    installation.worker()

    asked = installation.start("inspect", "-t", "10", "-j", "vwo_queues", name="inspect")
    told = installation.start(
        "control", "-t", "10", "-j", "vwo_pause", queue.name, "a deploy", name="control"
    )
    assert (asked.wait(30), told.wait(30)) == (0, 0)

    (answer,) = _last_document(asked.log()).values()
    assert [(each["queue"], each["open"]) for each in answer] == [(queue.name, 1)]
    assert queue.name in told.log()
    assert installation.snapshot(queue).paused


def _last_document(log: str) -> dict[str, Any]:
    """The JSON document that a command printed last."""
    found: dict[str, Any] = json.loads(log.strip().splitlines()[-1])
    return found
