"""A configured Django in the test's own process: two databases, the admin, and both apps of ours.

Django can be set up once in a process, so all tests share this project; its settings are visible only
inside `project()`, since `Settings.load` would find them in the tests of other modules.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections
from django.utils.functional import empty

_CONTEXT = "django.template.context_processors.request"


def options(folder: Path) -> dict[str, Any]:
    """The project's settings."""
    return {
        "SECRET_KEY": "a test needs no secret",
        "ALLOWED_HOSTS": ["testserver", "localhost", "127.0.0.1"],
        "ROOT_URLCONF": "tools.django_urls",
        "USE_TZ": True,
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "STATIC_URL": "/static/",
        "INSTALLED_APPS": [
            "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
            "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles",
            "vwo_celery.django", "vwo_celery.django.console",
        ],
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        # The tests log in many times; this is the quickest hasher that Django has.
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        _CONTEXT,
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        "DATABASES": {
            alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / alias)}
            for alias in ("default", "other")
        },
    }  # fmt: skip


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
