"""A configured Django, and queues for it in the test's own Redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis as redis_py
from django.db import connections

import vwo_celery
from tools.django_project import project
from vwo_celery.producing.queue import producer_of
from vwo_celery.settings import Settings
from vwo_celery.settings.sources import environment_variable

DESTINATION = vwo_celery.Destination(account_id=888888, sdk_key="b" * 32, generation="fme")
#: Generous, since a test must not fail because the machine is busy.
PATIENTLY = {"enqueue_timeout_seconds": 10.0}
Connect = Callable[..., vwo_celery.Queue]


@pytest.fixture(scope="module", autouse=True)
def _project() -> Iterator[None]:
    """A configured Django with two databases, invisible to the tests of other modules."""
    with project():
        yield


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of ours before a test, and no open database connection after it."""
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(environment_variable(name), raising=False)
    yield
    connections.close_all()


@pytest.fixture
def connect(redis_url: str) -> Connect:
    """Open a queue with optional settings."""

    def open_queue(**settings: Any) -> vwo_celery.Queue:
        settings = {"redis_url": redis_url, **PATIENTLY, **settings}
        return vwo_celery.connect(DESTINATION, batch_event_data={}, **settings)

    return open_queue


@pytest.fixture
def queue(redis_url: str) -> vwo_celery.Queue:
    """A queue whose batches do not get full."""
    return vwo_celery.connect(
        DESTINATION,
        batch_event_data={"events_per_request": 1000},
        redis_url=redis_url,
        **PATIENTLY,  # type: ignore[arg-type]
    )


@pytest.fixture
def stored(
    redis: redis_py.Redis, queue: vwo_celery.Queue, declared_keys: Any
) -> Callable[[], list[str]]:
    """The names of the events in the queue, oldest first."""
    declared_keys("open", "watched")

    def names() -> list[str]:
        texts: Any = redis.lrange(producer_of(queue).shards[0].keys.open, 0, -1)
        return [json.loads(text)["name"] for text in reversed(texts)]

    return names
