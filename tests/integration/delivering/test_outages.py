"""While VWO is down, the circuit lets only probes pass; the backlog leaves once one succeeds."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from tools.selective_vwo import KEPT, Delivering, Make, Vwo
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.testing import Fault

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups")


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
