"""A worker that is interrupted in the middle of a batch neither loses it nor keeps it from others."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from tools.selective_vwo import KEPT, Delivering, Make, Vwo
from vwo_celery import signals
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.words.registration import Wakeup

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups")


class Stop(BaseException):
    """The exception that a stopping worker raises at any place."""


class TimeIsUp(Exception):
    """An ordinary exception that comes from outside, as Celery raises at a soft time limit."""


@pytest.mark.declared_keys(*KEPT)
@pytest.mark.parametrize("exception", [Stop, TimeIsUp])
@pytest.mark.parametrize(
    "place",
    [
        "worker.Worker.wake_all", "redis.Redis.lrange", "delivery.keep_lease",
        "delivery.send", "delivery.judge", "settling.acknowledge",
    ],
)  # fmt: skip
def test_an_interrupted_batch_is_handed_back(
    make: Make, vwo: Vwo, monkeypatch: pytest.MonkeyPatch, exception: Any, place: str
) -> None:
    """An interrupted batch is handed back: free at once, in its old place, and no attempt is counted."""
    made = make(per_request=2, backoff_base_seconds=30, backoff_max_seconds=30)
    made.worker = Worker(
        made.worker.fleet, made.worker.settings, made.woken.append, interruptions=(TimeIsUp,)
    )
    made.enqueue(0, 1, 2, 3)

    def stop(*_: Any, **__: Any) -> Any:
        raise exception

    monkeypatch.setattr(
        place if place.startswith("redis") else f"vwo_celery.delivering.{place}", stop
    )
    with pytest.raises((exception, QueueUnavailable)):
        made.deliver()
    monkeypatch.undo()

    assert [(batch.attempt, batch.state) for batch in made.state.batches] == [(0, "ready")] * 2
    made.deliver()
    assert [report.attempt for report in made.reports(signals.batch_delivered)] == [1, 1]
    assert list(made.taken) == [0, 1, 2, 3]


def sending_two(
    made: Delivering, vwo: Vwo, status: int | None
) -> tuple[threading.Thread, threading.Event]:
    """A thread in the middle of the POST of two events, and the function that lets VWO answer."""
    gate, asked = threading.Event(), threading.Event()

    def judge(numbers: list[int]) -> int | None:
        asked.set()
        gate.wait(10)
        return status

    vwo.judge = judge
    made.enqueue(0, 1)
    sending = threading.Thread(target=made.deliver)
    sending.start()
    assert asked.wait(10)
    return sending, gate


@pytest.mark.declared_keys(*KEPT)
def test_a_late_thread_settles_nothing_that_was_handed_back(make: Make, vwo: Vwo) -> None:
    """After a stopping process handed back, its sending thread settles nothing: another has the batch."""
    made = make(per_request=2, backoff_base_seconds=30, backoff_max_seconds=30)
    sending, gate = sending_two(made, vwo, 503)

    assert made.worker.leases.hand_back_all() == 1
    batch = made.shard.claim(token="", lease_seconds=60)
    gate.set()
    sending.join()

    assert batch is not None
    assert [(each.attempt, each.state) for each in made.state.batches] == [(1, "in_flight")]
    assert made.reports(signals.batch_released) == []
    assert made.shard.ack(batch.id)


def test_a_late_acceptance_counts_all_the_same(make: Make, vwo: Vwo) -> None:
    """An acceptance counts even after the lease was handed back."""
    made = make(per_request=2)
    sending, gate = sending_two(made, vwo, None)

    assert made.worker.leases.hand_back_all() == 1
    made.worker.stopping = lambda: True
    gate.set()
    sending.join()

    assert made.state.delivered == 2
    assert made.state.balanced


@pytest.mark.declared_keys(*KEPT)
def test_a_call_for_help_that_waits_is_part_of_the_lease(make: Make, vwo: Vwo, redis: Any) -> None:
    """Where a call for help waits for the broker, the lease is extended before the POST."""
    made = make(per_request=1, request_timeout_seconds=20, lease_seconds=60)
    now_seconds = [0.0]
    left_seconds: list[float] = []

    def wait_50_seconds(_: Wakeup) -> None:
        now_seconds[0] += 50
        for batch, ends_ms in redis.zrange(made.shard.keys.leases, 0, -1, withscores=True):
            redis.zadd(made.shard.keys.leases, {batch: ends_ms - 50_000})

    def judge(_: list[int]) -> None:
        now_ms, state = producer_of(made.queue).fleet.now_ms(), made.state
        left_seconds.append((state.batches_in("in_flight")[0].at_ms - now_ms) / 1000)

    made.worker.wake, made.worker.clock = wait_50_seconds, lambda: now_seconds[0]
    vwo.judge = judge
    made.enqueue(0, 1)
    redis.delete(made.shard.keys.slots)

    deliver(made.worker, Wakeup(made.queue.name, 0, ""))

    assert left_seconds[0] > 20


@pytest.mark.declared_keys(*KEPT)
def test_a_batch_is_handed_back_while_a_call_for_help_waits(
    make: Make, vwo: Vwo, redis: Any
) -> None:
    """A process that stops while a call for help waits hands its batch back, and does not send it."""
    made = make(per_request=1)
    given: list[int] = []
    made.worker.wake = lambda _: given.append(made.worker.leases.hand_back_all())
    made.worker.stopping = lambda: bool(given)
    made.enqueue(0, 1)
    redis.delete(made.shard.keys.slots)

    deliver(made.worker, Wakeup(made.queue.name, 0, ""))

    assert given[0] == 1
    assert [(each.attempt, each.state) for each in made.state.batches] == [(0, "ready")] * 2
    assert made.statuses == []


@pytest.mark.declared_keys(*KEPT)
def test_a_stopping_worker_claims_nothing_and_passes_its_wakeup_on(make: Make, vwo: Vwo) -> None:
    """A stopping worker finishes its batch, claims no other, and wakes another worker for the rest."""
    made = make(per_request=1)
    made.enqueue(0, 1, 2)
    made.shard.client.delete(made.shard.keys.slots)
    made.worker.stopping = lambda: bool(made.standin.requests)

    deliver(made.worker, Wakeup(made.queue.name, 0, ""))

    assert made.taken == Counter([0])
    assert {(woken.queue, woken.shard) for woken in made.woken} == {(made.queue.name, 0)}


@pytest.mark.declared_keys(*KEPT)
def test_a_try_that_raises_releases_its_batch(
    make: Make, vwo: Vwo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error releases the batch: it costs an attempt and a delay, not a whole lease."""
    made = make(per_request=2, backoff_base_seconds=30, backoff_max_seconds=30)
    made.enqueue(0, 1)

    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("vwo_celery.delivering.delivery.send", fail)
    with pytest.raises(ZeroDivisionError):
        made.deliver()

    (batch,) = made.state.batches
    assert (batch.attempt, batch.state) == (1, "released")
    assert "ZeroDivisionError" in batch.error
    assert len(made.worker.leases) == 0


