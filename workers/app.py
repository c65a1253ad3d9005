"""The Celery app of the deployable worker and beat; everything is set by VWO_CELERY_… variables.

    celery -A workers.app worker --concurrency 8
    celery -A workers.app beat

An app of your own needs one line of this: vwo_celery.setup(app).
"""

from __future__ import annotations

from celery import Celery

import vwo_celery

settings = vwo_celery.Settings.load()
app = Celery("vwo_celery", broker=settings.effective_broker_url)
app.conf.update(
    task_default_queue=settings.celery_queue or "vwo_celery",
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "socket_connect_timeout": 1,
        "socket_timeout": 5,
        "health_check_interval": 25,
        "global_keyprefix": f"{settings.namespace}:broker:",
    },
    beat_max_loop_interval=1,
)
if not settings.effective_broker_url.startswith(("redis", "sentinel", "unix")):
    app.conf.broker_transport_options = {}
vwo_celery.setup(app, settings)
