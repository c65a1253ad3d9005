"""Projects whose own Celery settings, apps and tasks must not disturb the delivery."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest
from celery import Celery

from tools.installation import Installation, event
from tools.waiting import wait_until
from vwo_celery.testing import RedisServer
from vwo_celery.testing.standin.faults import Fault

NAMES = [f"e{number}" for number in range(10)]
ONCE = dict.fromkeys(NAMES, 1)


def send(installation: Installation, task: str, count: int = 1) -> None:
    """Send a task of the project's own."""
    app = Celery(broker=installation.redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": "broker:"}
    for _ in range(count):
        app.send_task(task)
    app.close()


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_an_app_that_a_task_makes(installation: Installation, pool: str) -> None:
    """After a task of the project has made another app the current one, ours run with their own."""
    installation.app = "project_app"
    worker = installation.worker(f"--pool={pool}")
    send(installation, "project.make_an_app", 4)
    worker.wait_until(lambda: worker.log().count("project.make_an_app[") == 8)
    queue = installation.connect(events_per_request=1)

    for name in NAMES:
        queue.enqueue(event(name))

    worker.wait_until(lambda: len(installation.delivered()) == 10)
    assert Counter(installation.delivered()) == ONCE
    assert not installation.snapshot(queue).paused
    assert installation.reports("paused") == []


@pytest.mark.parametrize("arguments", [(), ("--time-limit=1", "--soft-time-limit=1")])
def test_time_limits_of_the_project(installation: Installation, arguments: tuple[str, ...]) -> None:
    """A time limit for all tasks that is shorter than a POST does not cut it off."""
    limits = {
        "task_time_limit": 1, "task_soft_time_limit": 1,
        "task_annotations": {"*": {"time_limit": 1, "rate_limit": "1/h"}},
    }  # fmt: skip
    installation.standin.fail(Fault(delay_seconds=3))
    worker = installation.worker(
        "--pool=prefork", *arguments, CELERY=json.dumps({} if arguments else limits)
    )
    queue = installation.connect(events_per_request=5)

    queue.enqueue_many([event(name) for name in NAMES])

    worker.wait_until(lambda: installation.snapshot(queue).delivered == 10)
    assert Counter(installation.delivered()) == ONCE
    assert "TimeLimitExceeded" not in worker.log()


def test_a_soft_time_limit_hands_the_batch_back(installation: Installation) -> None:
    """A delivery that hangs is interrupted; its batch is sent again at once, and no attempt counted."""
    installation.app = "project_app"
    installation.standin.fail(Fault(connection="hang"))
    worker = installation.worker("--pool=prefork", SOFT_LIMIT="2")
    queue = installation.connect(events_per_request=10)

    queue.enqueue_many([event(name) for name in NAMES])

    worker.wait_until(lambda: installation.reports("delivered"), 15)
    assert "Soft time limit (2s) exceeded" in worker.log()
    assert installation.snapshot(queue).delivered == 10
    assert installation.reports("released") == []
    assert [report["attempt"] for report in installation.reports("delivered")] == [1]


def test_a_project_that_accepts_only_pickle(installation: Installation) -> None:
    """In an app that accepts no JSON, our messages have the app's own serializer."""
    pickling = {"accept_content": ["pickle"], "task_serializer": "pickle"}
    worker = installation.worker(CELERY=json.dumps(pickling), C_FORCE_ROOT="1")
    queue = installation.connect(events_per_request=1)

    for name in NAMES:
        queue.enqueue(event(name))

    worker.wait_until(lambda: len(installation.delivered()) == 10)
    assert Counter(installation.delivered()) == ONCE
    assert "vwo_celery.deliver" in worker.log()
    assert "Refusing to deserialize" not in worker.log()


@pytest.mark.declared_keys("wakeups")
def test_beat_alone_has_everything_delivered(installation: Installation) -> None:
    """Without a listener, beat's sweeps find what is old enough and what is full; nobody logs them."""
    installation.app = "project_app"
    worker = installation.worker(LISTENER="no")
    beat = installation.beat()
    queue = installation.connect(events_per_request=8, request_time_interval=1)

    for name in NAMES:
        queue.enqueue(event(name))
    worker.wait_until(lambda: len(installation.delivered()) == 10, 45)

    assert Counter(installation.delivered()) == ONCE
    assert "beat: Starting" in beat.log()
    assert "sweep" not in beat.log()
    assert "sweep[" not in worker.log()
    assert "vwo_celery.deliver[" in worker.log()


@pytest.mark.parametrize("same_redis", [True, False], ids=["two namespaces", "two Redis servers"])
def test_two_fleets_share_a_celery_queue(installation: Installation, same_redis: bool) -> None:
    """A task message that reaches a worker of another fleet is passed on, and the worker says so."""
    quietly = {
        "VWO_CELERY_SWEEP_INTERVAL_SECONDS": "60",
        "VWO_CELERY_BROKER_URL": installation.redis_url,
    }
    with RedisServer() as server:
        other = Installation(
            installation.redis_url if same_redis else server.url,
            installation.standin,
            installation.folder,
        )
        settings = {"namespace": "staging"} if same_redis else {}
        other.env |= {f"VWO_CELERY_{name.upper()}": value for name, value in settings.items()}
        if not same_redis:  # in one namespace, a queue that both know cannot be told apart
            other.destination = msgspec.structs.replace(other.destination, account_id=1)
        workers = [
            installation.worker("--hostname=ours@here", **quietly),
            other.worker("--hostname=theirs@here", name="theirs", **quietly),
        ]
        queues = [
            installation.connect(events_per_request=1),
            other.connect_with(settings, events_per_request=1),
        ]

        stored = 0

        def is_noticed() -> bool:
            nonlocal stored
            for owner, queue in zip("ab", queues, strict=True):
                queue.enqueue(event(f"{owner}{stored}"))
                stored += 1
            return any("give each a celery_queue of its own" in each.log() for each in workers)

        # Who meets whose message is chance.
        wait_until(
            is_noticed, 20, what="a worker that meets the other's message", every_seconds=0.1
        )
        workers[0].wait_until(lambda: len(installation.delivered()) == stored)

        assert set(Counter(installation.delivered()).values()) == {1}
        logs = [worker.log() for worker in workers]
        assert not any("Traceback" in log for log in logs)
        other.stop()
