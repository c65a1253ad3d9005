"""A Celery app whose tasks enqueue, and whose worker delivers: `celery -A fork_tasks worker`.

The worker's main process has enqueued before it forks its pool.
"""

from __future__ import annotations

import os

from celery import Celery
from celery.utils.log import get_task_logger

import vwo_celery

DESTINATION = vwo_celery.Destination(
    account_id=1,
    sdk_key="k" * 32,
    generation="legacy",
    base_url=os.environ.get("FORK_TASKS_URL", ""),
)
BATCH = {"events_per_request": 50, "request_time_interval": 1}

log = get_task_logger(__name__)
settings = vwo_celery.Settings.load()
app = Celery("fork_tasks", broker=settings.effective_broker_url)
app.conf.update(
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": "broker:"},
)
vwo_celery.setup(app, settings)
queue = vwo_celery.connect(DESTINATION, batch_event_data=BATCH, strict=True, settings=settings)


def store(name: str, count: int) -> None:
    """Enqueue the given number of events."""
    for number in range(count):
        event = {"u": f"{name}-{number}", "sId": 1700000000, "c": 2, "e": 101, "eT": 1}
        assert queue.enqueue(event).where == "redis"


@app.task(name="fork_tasks.work", ignore_result=True)
def work(name: str, count: int) -> None:
    """Enqueue in a task."""
    store(name, count)
    log.warning("worked in process %d", os.getpid())


if os.environ.get("FORK_TASKS_URL"):
    store("import", 1)
