"""The three tasks, for `include=["vwo_celery.tasks"]` and `autodiscover_tasks(["vwo_celery"])`.

They live in `vwo_celery.celery.tasks`. An app that gets them is set up with the settings of the
environment, unless `setup` is called for one.
"""

from __future__ import annotations

from vwo_celery.celery.setup import set_up_apps, setup
from vwo_celery.celery.tasks import deliver, flush, sweep

__all__ = ["deliver", "flush", "setup", "sweep"]

set_up_apps()
