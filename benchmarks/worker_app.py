"""Celery app of our worker in bench_drain and bench_alternatives."""

from celery import Celery

import vwo_celery

settings = vwo_celery.Settings.load()
app = Celery("bench", broker=settings.broker_url or settings.redis_url)
app.conf.update(
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": "broker:"},
)
vwo_celery.setup(app, settings)
