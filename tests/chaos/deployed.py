"""The Celery app of the workers under test: the deployable one, with the tests' crashes.

delivery_app of the acceptance tests is imported only for CRASH_AT: a SIGKILL at a given step.
"""

from __future__ import annotations

import delivery_app

from workers.app import app

__all__ = ["app", "delivery_app"]
