"""The console in the default admin site, unless VWO_CELERY_ADMIN is False.

Django's admin imports this module as it starts, since the app is installed. Nothing to lose.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin

from vwo_celery.django.admin import register

if getattr(settings, "VWO_CELERY_ADMIN", True):
    register(admin.site)
