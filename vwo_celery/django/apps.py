"""What Django reads of an installed app: its name, and its system checks.

Place: adapters; read once at start-up, before any event exists.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class VwoCeleryConfig(AppConfig):  # type: ignore[misc]
    """ "vwo_celery.django" in INSTALLED_APPS."""

    name = "vwo_celery.django"
    label = "vwo_celery"
    verbose_name = "VWO events"

    def ready(self) -> None:
        """Register the checks."""
        from vwo_celery.django.checks import check_settings

        register(check_settings)
