"""The Celery app of the workers under test: the deployable one, and what the tests make it do.

Of the acceptance tests' app only what CRASH_AT asks for is wanted: a SIGKILL at a given step.
"""

from __future__ import annotations

import delivery_app

from workers.app import app

__all__ = ["app", "delivery_app"]
