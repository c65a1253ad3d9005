"""SIGKILL of a worker at each step between claim and ack: no event is lost, few are sent twice."""

from __future__ import annotations

from collections import Counter

import pytest

from tools.installation import Installation, event
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.tallies import read_tallies
from vwo_celery.testing.standin.faults import Fault

NAMES = [f"e{number}" for number in range(10)]
#: Short, to let a killed worker's lease expire within the test.
LEASES = {"VWO_CELERY_LEASE_SECONDS": "2", "VWO_CELERY_REQUEST_TIMEOUT_SECONDS": "1.5"}


@pytest.mark.parametrize(
    ("crash_at", "times"), [("before_post", 1), ("after_post", 2)], ids=["before", "after"]
)
def test_killed_around_the_post(installation: Installation, crash_at: str, times: int) -> None:
    """Killed between claim and POST, each event arrives once; between POST and ack, twice.

    The batch is reclaimed when its lease expires, with the same name and content.
    """
    crash = {"CRASH_AT": crash_at, "CRASH_FILE": str(installation.folder / "crashed")}
    installation.worker("--pool=prefork", **LEASES, **crash)
    installation.beat()
    queue = installation.connect(events_per_request=10, request_time_interval=60)

    queue.enqueue_many([event(name) for name in NAMES])

    wait_until(lambda: installation.snapshot(queue).delivered == 10, 20)
    assert (installation.folder / "crashed").exists()
    assert Counter(installation.delivered()) == dict.fromkeys(NAMES, times)
    (delivered,) = wait_until(lambda: installation.reports("delivered"), 5)
    assert delivered["attempt"] == 2
    bodies = {batch.body for batch in installation.standin.batches}
    assert len(bodies) == 1
    assert installation.snapshot(queue).balanced
    (tally,) = read_tallies(producer_of(queue).shards)
    assert (tally.answers, tally.lost_leases) == (
        {"200": 1},
        1,
    )  # that of the killed one is not known


def test_a_kill_after_the_ack_loses_no_count(installation: Installation) -> None:
    """What a worker did is counted with the settling: a kill right after it loses nothing of it."""
    crash = {"CRASH_AT": "after_ack", "CRASH_FILE": str(installation.folder / "crashed")}
    installation.worker("--pool=prefork", **LEASES, **crash)
    queue = installation.connect(events_per_request=10, request_time_interval=60)

    queue.enqueue_many([event(name) for name in NAMES])

    wait_until((installation.folder / "crashed").exists, 20)
    (tally,) = read_tallies(producer_of(queue).shards)
    assert (tally.answers, sum(tally.ages), sum(tally.posts)) == ({"200": 1}, 1, 1)
    assert (tally.size_events, tally.lost_leases) == (10, 0)
    assert installation.snapshot(queue).delivered == 10


def test_killed_in_the_post(installation: Installation) -> None:
    """The whole worker is killed while VWO holds the answer back; another worker sends the same batch."""
    installation.standin.fail(Fault(connection="hang"))
    first = installation.worker(name="first", **LEASES | {"VWO_CELERY_LEASE_SECONDS": "3"})
    queue = installation.connect(events_per_request=10, request_time_interval=60)
    queue.enqueue_many([event(name) for name in NAMES])
    wait_until(
        lambda: len(installation.standin.batches) == 1 or _in_flight(installation, queue), 10
    )
    first.kill()

    installation.worker(name="second", **LEASES)

    wait_until(lambda: installation.snapshot(queue).delivered == 10, 20)
    assert Counter(installation.delivered()) == dict.fromkeys(NAMES, 1)
    assert installation.snapshot(queue).balanced


def _in_flight(installation: Installation, queue: object) -> int:
    return installation.most_in_flight(queue, 1)  # type: ignore[arg-type]


def test_a_batch_that_kills_its_workers_is_put_aside(installation: Installation) -> None:
    """Only lost leases count against a batch; after max_lost_leases of them it is dead."""
    queue = installation.connect(events_per_request=10, request_time_interval=60)
    queue.enqueue_many([event(name) for name in NAMES])
    for _ in range(3):
        assert producer_of(queue).shards[0].claim(token="", lease_seconds=0.001)
        wait_until(lambda: not installation.most_in_flight(queue, 1), 5)

    installation.worker(VWO_CELERY_MAX_LOST_LEASES="2")

    wait_until(lambda: installation.snapshot(queue).events("dead") == 10, 20)
    assert installation.delivered() == []
    (report,) = wait_until(lambda: installation.reports("dead_lettered"), 5)
    assert "went silent" in report["error"]
    assert installation.snapshot(queue).balanced
    assert producer_of(queue).shards[0].redrive(report["batch"]) == 10
    assert queue.flush_events(10)
