"""The four tasks, for `include=["vwo_celery.tasks"]` and `autodiscover_tasks(["vwo_celery"])`.

They live in `vwo_celery.celery.worker.tasks` and `vwo_celery.celery.worker.background`. An app that
gets them is set up with the settings of the environment, unless `setup` is called for one."""

from __future__ import annotations

from vwo_celery.celery.setup import set_up_apps, setup
from vwo_celery.celery.worker.background import operate
from vwo_celery.celery.worker.tasks import deliver, flush, sweep

__all__ = ["deliver", "flush", "operate", "setup", "sweep"]

set_up_apps()
