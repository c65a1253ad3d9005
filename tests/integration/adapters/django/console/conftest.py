"""VWO_CELERY leads to the test's own Redis, and a project's Celery app."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import Celery
from django.test import override_settings


@pytest.fixture(autouse=True)
def _our_redis(redis_url: str) -> Iterator[None]:
    """VWO_CELERY leads to the test's own Redis."""
    with override_settings(VWO_CELERY={"redis_url": redis_url}):
        yield


@pytest.fixture
def shop(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a project's Celery app, as VWO_CELERY_APP takes it; its queue is "shop"."""
    app = Celery("shop", broker=redis_url, set_as_current=False)
    app.conf.task_default_queue = "shop"
    monkeypatch.setitem(sys.modules, "shop_of_the_test", SimpleNamespace(app=app))
    return "shop_of_the_test:app"
