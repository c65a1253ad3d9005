"""Celery's broker is RabbitMQ: killed, frozen, out of memory, with classic and quorum queues.

Left out where the machine has no RabbitMQ server; the head of pytest's report says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.installation import Installation, event
from tools.rabbit import RabbitMQ
from tools.waiting import wait_until
from vwo_celery.celery.broker.facts import look_at_broker
from vwo_celery.receipts import IN_REDIS
from vwo_celery.settings import Settings
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups")
_DELIVERY_SECONDS = 60.0


@contextmanager
def killed(broker: RabbitMQ) -> Iterator[None]:
    """SIGKILL, and a restart."""
    broker.kill()
    yield
    broker.start()


@contextmanager
def frozen(broker: RabbitMQ) -> Iterator[None]:
    """SIGSTOP: connections stay open."""
    broker.pause()
    yield
    broker.resume()


@contextmanager
def out_of_memory(broker: RabbitMQ) -> Iterator[None]:
    """The alarm on memory: it takes no message."""
    broker.alarm(on=True)
    yield
    broker.alarm(on=False)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_events_leave_whatever_happens_to_rabbitmq(
    redis_url: str, standin: Standin, tmp_path: Path, queue_type: str
) -> None:
    """Events enqueued before, during and after each fault of the broker are each delivered once."""
    settings = {"task_default_queue_type": queue_type, "broker_heartbeat": 5}
    if queue_type == "quorum":
        settings["worker_detect_quorum_queues"] = True
    with RabbitMQ(tmp_path) as broker:
        installation = Installation(redis_url, standin, tmp_path)
        try:
            _deliver_through(installation, broker, json.dumps(settings))
        finally:
            installation.stop()


def _deliver_through(installation: Installation, broker: RabbitMQ, settings: str) -> None:
    installation.env |= {"VWO_CELERY_BROKER_URL": broker.url, "CELERY": settings}
    queue = installation.connect(events_per_request=2, request_time_interval=1)
    names: list[str] = []

    def send(stage: str) -> None:
        for n in range(5):
            names.append(f"{stage} {n}")
            assert queue.enqueue(event(names[-1])) == IN_REDIS
        wait_until(lambda: set(names) <= set(installation.delivered()), _DELIVERY_SECONDS)

    worker = installation.worker()
    send("before")
    with out_of_memory(broker):
        facts = look_at_broker(Settings(redis_url=installation.redis_url, broker_url=broker.url))
        assert facts.blocked, "the doctor does not take it for workers that do not answer"
        send("out of memory")
    send("after the alarm")
    for fault in (frozen, killed):
        with fault(broker):
            send(f"while {fault.__name__}")
        # kombu may end a worker whose broker dies; a supervisor restarts it
        if worker.exit_code is not None:
            worker = installation.worker(name=f"restarted-{fault.__name__}")
        send(f"after {fault.__name__}")

    assert sorted(installation.delivered()) == sorted(names)
    assert installation.snapshot(queue).balanced
