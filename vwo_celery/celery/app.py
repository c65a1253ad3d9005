"""The ready Celery app, for fleets without one of their own: VWO_CELERY_… variables set everything.

    celery -A vwo_celery.celery.app worker --concurrency 8
    celery -A vwo_celery.celery.app beat

Only the command `celery` imports it. An app of your own needs one line of this:
`vwo_celery.setup(app)`. Nothing is lost with the process: events are in Redis.
"""

from __future__ import annotations

from celery import Celery

from vwo_celery.celery.setup import setup
from vwo_celery.settings import Settings
from vwo_celery.settings.redis_url import scheme_of

_DEFAULT_QUEUE = "vwo_celery"
#: Bounds for a broker in Redis: connecting, one answer, and the idle time after which it is pinged.
_CONNECT_TIMEOUT_SECONDS = 1
_ANSWER_TIMEOUT_SECONDS = 5
_IDLE_CHECK_SECONDS = 25


def make_app(settings: Settings) -> Celery:
    """A Celery app for the broker and the queue of *settings*, with vwo_celery set up in it."""
    broker_url = settings.effective_broker_url
    app = Celery("vwo_celery", broker=broker_url)
    app.conf.update(
        task_default_queue=settings.celery_queue or _DEFAULT_QUEUE,
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
    )
    if scheme_of(broker_url).startswith(("redis", "sentinel", "unix")):
        app.conf.broker_transport_options = {
            "socket_connect_timeout": _CONNECT_TIMEOUT_SECONDS,
            "socket_timeout": _ANSWER_TIMEOUT_SECONDS,
            "health_check_interval": _IDLE_CHECK_SECONDS,
            "global_keyprefix": f"{settings.namespace}:broker:",
        }
    setup(app, settings)
    return app


app = make_app(Settings.load())
