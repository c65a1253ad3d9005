"""The system checks of the console in Django: its app, its extra, and who comes in."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.test import override_settings

from vwo_celery.django.console import checks as console_checks
from vwo_celery.django.console.checks import check_access


def without(*apps: str) -> list[str]:
    """INSTALLED_APPS without these."""
    return [each for each in django_settings.INSTALLED_APPS if each not in apps]


def ids() -> list[str | None]:
    """The ids of what the system checks find of ours."""
    return [each.id for each in run_checks() if str(each.id).startswith("vwo_celery")]


def test_the_project_passes_the_checks() -> None:
    """Where app, permissions and extra are there, and nobody comes in without a login, all is well."""
    assert ids() == []


def test_a_console_without_its_app_is_an_error() -> None:
    """vwo_celery.E005: URLs lead to the console, and the app that makes its permissions is missing."""
    with override_settings(INSTALLED_APPS=without("vwo_celery.django.console")):
        (found,) = check_access()

    assert found.id == "vwo_celery.E005"
    assert "vwo_celery.django.console" in found.msg


def test_a_console_without_jinja_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """vwo_celery.E006: the extra that renders the pages is not installed."""
    monkeypatch.setattr(console_checks, "find_spec", lambda _: None)

    assert ids() == ["vwo_celery.E006"]


class Generous:
    """Gives everybody every permission."""

    def has_perm(self, user: Any, perm: str, obj: Any = None) -> bool:
        """Always."""
        return True


def test_a_console_for_anybody_is_a_warning() -> None:
    """vwo_celery.W001: a backend lets those see the console who are not logged in."""
    with override_settings(AUTHENTICATION_BACKENDS=[f"{__name__}.Generous"]):
        assert ids() == ["vwo_celery.W001"]


def test_nothing_is_checked_where_there_is_no_console() -> None:
    """A project that only enqueues hears nothing of the console."""
    with override_settings(
        INSTALLED_APPS=without("vwo_celery.django.console"), ROOT_URLCONF="tools.no_urls"
    ):
        assert check_access() == []
