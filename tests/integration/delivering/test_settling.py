"""Batches that VWO does not accept unchanged: searched, released, held or dead-lettered."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from tools.selective_vwo import Delivering, Make, Vwo, numbers_of, proven, purge
from vwo_celery import signals
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.testing import Fault

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups")
#: Declared keys of a queue that is not empty.
KEPT = ("ready", "info", "batch", "watched")


# -- 400, 422


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("poison", [{0}, {7}, {3, 4}, {1, 2, 6}])
def test_only_the_poison_is_dead_lettered(
    make: Make, vwo: Vwo, poison: set[int], status: int
) -> None:
    """Only the refused events are dead-lettered; everything else of the batch is delivered once."""
    made = proven(make(per_request=8))
    vwo.judge = lambda numbers: status if poison & set(numbers) else None

    made.enqueue(*range(8))
    made.deliver()

    assert made.taken == Counter({100: 1, **{n: 1 for n in range(8) if n not in poison}})
    assert made.state.events("dead") == len(poison)
    assert made.state.balanced
    assert not made.state.paused
    (dead,) = made.reports(signals.batch_dead_lettered)
    assert numbers_of(dead) == sorted(poison)
    purge(made)


@pytest.mark.declared_keys(*KEPT)
def test_nothing_is_searched_before_the_first_success(make: Make, vwo: Vwo) -> None:
    """A destination that never accepted anything is taken to be misconfigured: nothing is searched."""
    made = make(per_request=8)
    vwo.judge = lambda numbers: 400

    made.enqueue(*range(8))
    made.deliver()

    assert made.statuses == [400]
    assert made.state.paused
    assert made.state.counted_events == 8


def test_a_success_of_another_shard_counts(make: Make, vwo: Vwo) -> None:
    """A delivery from another shard counts, since the destination is the same."""
    made = make(per_request=8, shards=2)
    producer_of(made.queue).shards = producer_of(made.queue).shards[:1]
    proven(made)
    producer_of(made.queue).shards = [producer_of(made.queue).fleet.shard(made.queue.name, 1)]
    vwo.judge = lambda numbers: 400 if 5 in numbers else None

    made.enqueue(*range(8))
    made.deliver()

    assert made.taken == Counter([100, 0, 1, 2, 3, 4, 6, 7])
    (dead,) = [batch for batch in made.state.batches if batch.state == "dead"]
    made.shard.purge(dead.id)


def test_a_search_that_an_outage_ends_loses_and_repeats_nothing(make: Make, vwo: Vwo) -> None:
    """After a 503 ends a search, accepted events are settled; the rest is released and searched again."""
    made = proven(make(per_request=8))
    sent: list[int] = []

    def judge(numbers: list[int]) -> int | None:
        sent.append(len(numbers))
        if len(sent) == 3:  # the batch, its first half, and now
            return 503
        return 400 if 6 in numbers else None

    vwo.judge = judge
    made.worker.stopping = lambda: len(sent) >= 3
    made.enqueue(*range(8))
    made.deliver()
    assert made.state.balanced
    assert made.taken == Counter([100, 0, 1, 2, 3])

    made.worker.stopping = lambda: False
    made.deliver_until(lambda: made.state.events("dead") == 1)

    assert made.taken == Counter([100, 0, 1, 2, 3, 4, 5, 7])
    assert made.state.balanced
    purge(made)


def test_a_worker_that_stops_in_a_search_keeps_what_it_found(make: Make, vwo: Vwo) -> None:
    """A worker that stops during a search settles what was accepted so far; it is not sent again."""
    made = proven(make(per_request=8))
    asked: list[int] = []
    made.worker.stopping = lambda: len(asked) >= 2

    def judge(numbers: list[int]) -> int | None:
        asked.append(len(numbers))
        return 400 if 6 in numbers else None

    vwo.judge = judge
    made.enqueue(*range(8))
    made.deliver()
    assert made.taken == Counter([100, 0, 1, 2, 3])
    assert made.state.pending == 4

    made.worker.stopping = lambda: False
    made.deliver()

    assert made.taken == Counter([100, 0, 1, 2, 3, 4, 5, 7])
    assert made.state.balanced
    purge(made)


def test_dead_letters_are_bounded(make: Make, vwo: Vwo) -> None:
    """Beyond max_dead_events, the oldest dead letters are counted as dropped."""
    made = proven(make(per_request=4, max_dead_events=2))
    vwo.judge = lambda numbers: 400 if set(numbers) & {1, 5, 9} else None

    made.enqueue(*range(12))
    made.deliver()

    assert made.state.events("dead") == 2
    assert made.state.dropped == {"dead_letters_full": 1}
    assert made.state.balanced
    purge(made)


# -- the circuit


@pytest.mark.declared_keys(*KEPT)
def test_an_outage_costs_probes_only(make: Make, vwo: Vwo) -> None:
    """After several failures in a row, nothing is claimed except one probe at a time."""
    made = make(per_request=1, circuit_failures=3, backoff_base_seconds=60, backoff_max_seconds=60)
    vwo.judge = lambda numbers: 503
    made.enqueue(*range(50))

    for _ in range(20):
        made.deliver()

    assert made.statuses == [503] * 3
    assert made.state.events("in_flight") == 0
    assert made.state.balanced


def test_the_backlog_leaves_once_a_probe_succeeds(make: Make, vwo: Vwo) -> None:
    """The circuit closes with the first answer, and all waiting events are sent once."""
    made = make(per_request=1, circuit_failures=3)
    vwo.judge = lambda numbers: 503
    made.enqueue(*range(20))
    made.deliver_until(lambda: len(made.statuses) >= 6)
    assert made.state.delivered == 0
    vwo.judge = lambda numbers: None

    made.deliver_until(lambda: made.state.delivered == 20)

    assert made.taken == Counter(range(20))
    assert made.state.balanced
    assert made.state.held_until_ms == 0
    assert not producer_of(made.queue).fleet.client.exists(made.shard.keys.circuit)


@pytest.mark.declared_keys(*KEPT)
def test_one_probe_at_a_time(make: Make, vwo: Vwo) -> None:
    """During a probe, no other worker and no other shard sends anything."""
    made = make(per_request=1, circuit_failures=1, shards=2, max_parallel_sends=4)
    vwo.judge = lambda numbers: 503
    made.enqueue(*range(40))
    made.deliver_until(lambda: len(made.statuses) >= 3)
    gate, asked = threading.Event(), threading.Event()

    def hold(numbers: list[int]) -> None:
        asked.set()
        gate.wait(10)

    vwo.judge = hold
    probing = threading.Thread(target=lambda: made.deliver_until(asked.is_set))
    probing.start()
    assert asked.wait(10)
    before = len(made.standin.requests)
    others = [Delivering(made.queue.settings.redis_url, vwo.standin, shards=2) for _ in range(3)]

    tried = sum(other.deliver() for other in others)

    assert tried == 0
    gate.set()
    probing.join()
    assert len(made.standin.requests) >= before
    made.deliver_until(lambda: sum(made.taken.values()) == 40)
    assert made.taken == Counter(range(40))


@pytest.mark.declared_keys(*KEPT)
def test_retry_after_holds_the_whole_queue(make: Make, vwo: Vwo) -> None:
    """While the circuit is open, nothing is sent before the time that VWO named, up to the bound."""
    made = make(per_request=1, circuit_failures=2, backoff_max_seconds=30)
    vwo.judge = lambda numbers: Fault(status=429, headers=(("Retry-After", "3600"),))
    made.enqueue(*range(5))

    made.deliver()

    shard = take_snapshot(made.shard)
    held = producer_of(made.queue).fleet.client.hget(made.shard.keys.meta, "held_until")
    assert 29_000 < int(held) - shard.now_ms <= 30_000
    assert made.statuses == [429, 429]
    assert made.deliver() == 0


@pytest.mark.declared_keys(*KEPT)
@pytest.mark.parametrize("failures", [2, 99], ids=["open", "closed"])
def test_a_worker_of_other_settings_shortens_no_wait(
    make: Make, vwo: Vwo, redis_url: str, failures: int
) -> None:
    """What one worker was asked to wait, all wait, however short their own longest backoff is."""
    made = make(per_request=1, circuit_failures=failures, backoff_max_seconds=600)
    vwo.judge = lambda numbers: Fault(status=503, headers=(("Retry-After", "600"),))
    made.enqueue(1, 2, 3)
    made.deliver()
    asked = len(made.statuses)
    hasty = Delivering(
        redis_url, vwo.standin, per_request=1, request_timeout_seconds=1, lease_seconds=2
    )
    if failures == asked:
        hasty.shard.hold(1)  # a hold that is over: the circuit is asked

    attempts = [hasty.deliver() for _ in range(3)]

    assert attempts == [0, 0, 0]
    assert len(made.statuses) == asked


def test_mixed_answers_do_not_open_the_circuit(
    make: Make, vwo: Vwo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only failures in a row count: an acceptance in between starts the count again."""
    made = make(per_request=1, circuit_failures=2)
    seen: Counter[int] = Counter()

    def judge(numbers: list[int]) -> Fault:
        seen[numbers[0]] += 1
        status = 503 if numbers[0] % 2 and seen[numbers[0]] == 1 else None
        # Redis' clock counts milliseconds: within one, an acceptance and a failure have no order.
        return Fault(status=status, delay_seconds=0.002)

    vwo.judge = judge
    made.enqueue(*range(20))
    held: list[int] = []
    monkeypatch.setattr(Shard, "hold", lambda self, until_ms, **_: held.append(until_ms))

    made.deliver_until(lambda: made.state.delivered == 20)

    assert held == []


# -- interruptions


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


def test_a_batch_whose_events_somebody_deleted_is_counted(make: Make, vwo: Vwo) -> None:
    """Nothing of it can be sent or kept: it is dropped as vanished, and the ledger balances."""
    made = proven(make(per_request=4))
    dropped: list[tuple[str, int]] = []

    def hear(sender: object, reason: str, count: int, **_: object) -> None:
        dropped.append((reason, count))

    made.enqueue(*range(8))
    (first, *_) = made.state.batches
    made.shard.client.delete(made.shard.keys.batch(first.id))
    signals.event_dropped.connect(hear)
    made.deliver()
    signals.event_dropped.disconnect(hear)

    assert dropped == [("vanished", 4)]
    assert made.state.dropped == {"vanished": 4}
    assert made.state.balanced
    assert made.state.events("dead") == 0
    assert made.taken == Counter([100, *range(4, 8)])
