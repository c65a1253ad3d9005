"""From the application to VWO with real workers: every event once, by size, by age, and by flush."""

from __future__ import annotations

import math
import time
from collections import Counter
from pathlib import Path

import pytest

from tools.installation import Installation, event
from tools.processes import Processes
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of

HERE = Path(__file__).parent
EVENTS = 10_000
PER_REQUEST = 100


def test_two_processes_with_two_threads_share_one_queue(installation: Installation) -> None:
    """Two processes with two threads each: 10,000 events are delivered once, in the fewest requests."""
    installation.worker()
    urls = (installation.redis_url, installation.standin.url)
    with Processes(installation.folder, cwd=HERE.parent) as applications:
        started = [
            applications.start(
                "python", str(HERE / "two_threads.py"), *urls, name,
                str(EVENTS // 2), str(PER_REQUEST), name=name,
            )
            for name in ("a", "b")
        ]  # fmt: skip
        assert [application.wait(60) for application in started] == [0, 0]

    queue = installation.connect(events_per_request=PER_REQUEST, request_time_interval=60)
    result = queue.flush_events(timeout_seconds=30)

    assert result, result
    counts = Counter(installation.delivered())
    assert len(counts) == EVENTS
    assert set(counts.values()) == {1}
    assert len(installation.standin.batches) <= math.ceil(EVENTS / PER_REQUEST) + 2
    snapshot = installation.snapshot(queue)
    assert (snapshot.accepted, snapshot.delivered, snapshot.pending) == (EVENTS, EVENTS, 0)
    assert snapshot.balanced


def test_a_full_batch_leaves_at_once_without_beat(installation: Installation) -> None:
    """The event that fills a batch wakes a worker, without a sweep."""
    installation.worker(VWO_CELERY_SWEEP_INTERVAL_SECONDS="60")
    queue = installation.connect(events_per_request=3, request_time_interval=600)

    for name in "abc":
        queue.enqueue(event(name))

    wait_until(lambda: installation.delivered() == ["a", "b", "c"], 5)


def test_an_old_event_leaves_after_the_interval(installation: Installation) -> None:
    """Beat's sweep sends a batch that is not full once its oldest event is request_time_interval old."""
    installation.worker()
    installation.beat()
    queue = installation.connect(events_per_request=100, request_time_interval=2)
    started = time.monotonic()
    queue.enqueue(event("a"))
    queue.enqueue(event("b"))

    wait_until(lambda: installation.delivered() == ["a", "b"], 15)

    assert time.monotonic() - started >= 2
    assert len(installation.standin.batches) == 1


def test_age_triggers_without_beat(installation: Installation) -> None:
    """Without beat, a worker's listener sweeps."""
    installation.worker()
    queue = installation.connect(events_per_request=100, request_time_interval=1)

    queue.enqueue(event("a"))

    wait_until(lambda: installation.delivered() == ["a"], 15)


def test_without_thresholds_every_event_leaves_alone(installation: Installation) -> None:
    """With neither number set, every event leaves at once, in a batch of one."""
    installation.worker()
    queue = installation.connect()

    for name in "abc":
        queue.enqueue(event(name))

    wait_until(lambda: sorted(installation.delivered()) == ["a", "b", "c"], 10)
    assert [len(batch.events) for batch in installation.standin.batches] == [1, 1, 1]


def test_an_empty_queue_sends_nothing(installation: Installation) -> None:
    """The timer starts with the first event: workers and beat alone send no request."""
    worker = installation.worker()
    queue = installation.connect(events_per_request=100, request_time_interval=1)
    producer_of(queue).register()

    installation.beat()
    sweeps: set[tuple[str, int]] = set()

    def swept_by_both() -> bool:
        sweeps.update(producer_of(queue).fleet.last_sweeps_ms().items())
        return len([by for by, _ in sweeps if by == "listener"]) > 1 and "beat" in dict(sweeps)

    worker.wait_until(swept_by_both)

    assert installation.standin.batches == []


def test_a_foreign_program_pushes_plain_json(installation: Installation) -> None:
    """A foreign program needs only LPUSH onto the documented list; more than a batch is sliced."""
    installation.worker()
    queue = installation.connect(events_per_request=10, request_time_interval=1)
    producer_of(queue).register()
    texts = [f'{{"u":"{n}","sId":1,"c":1,"e":1,"eT":1}}' for n in range(25)]
    producer_of(queue).fleet.client.lpush(producer_of(queue).shards[0].keys.open, *texts)

    wait_until(lambda: len(installation.delivered()) == 25, 15)

    assert sorted(map(int, installation.delivered())) == list(range(25))
    assert sorted(len(batch.events) for batch in installation.standin.batches) == [5, 10, 10]
    assert installation.snapshot(queue).balanced


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_every_pool_delivers(installation: Installation, pool: str) -> None:
    """prefork, threads, solo and gevent workers deliver and stop in order."""
    installation.worker(f"--pool={pool}")
    queue = installation.connect(events_per_request=5, request_time_interval=60)

    for number in range(25):
        queue.enqueue(event(str(number)))

    wait_until(lambda: len(installation.delivered()) == 25, 15)


def test_lanes_send_at_the_same_time(installation: Installation) -> None:
    """All lanes send a backlog at the same time, but never more than max_parallel_sends."""
    installation.standin.fail(*[_slow()] * 12)
    installation.worker("--pool=threads", "--concurrency=8")
    queue = installation.connect_with({"max_parallel_sends": 4}, events_per_request=1)

    for number in range(12):
        queue.enqueue(event(str(number)))

    most = wait_until(lambda: installation.most_in_flight(queue, 4), 15)
    wait_until(lambda: len(installation.delivered()) == 12, 15)
    assert most == 4


def _slow() -> object:
    from vwo_celery.testing.standin.faults import Fault

    return Fault(delay_seconds=0.5)
