"""Flower beside a real worker: it shows our tasks with arguments that tell something, and results."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tools.installation import KEY, Installation, event
from tools.waiting import wait_until
from vwo_celery.celery.options import DELIVER, FLUSH, SWEEP
from vwo_celery.testing import free_port

#: Longest repr of a task's arguments that a row of Flower shows whole.
LONGEST_REPR = 60


def tasks_of(port: int) -> dict[str, dict[str, Any]]:
    """The last task of each name that Flower knows; none while it does not answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/tasks", timeout=5) as answer:
            found = json.loads(answer.read())
    except URLError:
        return {}
    return {
        each["name"]: each
        for each in found.values()
        if each["name"] and each["args"] and each["state"] == "SUCCESS"
    }


@pytest.mark.declared_keys("_kombu*", "celery*", "unacked*")
def test_flower_shows_our_tasks_in_short(installation: Installation) -> None:
    """Each task has its name, arguments that fit a row, and a result; no key, and no wake-up's token."""
    port = free_port()
    installation.worker("--task-events", "--concurrency=1")
    flower = installation.start(
        "flower", f"--port={port}", "--address=127.0.0.1", "--task_runtime_metric_buckets=1",
        name="flower", FLOWER_UNAUTHENTICATED_API="true",
    )  # fmt: skip
    flower.wait_for_log("Visit me at")
    installation.beat()
    queue = installation.connect(events_per_request=3, request_time_interval=600)

    def all_seen() -> dict[str, dict[str, Any]] | None:
        for name in "abc":
            queue.enqueue(event(name))
        installation.start("call", FLUSH, "--args", json.dumps([queue.name]), name="call").wait(30)
        seen = tasks_of(port)
        return seen if {DELIVER, SWEEP, FLUSH} <= {*seen} else None

    seen = wait_until(all_seen, 90, what="tasks in Flower")

    assert seen is not None
    assert seen[DELIVER]["args"] == f"({queue.name!r}, 0)"
    assert seen[SWEEP]["args"] == "()"
    assert queue.name in seen[FLUSH]["args"]
    assert all(len(task["args"] + task["kwargs"]) < LONGEST_REPR for task in seen.values())
    assert "delivered" in seen[DELIVER]["result"]
    assert KEY not in json.dumps(seen)
