"""The Celery app of the demo's workers and beat: one line more than any Celery app has.

    celery -A vwo_celery.demo.app worker

Its receivers record each batch that VWO accepted, for the report, and have beat sweep at once.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, signals

import vwo_celery
from vwo_celery.demo.children import die_with, die_with_demo
from vwo_celery.demo.deliveries import write_delivery
from vwo_celery.signals import BatchReport, batch_delivered

settings = vwo_celery.Settings.load()
app = Celery("vwo_celery_demo", broker=settings.effective_broker_url)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    beat_max_loop_interval=1,
)
vwo_celery.setup(app, settings)
_main_pid = os.getpid()


@batch_delivered.connect
def note_delivery(report: BatchReport, **_: Any) -> None:
    """Record which worker delivered which batch, and at which attempt."""
    write_delivery(report.batch, report.attempt, report.count)


@signals.celeryd_init.connect
@signals.beat_init.connect
def _join_demo(**_: Any) -> None:
    die_with_demo()


@signals.beat_init.connect
def _sweep_at_once(**_: Any) -> None:
    """Send a sweep when beat starts: the demo shows that beat is ready by a sweep that was run."""
    app.send_task("vwo_celery.sweep")


@signals.worker_process_init.connect
def _join_worker(**_: Any) -> None:
    die_with(_main_pid)
