"""Batches that VWO does not accept, with real workers: how they are settled and reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tools.installation import Installation, event
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.testing import Standin
from vwo_celery.testing.standin.rules import Request

NAMES = ["a", "b", "c"]
#: Declared keys of a queue whose batch stays.
KEPT = ("ready", "info", "batch")


@pytest.fixture
def standin(request: pytest.FixtureRequest) -> Iterator[Standin]:
    """VWO; the test's parameter is the answer to every batch that has event "d"."""
    refusal = getattr(request, "param", None)

    def judge(asked: Request) -> int | None:
        return refusal if "d" in [each["u"] for each in asked.events] else None

    with Standin(faults=judge) as running:
        yield running


def _enqueue(installation: Installation, **batch: Any) -> Any:
    queue = installation.connect(events_per_request=3, request_time_interval=60, **batch)
    queue.enqueue_many([event(name) for name in NAMES])
    return queue


def test_an_outage_is_waited_for(installation: Installation) -> None:
    """5xx, resets and late answers release the batch; it is sent again until VWO accepts it."""
    installation.standin.fail(503, "reset", 500, 429)
    installation.worker()
    queue = _enqueue(installation)

    wait_until(lambda: installation.snapshot(queue).delivered == 3, 30)

    assert Counter(installation.delivered()) == dict.fromkeys(NAMES, 1)
    (delivered,) = wait_until(lambda: installation.reports("delivered"))
    released = wait_until(lambda: len(told := installation.reports("released")) >= 4 and told)
    assert sorted(report["attempt"] for report in released) == [1, 2, 3, 4]
    assert delivered["attempt"] == 5
    assert installation.snapshot(queue).balanced


def test_what_vwo_never_takes_is_dead_lettered_by_age(installation: Installation) -> None:
    """A batch has attempts for max_batch_age_seconds, and is then dead until the operator redrives it."""
    installation.standin.fail(*[500] * 20)
    installation.worker(VWO_CELERY_MAX_BATCH_AGE_SECONDS="2")
    queue = _enqueue(installation)

    wait_until(lambda: installation.snapshot(queue).events("dead") == 3, 30)

    snapshot = installation.snapshot(queue)
    assert snapshot.balanced
    assert len(installation.reports("released")) >= 1
    (dead,) = wait_until(lambda: installation.reports("dead_lettered"), 5)
    installation.standin.heal()
    assert producer_of(queue).shards[0].redrive(dead["batch"]) == 3
    assert queue.flush_events(10)
    assert Counter(installation.delivered()) == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_a_refused_destination_is_paused(installation: Installation, status: int) -> None:
    """An answer that only new configuration can fix pauses the queue and loses nothing."""
    installation.standin.fail(status)
    installation.worker()
    queue = _enqueue(installation)

    wait_until(lambda: installation.reports("paused"), 20)

    snapshot = installation.snapshot(queue)
    assert str(status) in snapshot.paused
    assert (snapshot.counted_events, snapshot.balanced) == (3, True)
    result = queue.flush_events(0.3)
    assert not result
    assert "paused" in result.reason
    assert producer_of(queue).shards[0].resume()
    assert queue.flush_events(10)
    assert Counter(installation.delivered()) == dict.fromkeys(NAMES, 1)


@pytest.mark.declared_keys(*KEPT)
def test_400_before_the_first_success_is_configuration(installation: Installation) -> None:
    """A queue that never delivered is paused by a 400, which VWO also answers to an unknown account."""
    installation.standin.fail(400)
    installation.worker()
    queue = _enqueue(installation)

    wait_until(lambda: installation.reports("paused"), 20)

    assert installation.snapshot(queue).counted_events == 3


@pytest.mark.parametrize(("standin", "status"), [(400, 400), (422, 422)], indirect=["standin"])
def test_only_what_vwo_rejects_is_dead_lettered(installation: Installation, status: int) -> None:
    """After a success, a refused batch is searched: its poison is dead, everything else is delivered."""
    installation.worker()
    queue = _enqueue(installation)
    wait_until(lambda: installation.snapshot(queue).delivered == 3, 20)

    queue.enqueue_many([event(name) for name in "def"])
    queue.enqueue_many([event(name) for name in "ghi"])

    wait_until(lambda: installation.snapshot(queue).delivered == 8, 20)
    assert Counter(installation.delivered()) == dict.fromkeys("abcefghi", 1)
    (report,) = wait_until(lambda: installation.reports("dead_lettered"), 5)
    assert str(status) in report["error"]
    (dead,) = [each.id for each in installation.snapshot(queue).batches]
    assert producer_of(queue).shards[0].purge(dead) == 1
    snapshot = installation.snapshot(queue)
    assert snapshot.dropped == {"purged": 1}
    assert snapshot.balanced


