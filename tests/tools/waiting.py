"""The one way in which tests wait: for a condition, with a deadline, never for a time."""

from vwo_celery.testing import wait_for as wait_until

__all__ = ["wait_until"]
