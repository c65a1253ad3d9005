"""The app that "vwo_celery.django.console" in INSTALLED_APPS adds: permissions, admin page, checks.

Read once at start-up, before any event exists.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register


class ConsoleConfig(AppConfig):  # type: ignore[misc]
    """The configuration of the app; its label is the first word of the permissions' names."""

    name = "vwo_celery.django.console"
    label = "vwo_celery"
    verbose_name = "VWO events"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks."""
        from vwo_celery.django.console.checks import check_access

        register(check_access, Tags.security)