def test_a_batch_that_is_too_large_leaves_in_parts(installation: Installation) -> None:
    """A 413 halves the batch; workers split later ones before they send them."""
    installation.standin.fail(413)
    installation.worker()
    queue = _enqueue(installation)

    wait_until(lambda: installation.snapshot(queue).delivered == 3, 20)
    queue.enqueue_many([event(name) for name in "def"])
    wait_until(lambda: installation.snapshot(queue).delivered == 6, 20)

    assert Counter(installation.delivered()) == dict.fromkeys("abcdef", 1)
    assert [each.status for each in installation.standin.requests].count(413) == 1
    assert installation.snapshot(queue).balanced


@pytest.mark.declared_keys(*KEPT, "declined", "declined_queues")
def test_a_host_that_is_not_allowed_gets_nothing(installation: Installation) -> None:
    """A host that is not allowed gets nothing: a registration in Redis cannot redirect a worker."""
    worker = installation.worker(VWO_CELERY_ALLOWED_HOSTS="")
    queue = _enqueue(installation)

    worker.wait_for_log("no worker that listens sends queue")

    worker.wait_for_log("allowed_hosts")
    assert installation.snapshot(queue).pending == 3
    assert installation.standin.requests == []


def test_the_callback_is_told_of_every_try(installation: Installation) -> None:
    """flush_callback(error, events) runs in the worker once an attempt; error is None only on success."""
    installation.standin.fail(503)
    worker = installation.worker()
    queue = _enqueue(installation, flush_callback="delivery_app:note_flush")

    wait_until(lambda: len(installation.reports("callback")) == 2, 20)

    # The worker's children log separately, and the second may be the first to log.
    told = installation.reports("callback")
    (refusal,) = (each for each in told if each["error"] is not None)
    (success,) = (each for each in told if each["error"] is None)
    assert "503" in refusal["error"]
    assert [each["u"] for each in success["events"]] == NAMES
    assert success["pid"] != worker.pid
    assert installation.snapshot(queue).delivered == 3


def test_receivers_and_callbacks_that_raise_change_nothing(installation: Installation) -> None:
    """Exceptions of receivers and callbacks are logged and counted; each event is delivered once."""
    worker = installation.worker(RECEIVERS_RAISE="1")
    queue = _enqueue(installation, flush_callback="delivery_app:raise_flush")

    wait_until(lambda: installation.reports("callback"), 20)
    wait_until(lambda: _receiver_errors(queue) == 2, 10)

    assert Counter(installation.delivered()) == dict.fromkeys(NAMES, 1)
    worker.wait_for_log("the callback's own fault")
    worker.wait_for_log("the receiver's own fault")


def _receiver_errors(queue: Any) -> int:
    producer = producer_of(queue)
    return int(producer.fleet.client.hget(producer.shards[0].keys.meta, "receiver_errors") or 0)


@pytest.mark.declared_keys("declined", "declined_queues")
def test_a_callback_outside_callback_modules_is_not_imported(installation: Installation) -> None:
    """A callback outside callback_modules is not imported; the log names the setting."""
    worker = installation.worker()
    queue = _enqueue(installation, flush_callback="os:system")

    wait_until(lambda: installation.snapshot(queue).delivered == 3, 20)

    worker.wait_for_log("callback_modules")


def test_results_reach_the_application(installation: Installation) -> None:
    """queue.results() yields (error, events) in the application's process."""
    installation.standin.fail(503)
    installation.worker()
    queue = installation.connect(events_per_request=3, request_time_interval=60)
    producer = producer_of(queue)
    client, meta = producer.fleet.client, producer.shards[0].keys.meta
    producer.register()
    results = queue.results(timeout_seconds=15)
    found: list[tuple[str | None, list[Any]]] = []
    with installation.in_thread(lambda: found.extend(_first_two(results))):
        wait_until(lambda: client.pubsub_numsub(f"vwo:1:results:{queue.name}")[0][1], 10)
        wait_until(lambda: client.hexists(meta, "results_until"), 10)
        queue.enqueue_many([event(name) for name in NAMES])

    assert [error is None for error, _ in found] == [False, True]
    assert [each["u"] for each in found[1][1]] == NAMES


def _first_two(results: Any) -> list[Any]:
    return [next(results), next(results)]


@pytest.mark.declared_keys(*KEPT)
def test_task_messages_and_logs_carry_no_key(installation: Installation) -> None:
    """The SDK key is only in Redis' registration and on the wire, not in task messages or logs."""
    installation.standin.fail(503, 401)
    worker = installation.worker("--loglevel=DEBUG")
    queue = _enqueue(installation)

    wait_until(lambda: installation.reports("paused"), 20)

    assert queue.destination.sdk_key not in worker.log()
    assert queue.destination.sdk_key not in repr(queue) + repr(queue.destination)
    client = producer_of(queue).fleet.client
    for key in client.scan_iter("broker:*"):
        if client.type(key) == b"list":
            assert queue.destination.sdk_key.encode() not in b"".join(client.lrange(key, 0, -1))
