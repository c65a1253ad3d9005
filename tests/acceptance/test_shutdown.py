"""A stopping worker finishes its batch or hands it back, without counting an attempt."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter

import pytest

import vwo_celery
from tools.installation import Installation, event
from tools.processes import Process
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing.standin.faults import Fault

NAMES = [f"e{number}" for number in range(10)]
#: Long enough that no lease expires in these tests.
LEASES = {"VWO_CELERY_LEASE_SECONDS": "40", "VWO_CELERY_REQUEST_TIMEOUT_SECONDS": "20"}
POOLS = ["prefork", "threads", "solo", "gevent"]

#: Declared keys: a batch that was handed back stays if the test starts no other worker.
pytestmark = pytest.mark.declared_keys("batch", "ready", "info", "wakeups")


def start_post(installation: Installation, fault: Fault, *arguments: str, **env: str) -> tuple[
    Process, vwo_celery.Queue
]:  # fmt: skip
    """A worker in the middle of a POST, which VWO answers with *fault*."""
    installation.standin.fail(fault)
    worker = installation.worker(*arguments, name="first", **LEASES, **env)
    queue = installation.connect(events_per_request=10, request_time_interval=600)
    queue.enqueue_many([event(name) for name in NAMES])
    # The stand-in records a delayed answer when it sends it.
    arrived = fault.connection and (lambda: installation.standin.batches)
    worker.wait_until(arrived or (lambda: installation.most_in_flight(queue, 1)))
    return worker, queue


def handed_back(installation: Installation, queue: vwo_celery.Queue) -> bool:
    """Whether the only batch is ready as if it had never been claimed."""
    batches = installation.snapshot(queue).batches
    return [(each.state, each.attempt, each.lost_leases) for each in batches] == [("ready", 0, 0)]


@pytest.mark.parametrize("pool", POOLS)
def test_a_warm_shutdown_finishes_the_post(installation: Installation, pool: str) -> None:
    """SIGTERM: the batch that is being sent is finished and settled once."""
    worker, queue = start_post(installation, Fault(delay_seconds=1.5), f"--pool={pool}")

    os.kill(worker.pid, signal.SIGTERM)

    assert worker.wait(45) == 0
    snapshot = installation.snapshot(queue)
    assert (snapshot.delivered, snapshot.batches) == (10, ())
    assert Counter(installation.delivered()) == dict.fromkeys(NAMES, 1)
    assert len(installation.standin.batches) == 1


@pytest.mark.parametrize("pool", ["prefork", "solo", "gevent"])
def test_a_cold_shutdown_hands_the_batch_back(installation: Installation, pool: str) -> None:
    """SIGQUIT: the lease is handed back at once, and the next worker's attempt is the first."""
    worker, queue = start_post(installation, Fault(connection="hang"), f"--pool={pool}")

    os.kill(worker.pid, signal.SIGQUIT)

    wait_until(lambda: handed_back(installation, queue), 10)
    worker.wait(45)
    # With such rare sweeps, a worker that starts slowly is not taken for one that runs no task.
    rare = {"VWO_CELERY_SWEEP_INTERVAL_SECONDS": "20"}
    installation.worker("--pool=threads", name="second", **LEASES, **rare)
    wait_until(lambda: installation.snapshot(queue).delivered == 10, 20)
    (report,) = wait_until(lambda: installation.reports("delivered"), 5)
    assert report["attempt"] == 1
    assert "rescue" not in producer_of(queue).fleet.signs_ms(), "no task came by itself"
    assert Counter(installation.delivered()) == dict.fromkeys(NAMES, 1)
    assert installation.snapshot(queue).balanced


def test_a_cold_shutdown_waits_for_threads(installation: Installation) -> None:
    """Threads cannot be ended from outside: the pool threads finishes its POST even after SIGQUIT."""
    worker, queue = start_post(installation, Fault(delay_seconds=1.5), "--pool=threads")

    os.kill(worker.pid, signal.SIGQUIT)

    worker.wait(45)
    assert installation.snapshot(queue).delivered == 10
    assert Counter(installation.delivered()) == dict.fromkeys(NAMES, 1)


def test_a_child_that_is_told_to_stop_hands_its_batch_back(installation: Installation) -> None:
    """SIGTERM to all processes of a worker, systemd's default, hands the batch back."""
    worker, queue = start_post(installation, Fault(connection="hang"), "--pool=prefork")

    os.killpg(worker.pid, signal.SIGTERM)

    wait_until(lambda: handed_back(installation, queue), 10)
    worker.wait(45)


def test_sigterm_may_stand_for_sigquit(installation: Installation) -> None:
    """With Celery's REMAP_SIGTERM=SIGQUIT, the SIGTERM of Kubernetes hands the batch back."""
    worker, queue = start_post(
        installation, Fault(connection="hang"), "--pool=prefork", REMAP_SIGTERM="SIGQUIT"
    )

    os.kill(worker.pid, signal.SIGTERM)

    wait_until(lambda: handed_back(installation, queue), 10)
    worker.wait(45)


@pytest.mark.parametrize(
    ("how", "celery"),
    [(signal.SIGTERM, {}), (signal.SIGQUIT, {"worker_soft_shutdown_timeout": 4})],
    ids=["warm", "soft"],
)
def test_a_stopping_worker_claims_nothing_more(
    installation: Installation, how: signal.Signals, celery: dict[str, int]
) -> None:
    """A stopping worker, also in a soft shutdown, finishes its batch and leaves the backlog untouched."""
    installation.standin.fail(*[Fault(delay_seconds=0.5)] * 100)
    worker = installation.worker(**LEASES, CELERY=json.dumps(celery))
    queue = installation.connect(events_per_request=1)
    queue.enqueue_many([event(f"e{number}") for number in range(60)])
    worker.wait_until(lambda: len(installation.standin.batches) >= 2)

    os.kill(worker.pid, how)

    worker.wait(45)
    snapshot = installation.snapshot(queue)
    assert {(each.state, each.attempt) for each in snapshot.batches} == {("ready", 0)}
    assert 2 <= snapshot.delivered < 30
    assert snapshot.delivered == len(installation.standin.batches)
    assert snapshot.balanced
