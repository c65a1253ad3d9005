"""A plain Celery app for the workers and beat of either release."""

from __future__ import annotations

from celery import Celery

import vwo_celery

settings = vwo_celery.Settings.load()
app = Celery("upgrade", broker=settings.effective_broker_url)
app.conf.update(
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": "broker:"},
    beat_max_loop_interval=1,
)
vwo_celery.setup(app, settings)
print("release", vwo_celery.__version__, flush=True)
