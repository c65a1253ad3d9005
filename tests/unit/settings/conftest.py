"""No setting is set anywhere, and the home is known; a Django that can be configured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import LazySettings

from vwo_celery.settings import Settings
from vwo_celery.settings.sources import environment_variable


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours, no Django, and a known home."""
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(environment_variable(name), raising=False)
    monkeypatch.delitem(sys.modules, "django.conf", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


Django = Callable[[Any], None]


@pytest.fixture
def django(monkeypatch: pytest.MonkeyPatch) -> Iterator[Django]:
    """Configure Django with the given VWO_CELERY."""

    def configure(options: Any) -> None:
        settings = LazySettings()
        settings.configure(VWO_CELERY=options)
        monkeypatch.setitem(sys.modules, "django.conf", SimpleNamespace(settings=settings))

    return configure  # type: ignore[return-value]
