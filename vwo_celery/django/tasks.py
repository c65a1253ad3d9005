"""The three tasks, for `app.autodiscover_tasks()`; importing this module sets the app up.

Celery imports this module in workers and beat, never in a web process. The tasks
need the listener and the beat entry, so unless the app was set up already, it is set up here by
`vwo_celery.setup`, with Django's settings.
"""

from __future__ import annotations

from celery.app import app_or_default

from vwo_celery.celery.tasks import LISTENER, deliver, flush, setup, sweep

__all__ = ["deliver", "flush", "sweep"]

_app = app_or_default()
if LISTENER not in _app.steps["worker"]:
    setup(_app)
