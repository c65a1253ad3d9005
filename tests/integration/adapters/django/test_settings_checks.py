"""The system checks of VWO_CELERY: each mistake is one error, and what is right passes."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import Error, run_checks
from django.test import override_settings

from vwo_celery.django.checks import check_settings


def errors_of(options: Any) -> list[Error]:
    """The errors of the system checks for one VWO_CELERY."""
    with override_settings(VWO_CELERY=options):
        return check_settings()


def test_without_vwo_celery_nothing_is_wrong() -> None:
    """VWO_CELERY may be missing, None or empty, since every setting has a default."""
    assert not hasattr(django_settings, "VWO_CELERY")

    assert check_settings() == []
    assert errors_of(None) == []
    assert errors_of({}) == []


def test_right_settings_pass() -> None:
    """Right settings pass: names in lower or upper case, values in range, None for the default."""
    options = {"redis_url": "redis://h/1", "LEASE_SECONDS": 90, "shards": None}

    assert errors_of(options) == []


@pytest.mark.parametrize(
    ("options", "number", "named"),
    [
        (["redis_url"], "E001", ["VWO_CELERY", "list"]),
        ("redis://:hunter2@h", "E001", ["VWO_CELERY", "str"]),
        ({"redis_ulr": "redis://h"}, "E002", ["redis_ulr", "did you mean 'redis_url'"]),
        ({7: 7}, "E002", ["7"]),
        ({"shards": 2, "SHARDS": 3}, "E002", ["shards", "twice"]),
        ({"shards": 65}, "E003", ["shards", "from 1 to 64", "65"]),
        ({"shards": "2"}, "E003", ["shards", "'2'"]),
        ({"redis_url": "http://:hunter2@h"}, "E003", ["redis_url", "redis://", "http://"]),
        ({"when_full": "explode"}, "E003", ["when_full", "drop_newest", "explode"]),
        ({"lease_seconds": 10}, "E004", ["lease_seconds", "request_timeout_seconds", "10"]),
    ],
)
def test_a_mistake_is_one_error(options: Any, number: str, named: list[str]) -> None:
    """A mistake is one error with setting, range, given value and remedy, without a password."""
    (error,) = errors_of(options)

    assert error.id == f"vwo_celery.{number}"
    assert all(word in error.msg for word in named), error.msg
    assert error.hint
    assert "hunter2" not in f"{error.msg}{error.hint}"


def test_each_mistake_has_an_error_of_its_own() -> None:
    """Each mistake has its own error: one run of the checks finds them all."""
    errors = errors_of({"shards": 0, "no_such": 1, "LEASE_SECONDS": "long", "namespace": "fine"})

    assert [error.id for error in errors] == [f"vwo_celery.E00{n}" for n in (3, 2, 3)]


def test_variables_are_checked_unless_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong VWO_CELERY_… variable is an error that names it, unless VWO_CELERY overrides it."""
    monkeypatch.setenv("VWO_CELERY_SHARDS", "many")

    (error,) = errors_of({})

    assert error.id == "vwo_celery.E003"
    assert "VWO_CELERY_SHARDS" in error.msg
    assert errors_of({"SHARDS": 4}) == []
    assert errors_of({"shards": None}) != []


def test_the_app_registers_the_checks() -> None:
    """The app registers its checks with Django, as for `manage.py check`."""
    with override_settings(VWO_CELERY={"shards": 0}):
        found = [message.id for message in run_checks()]

    assert "vwo_celery.E003" in found
