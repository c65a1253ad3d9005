"""Where `app.autodiscover_tasks()` finds the three tasks, and sets the app up with them.

Place: adapters. Celery imports this module in workers and beat, never in a web process. Without the
listener and the beat entry the tasks would wait for ever, so the app gets all of `vwo_celery.setup`,
with Django's settings, unless it was set up already.
"""

from __future__ import annotations

from celery.app import app_or_default

from vwo_celery.celery.tasks import LISTENER, deliver, flush, setup, sweep

__all__ = ["deliver", "flush", "sweep"]

_app = app_or_default()
if LISTENER not in _app.steps["worker"]:
    setup(_app)