@pytest.mark.declared_keys(*KEPT)
def test_a_try_with_a_client_that_errs_releases_its_batch(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that the Redis client does not document costs an attempt, too, and no lease."""
    made = make(per_request=2, backoff_base_seconds=30, backoff_max_seconds=30)
    made.enqueue(0, 1)

    def fail(*_: Any, **__: Any) -> Any:
        raise AttributeError("'NoneType' object has no attribute 'redis_connection'")

    with monkeypatch.context() as failing:
        failing.setattr(made.worker.fleet.client, "lrange", fail, raising=False)
        with pytest.raises(QueueUnavailable, match="raised AttributeError"):
            made.deliver()

    (batch,) = made.state.batches
    assert (batch.attempt, batch.state) == (1, "released")
    assert len(made.worker.leases) == 0


@pytest.mark.declared_keys(*KEPT)
def test_a_probe_that_is_interrupted_lets_another_go(
    make: Make, vwo: Vwo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted probe gives back its lease and its permission to probe."""
    made = make(per_request=1, circuit_failures=1)
    vwo.judge = lambda numbers: 503
    made.enqueue(0, 1)
    made.deliver()

    def stop(*_: Any, **__: Any) -> Any:
        raise Stop

    def probe() -> bool:
        with monkeypatch.context() as patch:
            patch.setattr("vwo_celery.delivering.delivery.send", stop)
            try:
                return made.deliver() < 0
            except Stop:
                return True

    made.deliver_until(probe)
    assert producer_of(made.queue).fleet.client.hget(made.shard.keys.circuit, "probe") is None
    vwo.judge = lambda numbers: None
    made.deliver_until(lambda: made.state.delivered == 2)
