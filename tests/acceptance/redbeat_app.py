"""A project whose beat keeps its schedule in Redis, with redbeat."""

import os

from celery import Celery

import vwo_celery

app = Celery("project", broker=os.environ["VWO_CELERY_REDIS_URL"])
app.conf.redbeat_redis_url = os.environ["VWO_CELERY_REDIS_URL"]
app.conf.beat_max_loop_interval = 1
vwo_celery.setup(app)
