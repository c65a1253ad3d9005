"""An event is delivered with the releases of Celery and redis-py that an SDK's pins allow."""

from __future__ import annotations

import os

import pytest

import vwo_celery
from tools.processes import Process
from vwo_celery.producing.queue import producer_of

SDK = os.environ["VWO_CELERY_SDK"]
_APP = """
from celery import Celery
import vwo_celery

app = Celery("sdk_tests", broker="{redis_url}".removesuffix("/0") + "/1")
vwo_celery.setup(app, redis_url="{redis_url}", allowed_hosts=("{host}",))
"""


@pytest.mark.declared_keys("watched")
def test_a_celery_worker_of_this_environment_delivers(tmp_path, capture, redis_url, standin):
    """Enqueue, wake-up, Celery task and POST work with the versions installed beside the SDK."""
    (tmp_path / "sdk_tests_app.py").write_text(
        _APP.format(redis_url=redis_url, host=standin.netloc), "utf-8"
    )
    queue = vwo_celery.connect(
        vwo_celery.Destination(
            account_id=1, sdk_key="k" * 32, generation=SDK, base_url=standin.url
        ),
        batch_event_data={"events_per_request": 2},
        redis_url=redis_url,
    )
    [event] = capture(f"{SDK}_track{'_event' if SDK == 'fme' else ''}")["body_json"]["ev"]

    with Process(
        *("python", "-m", "celery", "-A", "sdk_tests_app", "worker", "--pool", "solo"),
        folder=tmp_path,
        name="worker",
    ) as worker:
        worker.wait_until(producer_of(queue).fleet.listeners, what="a worker that listens")
        receipts = queue.enqueue_many([event] * 5)
        result = queue.flush_events(timeout_seconds=15)

    assert all(receipts)
    assert result
    assert [len(batch.events) for batch in standin.batches] == [2, 2, 1]
