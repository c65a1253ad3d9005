"""The ready Celery app under its name in a checkout: `celery -A workers.app worker|beat`.

It is `vwo_celery.celery.app`.
"""

from __future__ import annotations

from vwo_celery.celery.app import app

__all__ = ["app"]
