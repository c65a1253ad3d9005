"""The settings of a Django project with its admin, both apps of ours, and two databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_CONTEXT = "django.template.context_processors.request"


def options(folder: Path) -> dict[str, Any]:
    """The settings, with the databases in a folder."""
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
