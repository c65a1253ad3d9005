"""The four tasks, for `app.autodiscover_tasks()`; importing this module sets the app up.

Celery imports this module in workers and beat, never in a web process. The tasks
need the listener and the beat entry, so every app that gets them is set up with Django's settings,
unless `vwo_celery.setup` was called for one.
"""

from __future__ import annotations

from vwo_celery.celery.setup import set_up_apps
from vwo_celery.celery.worker.background import operate
from vwo_celery.celery.worker.tasks import deliver, flush, sweep

__all__ = ["deliver", "flush", "operate", "sweep"]

set_up_apps()
