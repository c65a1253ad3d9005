"""Every pool of Celery, with failures of its processes, and messages that Celery delivers twice."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import kombu
import pytest
from celery import Celery

from tools.installation import Installation, event
from tools.processes import Process
from vwo_celery.testing.standin.faults import Fault

NAMES = [f"e{number}" for number in range(10)]
ONCE = dict.fromkeys(NAMES, 1)
#: Short, to let a dead process' lease expire within the test.
LEASES = {"VWO_CELERY_LEASE_SECONDS": "2.5", "VWO_CELERY_REQUEST_TIMEOUT_SECONDS": "2"}


def children(process: Process) -> list[int]:
    """The process ids of a program's children."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


@pytest.mark.parametrize("pool", ["solo", "gevent"])  # covered by the other tests
def test_every_pool_delivers(installation: Installation, pool: str) -> None:
    """Every pool delivers by size and by age without beat, in the expected number of batches."""
    worker = installation.worker(f"--pool={pool}")
    queue = installation.connect(events_per_request=4, request_time_interval=1)

    queue.enqueue_many([event(name) for name in NAMES])

    worker.wait_until(lambda: len(installation.delivered()) == 10)
    assert Counter(installation.delivered()) == ONCE
    assert sorted(len(batch.events) for batch in installation.standin.batches) == [2, 4, 4]


def test_a_child_for_each_task(installation: Installation) -> None:
    """With max-tasks-per-child=1, the next child delivers after each child's end."""
    worker = installation.worker("--max-tasks-per-child=1")
    queue = installation.connect(events_per_request=1)

    for count, name in enumerate(NAMES[:4], start=1):
        queue.enqueue(event(name))
        worker.wait_until(lambda count=count: len(installation.reports("delivered")) == count)

    assert Counter(installation.delivered()) == dict.fromkeys(NAMES[:4], 1)
    assert len({report["pid"] for report in installation.reports("delivered")}) > 1


def test_a_child_that_is_killed(installation: Installation) -> None:
    """The batch of a child killed by the kernel for its memory is reclaimed when its lease expires.

    Celery replaces the child, and the same worker sends the same batch; one lost lease is counted.
    """
    installation.standin.fail(Fault(connection="hang"), Fault(delay_seconds=1))
    worker = installation.worker("--pool=prefork", **LEASES)
    queue = installation.connect(events_per_request=10, request_time_interval=60)
    queue.enqueue_many([event(name) for name in NAMES])
    worker.wait_until(lambda: installation.standin.batches)

    for pid in children(worker):
        os.kill(pid, signal.SIGKILL)

    def held() -> list[tuple[str, int, int]]:
        batches = installation.snapshot(queue).batches
        return [(each.state, each.attempt, each.lost_leases) for each in batches]

    assert held() == [("in_flight", 1, 0)]
    worker.wait_until(lambda: held() == [("in_flight", 2, 1)])
    worker.wait_until(lambda: installation.snapshot(queue).delivered == 10)
    assert Counter(installation.delivered()) == ONCE


def test_a_late_worker_settles_nothing(installation: Installation) -> None:
    """A worker that was stopped beyond the end of its lease finds that another one has the batch."""
    installation.standin.fail(Fault(connection="hang"))
    late = installation.worker("--pool=solo", name="late", **LEASES)
    queue = installation.connect(events_per_request=10, request_time_interval=60)
    queue.enqueue_many([event(name) for name in NAMES])
    late.wait_until(lambda: installation.standin.batches)
    os.killpg(late.pid, signal.SIGSTOP)
    other = installation.worker("--pool=solo", name="other", **LEASES)
    other.wait_until(lambda: installation.snapshot(queue).delivered == 10)

    os.killpg(late.pid, signal.SIGCONT)
    late.wait_until(lambda: "vwo_celery.deliver" in late.log() and "succeeded" in late.log())

    snapshot = installation.snapshot(queue)
    assert (snapshot.delivered, snapshot.batches) == (10, ())
    assert snapshot.balanced
    assert Counter(installation.delivered()) == ONCE
    assert installation.reports("dead_lettered") == []


def test_messages_that_come_twice(installation: Installation) -> None:
    """A task that Celery delivers again while its first run still sends claims nothing.

    Tested with acks_late and a visibility timeout shorter than a POST, and with messages that are
    published a second time.
    """
    options = {"global_keyprefix": "broker:", "visibility_timeout": 1, "unacked_restore_interval": 0.3,
               "unacked_restore_throttle": 1}  # fmt: skip
    late = {"vwo_celery.deliver": {"acks_late": True}}  # by its name, since ours are not by default
    celery = json.dumps({"task_annotations": late, "broker_transport_options": options})
    worker = installation.worker("--concurrency=3", CELERY=celery)
    queue = installation.connect(events_per_request=10, request_time_interval=60)
    app = Celery(broker=installation.redis_url, set_as_current=False)
    app.conf.broker_transport_options = options
    enqueued: list[str] = []

    def send_a_batch() -> bool:
        """Send a batch while messages come; whether Celery, if it was in time, delivered any again."""
        names = [f"{len(enqueued)}-{name}" for name in NAMES]
        enqueued.extend(names)
        installation.standin.fail(Fault(delay_seconds=4))
        queue.enqueue_many([event(name) for name in names])
        worker.wait_until(lambda: installation.most_in_flight(queue, 1))
        for _ in range(5):
            app.send_task("vwo_celery.deliver", args=(queue.name, 0, ""))
        worker.wait_until(lambda: installation.snapshot(queue).delivered == len(enqueued))
        # Older releases look for messages to restore only every ten seconds.
        return kombu.VERSION < (5, 7) or bool(redelivered(worker))

    worker.wait_until(send_a_batch, what="a message that Celery delivers again")

    assert Counter(installation.delivered()) == dict.fromkeys(enqueued, 1)
    assert len(installation.standin.batches) == len(enqueued) / 10
    app.close()


def redelivered(worker: Process) -> list[str]:
    """The ids of the tasks that the worker received more than once."""
    lines = [line for line in worker.log().splitlines() if line.endswith("received")]
    received = Counter(line.partition("[")[2].partition("[")[2] for line in lines)
    return [task for task, times in received.items() if times > 1]
