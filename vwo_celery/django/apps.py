"""The app that "vwo_celery.django" in INSTALLED_APPS adds: its name and its system checks.

Read once at start-up, before any event exists.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class VwoCeleryConfig(AppConfig):  # type: ignore[misc]
    """The configuration of the app."""

    name = "vwo_celery.django"
    label = "vwo_celery"
    verbose_name = "VWO events"

    def ready(self) -> None:
        """Register the checks."""
        from vwo_celery.django.checks import check_settings

        register(check_settings)
