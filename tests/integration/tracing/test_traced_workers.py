"""A real prefork worker, as the page sets it up: the spans of its children are exported, the last too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.blocks import write_files
from tools.installation import Installation, event
from tools.processes import Process
from tools.recording import Recording, ids
from vwo_celery.testing import Standin

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "trace.md"
AT_INIT = "@signals.worker_process_init.connect\n"

pytestmark = pytest.mark.declared_keys("*")


@pytest.fixture
def installation(redis_url: str, standin: Standin, tmp_path: Path) -> Installation:
    """An installation whose worker is the page's."""
    write_files(PAGE, tmp_path)
    return Installation(redis_url, standin, tmp_path)


def test_a_childs_last_spans_are_exported(installation: Installation, recording: Recording) -> None:
    """Nothing is exported until the worker is told to stop; then the attempt's span leads to the call."""
    queue = installation.connect(events_per_request=1)

    with worker_of(installation, export_seconds=3600) as worker:
        with recording.request():
            assert queue.enqueue(event("a"))
        worker.wait_until(lambda: installation.snapshot(queue).delivered == 1)
        assert exported(worker) == {}

    assert_linked(exported(worker), recording)


def test_a_provider_made_before_the_fork(installation: Installation, recording: Recording) -> None:
    """Its processor's thread ends with the fork, and OpenTelemetry starts one in each child."""
    shop = installation.folder / "shop.py"
    shop.write_text(shop.read_text().replace(AT_INIT, "") + "\n\nstart_tracing()\n")
    queue = installation.connect(events_per_request=1)

    with worker_of(installation, export_seconds=0.1) as worker:
        with recording.request():
            assert queue.enqueue(event("a"))
        worker.wait_until(lambda: "process vwo.events" in exported(worker))

        assert_linked(exported(worker), recording)


def assert_linked(spans: dict[str, dict[str, Any]], recording: Recording) -> None:
    """The attempt is linked to the only call that was recorded; the POST is below it."""
    attempt, post = spans["process vwo.events"], spans["POST"]
    (link,) = (each["context"] for each in attempt["links"])
    assert [(int(link["trace_id"], 16), int(link["span_id"], 16))] == ids(recording.sent)
    assert post["parent_id"] == attempt["context"]["span_id"]


def worker_of(installation: Installation, *, export_seconds: float) -> Process:
    """The page's worker, with one child, which exports once in so many seconds."""
    return Process(
        "python", "-m", "celery", "-A", "shop", "worker", "--concurrency=1", "--loglevel=INFO",
        "--without-mingle", "--without-gossip",
        folder=installation.folder, name="worker", stop_timeout_seconds=45,
        env={
            **installation.env, "CELERY_BROKER_URL": installation.redis_url,
            "OTEL_BSP_SCHEDULE_DELAY": f"{1000 * export_seconds:.0f}",
        },
    )  # fmt: skip


def exported(worker: Process) -> dict[str, dict[str, Any]]:
    """The spans that the worker printed, by name."""
    decoder, log, found = json.JSONDecoder(), worker.log(), {}
    at = log.find("{\n")
    while at >= 0:
        try:
            span, end = decoder.raw_decode(log, at)
        except ValueError:  # it is being written
            break
        found[span["name"]] = span
        at = log.find("{\n", end)
    return found
