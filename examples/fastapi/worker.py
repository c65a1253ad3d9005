"""The Celery app that sends the batches: `celery -A worker worker`, `celery -A worker beat`."""

from celery import Celery

import vwo_celery

app = Celery("shop")
settings = vwo_celery.setup(app)
app.conf.broker_url = settings.effective_broker_url
