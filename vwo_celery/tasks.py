"""The three tasks, for `include=["vwo_celery.tasks"]` and `autodiscover_tasks(["vwo_celery"])`.

They live in `vwo_celery.celery.tasks`.
"""

from __future__ import annotations

from vwo_celery.celery.tasks import deliver, flush, setup, sweep

__all__ = ["deliver", "flush", "setup", "sweep"]
