"""Celery app of two alternatives: one task for each event, and celery-batches.

Needs no vwo_celery: celery-batches runs in an environment of its own. BROKER, SINK, PER_REQUEST and
PREFETCH come from the environment.
"""

import functools
import os

import requests
from celery import Celery

try:
    from celery_batches import Batches
except ImportError:
    Batches = None

PATH = "/server-side/batch-events-v2"
PER_REQUEST = int(os.environ["PER_REQUEST"])
#: Longest wait of events that fill no batch, s; there are none in this benchmark.
FLUSH_SECONDS = 5

app = Celery("alternatives", broker=os.environ["BROKER"])
app.conf.update(
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=int(os.environ["PREFETCH"]),
)


@functools.cache
def session():
    """One HTTP session for the process, kept open."""
    return requests.Session()


def post(events):
    answer = session().post(os.environ["SINK"] + PATH, json={"ev": events}, timeout=20)
    answer.raise_for_status()


@app.task
def post_one(event):
    post([event])


if Batches is not None:

    @app.task(base=Batches, flush_every=PER_REQUEST, flush_interval=FLUSH_SECONDS)
    def post_batch(messages):
        post([message.args[0] for message in messages])
