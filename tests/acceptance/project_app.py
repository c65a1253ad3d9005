"""The Celery app of a project, with tasks of its own; ours are set up by hand, as in `delivery_app`.

LISTENER     "no": its workers have no listener, so that only beat has the queues swept.
SOFT_LIMIT   the soft time limit that messages state, in seconds, instead of one that none reaches.
"""

from __future__ import annotations

import os

from celery import Celery
from delivery_app import app

from vwo_celery.celery import options
from vwo_celery.celery.worker.listener import Listener

__all__ = ["app"]

# The settings were given to `setup`; whoever looks for them elsewhere finds others.
os.environ.pop("VWO_CELERY_ALLOWED_HOSTS")
if os.environ.get("LISTENER") == "no":
    Listener.enabled = False
if "SOFT_LIMIT" in os.environ:
    _soft = int(os.environ["SOFT_LIMIT"])
    options.limits = lambda settings: options.Limits(_soft, 60 * _soft)


@app.task(name="project.make_an_app")
def make_an_app() -> None:
    """Make another Celery app, which becomes the current one of this thread."""
    Celery("of a task", broker="memory://").set_current()
