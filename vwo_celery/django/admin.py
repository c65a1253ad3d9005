"""The console as a page of an admin site; Django's admin imports this module, and nothing happens.

Beside an event's way; nothing to lose.
"""

from __future__ import annotations

from typing import Any


def register(site: Any) -> None:
    """Give an admin site the console; "vwo_celery.django.console" must be in INSTALLED_APPS.

    The default site has it by itself, unless VWO_CELERY_ADMIN is False.

    Args:
        site: The `AdminSite`.
    """
    from vwo_celery.django.console.models import EventQueue
    from vwo_celery.django.console.pages import EventQueueAdmin

    if not site.is_registered(EventQueue):
        site.register(EventQueue, EventQueueAdmin)
