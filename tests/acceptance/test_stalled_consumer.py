"""Workers whose consumer gets no tasks: their listeners send, and health names the fault."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest
import redis as redis_py
from celery import Celery

import vwo_celery
from tools.installation import Installation, event
from tools.processes import Process
from tools.waiting import PATIENCE
from vwo_celery import Settings
from vwo_celery.operating.looks.health import health
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.testing import RedisServer
from vwo_celery.testing.standin.faults import Fault

PREFIX = {"global_keyprefix": "broker:"}


@pytest.fixture
def broker(installation: Installation) -> Iterator[RedisServer]:
    """A broker separate from the queues' Redis."""
    with RedisServer() as server:
        installation.env["VWO_CELERY_BROKER_URL"] = server.url
        yield server
        installation.stop()


def last_task_ms(queue: vwo_celery.Queue) -> int:
    """The time of the last task that ran."""
    return producer_of(queue).fleet.signs_ms().get("task", 0)


@pytest.mark.parametrize("pool", ["threads", "gevent"])
def test_events_leave_while_the_broker_is_away(
    installation: Installation, broker: RedisServer, pool: str
) -> None:
    """While the broker is killed and until it is back, the listener sends, by size and by age.

    Under gevent, Celery must let other greenlets run while it reconnects.
    """
    worker = installation.worker(f"--pool={pool}")
    queue = installation.connect(events_per_request=3, request_time_interval=1)
    queue.enqueue_many([event(name) for name in "abc"])
    worker.wait_until(lambda: last_task_ms(queue))

    broker.kill()
    queue.enqueue_many([event(name) for name in "defg"])
    # Shorter than the silence that counts as a stall: the broker's refusal is enough.
    worker.wait_until(lambda: len(installation.delivered()) == 7, 8 / PATIENCE)
    assert producer_of(queue).fleet.signs_ms()["rescue"] > last_task_ms(queue)
    broker.start()
    before = last_task_ms(queue)
    while last_task_ms(queue) == before:
        send_three_more(installation, queue, worker)

    assert set(Counter(installation.delivered()).values()) == {1}
    assert installation.snapshot(queue).balanced


def send_three_more(
    installation: Installation, queue: vwo_celery.Queue, worker: Process
) -> None:  # fmt: skip
    """Deliver a batch of three, whoever sends it."""
    sent = len(installation.delivered())
    queue.enqueue_many([event(f"{sent}-{number}") for number in range(3)])
    worker.wait_until(lambda: len(installation.delivered()) == sent + 3)


def test_a_consumer_that_does_not_come_back(
    installation: Installation, redis: redis_py.Redis
) -> None:
    """If the broker accepts tasks and nobody runs them, the listener sends, and health reports it.

    The listener stops sending as soon as tasks run again.
    """
    worker = installation.worker("--pool=threads")
    queue = installation.connect(events_per_request=3, request_time_interval=600)
    queue.enqueue_many([event(name) for name in "abc"])
    worker.wait_until(lambda: len(installation.delivered()) == 3)
    fleet, settings = Fleet(redis, "vwo"), Settings(sweep_interval_seconds=0.2)
    app = Celery(broker=installation.redis_url, set_as_current=False)
    app.conf.broker_transport_options = PREFIX
    assert app.control.cancel_consumer("celery", reply=True)

    queue.enqueue_many([event(name) for name in "def"])
    worker.wait_until(lambda: len(installation.delivered()) == 6, 40)
    stalled = health(fleet, settings)
    installation.standin.fail(Fault(status=503))
    queue.enqueue_many([event(name) for name in "ghi"])
    worker.wait_until(lambda: len(installation.delivered()) == 9)
    assert app.control.add_consumer("celery", reply=True)
    worker.wait_until(lambda: health(fleet, settings))

    assert not stalled
    assert "1 worker listens, but no worker has run a task for" in str(stalled)
    assert "restart workers that do not come back" in worker.log()
    assert Counter(installation.delivered()) == dict.fromkeys("abcdefghi", 1)
    assert installation.snapshot(queue).balanced
    app.close()


def test_a_paused_queue_is_left_alone(installation: Installation, broker: RedisServer) -> None:
    """A sending listener also leaves a paused queue alone; events of another queue leave."""
    worker = installation.worker("--pool=threads")
    queue = installation.connect(events_per_request=1)
    queue.enqueue(event("a"))
    worker.wait_until(lambda: installation.delivered() == ["a"])
    broker.kill()
    producer_of(queue).shards[0].pause("maintenance")
    queue.enqueue(event("b"))
    other = vwo_celery.connect(
        vwo_celery.Destination(
            account_id=1, sdk_key=installation.destination.sdk_key, generation="legacy",
            base_url=installation.standin.url,
        ),
        redis_url=installation.redis_url,
    )  # fmt: skip

    other.enqueue(event("c"))
    worker.wait_until(lambda: "c" in installation.delivered())

    assert installation.delivered() == ["a", "c"]
    assert installation.snapshot(queue).events("ready") == 1
    producer_of(queue).shards[0].resume()
    worker.wait_until(lambda: "b" in installation.delivered())


@pytest.mark.declared_keys("batch", "ready", "info", "wakeups")
def test_a_listener_that_sends_hands_back(installation: Installation, broker: RedisServer) -> None:
    """A listener that is sending when its worker must stop at once hands the batch back, uncounted."""
    env = {"VWO_CELERY_LEASE_SECONDS": "40"}
    worker = installation.worker("--pool=threads", **env)
    queue = installation.connect(events_per_request=1)
    broker.kill()
    installation.standin.fail(Fault(connection="hang"))
    queue.enqueue(event("a"))
    worker.wait_until(lambda: installation.standin.batches)

    os.kill(worker.pid, signal.SIGQUIT)
    worker.wait(20)

    (batch,) = installation.snapshot(queue).batches
    assert (batch.state, batch.attempt, batch.lost_leases) == ("ready", 0, 0)
