"""The app that "vwo_celery.django" in INSTALLED_APPS adds: its name and its system checks.

Read once at start-up, before any event exists.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register


class VwoCeleryConfig(AppConfig):  # type: ignore[misc]
    """The configuration of the app."""

    name = "vwo_celery.django"
    label = "vwo_celery_django"
    verbose_name = "vwo_celery"

    def ready(self) -> None:
        """Register the checks."""
        from vwo_celery.django.checks import check_settings
        from vwo_celery.django.console.checks import check_access

        register(check_settings)
        register(check_access, Tags.security)  # here as well: the console may lack its app
