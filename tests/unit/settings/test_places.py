"""The places of settings: which one wins, and when Django is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import LazySettings

from vwo_celery.settings import Settings
from vwo_celery.settings.sources import environment_variable, mistyped_variables

Django = Callable[[Any], None]


def test_arguments_win_over_django_and_django_over_the_environment(
    django: Django, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments override Django, and Django overrides the environment; None counts as not given."""
    for name in ("shards", "max_parallel_sends", "max_lost_leases"):
        monkeypatch.setenv(environment_variable(name), "2")
    django({"shards": 3, "max_parallel_sends": 3, "max_lost_leases": None})

    settings = Settings.load(shards=4, max_parallel_sends=None)

    assert (settings.shards, settings.max_parallel_sends, settings.max_lost_leases) == (4, 3, 2)


@pytest.mark.parametrize("loaded", [True, False])
def test_a_django_that_is_not_configured_is_left_alone(
    loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Django that is installed or imported, but not configured, stays so."""
    if loaded:
        conf = SimpleNamespace(settings=LazySettings())
        monkeypatch.setitem(sys.modules, "django.conf", conf)

    assert Settings.load() == Settings()


def test_a_variable_that_is_nearly_a_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter missing or wrong is a mistake; what a platform or another part of ours sets is none."""
    for name in ("LEASE_SECOND", "REDIS_URI", "APP", "REDIS_SERVER", "RELAY_PORT", "SHARDS"):
        monkeypatch.setenv(f"VWO_CELERY_{name}", "1")
    monkeypatch.setenv("VWO_CELERY_CONSOLE_SERVICE_HOST", "10.0.0.1")

    near = mistyped_variables(Settings.__struct_fields__)

    assert near == {
        "VWO_CELERY_LEASE_SECOND": "VWO_CELERY_LEASE_SECONDS",
        "VWO_CELERY_REDIS_URI": "VWO_CELERY_REDIS_URL",
    }


def test_a_django_without_our_setting_gives_nothing(django: Django) -> None:
    """VWO_CELERY may be None as well as missing."""
    django(None)

    assert Settings.load() == Settings()
