"""A configured Django in the test's own process: two databases, the admin, and both apps of ours.

Django can be set up once in a process, so all tests share this project; its settings are visible only
inside `project()`, since `Settings.load` would find them in the tests of other modules.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections
from django.utils.functional import empty

from tools.django_settings import options

_folder = tempfile.TemporaryDirectory(prefix="vwo-celery-django-")
django_settings.configure(**options(Path(_folder.name)))
django.setup()

# Models can be imported only now.
from django.contrib.admin.models import CHANGE, LogEntry  # noqa: E402
from django.contrib.auth.models import Permission, User  # noqa: E402

from vwo_celery.django.console.models import EventQueue  # noqa: E402

__all__ = ["CHANGE", "EventQueue", "LogEntry", "Permission", "User", "project"]

_settings, django_settings._wrapped = django_settings._wrapped, empty


@contextmanager
def project() -> Iterator[None]:
    """The project's settings, and its tables with what earlier tests have left in them."""
    django_settings._wrapped = _settings
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connections.close_all()
        django_settings._wrapped = empty
