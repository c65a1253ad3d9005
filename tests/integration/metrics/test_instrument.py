"""`vwo_celery.metrics.instrument`: what an application's own process measures of its calls."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

import vwo_celery
from tools.queue_states import KEY, Queues
from vwo_celery import aio
from vwo_celery.errors import QueueFull
from vwo_celery.metrics import instrument
from vwo_celery.producing import watching

pytestmark = pytest.mark.declared_keys(
    "watched", "open", "batch", "wakeups", "slots", "ready", "info"
)

DESTINATION = vwo_celery.Destination(account_id=1, sdk_key=KEY, generation="fme")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """A registry that is told of this test's calls alone."""
    monkeypatch.setattr(watching, "_watchers", [])
    made = CollectorRegistry()
    instrument(made)
    return made


def enqueued(registry: CollectorRegistry, result: str) -> float | None:
    """Events with that result."""
    return registry.get_sample_value("vwo_celery_enqueued_total", {"result": result})


def calls(registry: CollectorRegistry, result: str) -> float | None:
    """Calls with that result."""
    name = "vwo_celery_enqueue_duration_seconds_count"
    return registry.get_sample_value(name, {"result": result})


def test_each_call_is_measured_and_each_event_counted(
    registry: CollectorRegistry, queues: Queues
) -> None:
    """One observation a call, by the worst that became of its events; each event by its own result."""
    queue = queues.add()

    queue.enqueue({"n": 1})
    queue.enqueue_many([{"n": 2}, {"n": object()}, {"n": 3}])

    assert enqueued(registry, "redis") == 3
    assert enqueued(registry, "dropped") == 1
    assert (calls(registry, "redis"), calls(registry, "dropped")) == (1, 1)


def test_spooled_events_are_told(registry: CollectorRegistry) -> None:
    """Events that wait on this host's disk are counted as that."""
    queue = vwo_celery.connect(DESTINATION, redis_url="redis://127.0.0.1:9")

    assert queue.enqueue({"n": 1}).where == "spooled"

    assert enqueued(registry, "spooled") == 1


def test_asyncio_is_measured_too(registry: CollectorRegistry, redis_url: str) -> None:
    """Awaits count like calls."""

    async def run() -> None:
        queue = aio.connect(DESTINATION, redis_url=redis_url)
        await queue.enqueue({"n": 1})
        await queue.enqueue_many([{"n": 2}, {"n": 3}])
        await queue.aclose()

    asyncio.run(run())

    assert enqueued(registry, "redis") == 3
    assert calls(registry, "redis") == 2


def test_a_full_queue_counts_as_dropped(registry: CollectorRegistry, redis_url: str) -> None:
    """With when_full="raise" the exception passes, and its events are counted."""
    queue = vwo_celery.connect(
        DESTINATION, batch_event_data={"events_per_request": 5, "request_time_interval": 60},
        redis_url=redis_url, max_queue_events=1, when_full="raise", spool_dir="",
    )  # fmt: skip
    queue.enqueue({"n": 1})

    with pytest.raises(QueueFull):
        queue.enqueue({"n": 2})

    assert enqueued(registry, "dropped") == 1


def test_a_second_call_for_a_registry_does_nothing(
    registry: CollectorRegistry, queues: Queues
) -> None:
    """An application that sets itself up twice counts each event once."""
    instrument(registry)

    queues.add().enqueue({"n": 1})

    assert enqueued(registry, "redis") == 1


def test_a_watcher_that_raises_reaches_no_request(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever measuring does, the event is stored and the call answers."""
    monkeypatch.setattr(watching, "_watchers", [lambda receipts, seconds: 1 / 0])

    assert queues.add().enqueue({"n": 1}).where == "redis"


def test_a_web_process_that_only_enqueues_imports_none_of_it() -> None:
    """Without a call of `instrument`, neither metrics nor prometheus-client are loaded."""
    code = (
        "import sys, vwo_celery; from vwo_celery.producing.queue import connect\n"
        "print([m for m in sys.modules if m.startswith(('vwo_celery.metrics', 'prometheus_client',"
        " 'vwo_celery.otel', 'vwo_celery.operating'))])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
