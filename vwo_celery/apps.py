"""What "vwo_celery" in INSTALLED_APPS adds: a check that says which app is meant.

Django looks for it here, and nothing else imports it. Read once at start-up, before any event exists.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class MisnamedConfig(AppConfig):  # type: ignore[misc]
    """The configuration of an app that has nothing but the check."""

    name = "vwo_celery"
    label = "vwo_celery_misnamed"

    def ready(self) -> None:
        """Register the check."""
        from vwo_celery.django.checks import check_name

        register(check_name)
