"""413: batches are cut to the size that passes, and a VWO that refuses everything is waited for."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tools.selective_vwo import KEPT, Delivering, Make, Vwo, event, numbers_of, proven, purge
from tools.waiting import wait_until
from vwo_celery import signals
from vwo_celery.delivering import oversize, sizes
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.holding.circuit import forget_circuit
from vwo_celery.queue.work import flushing

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups", "suspect", "circuit")


def at_most(events: int) -> Any:
    """413 for a batch of more events."""
    return lambda numbers: 413 if len(numbers) > events else None


def test_a_batch_that_is_too_large_is_halved(make: Make, vwo: Vwo) -> None:
    """A batch that is too large is halved until it is accepted; each event arrives once and in order."""
    made = make(per_request=8)
    vwo.judge = at_most(2)

    made.enqueue(*range(8))
    made.deliver()

    assert [number for request in vwo.accepted for number in request] == list(range(8))
    assert made.state.delivered == 8
    assert made.state.balanced
    splits = made.reports(signals.batch_split)
    assert all(report.parts for report in splits)
    delivered = made.reports(signals.batch_delivered)
    assert sum(report.count for report in delivered) == 8


def test_what_passed_is_remembered_for_all_workers(make: Make, vwo: Vwo) -> None:
    """The accepted size is stored for all workers: later batches are split before VWO refuses them."""
    made = make(per_request=8)
    vwo.judge = at_most(2)
    made.enqueue(*range(8))
    made.deliver()
    before = made.statuses.count(413)

    made.enqueue(*range(8, 24))
    other_worker = Delivering(made.queue.settings.redis_url, vwo.standin)
    other_worker.deliver()

    assert made.statuses.count(413) == before
    assert made.state.delivered == 24
    assert [number for request in vwo.accepted for number in request] == list(range(24))


def test_a_limit_that_stays_costs_few_refusals(make: Make, vwo: Vwo) -> None:
    """Once the size that passes is known, hundreds of full batches meet the limit no more."""
    made = make(per_request=20)
    vwo.judge = at_most(7)

    made.enqueue(*range(1_000, 3_000))
    made.deliver_until(lambda: made.state.delivered == 2_000, 60)

    assert made.statuses.count(413) <= 5
    assert len(made.statuses) <= 2_000 / 5 + 10
    assert made.taken == Counter(range(1_000, 3_000))


@pytest.mark.parametrize("refusals", [1, 5])
def test_a_lifted_limit_is_found_within_a_few_batches(
    make: Make, vwo: Vwo, redis: Any, refusals: int
) -> None:
    """Once the wait is over, each full batch that passes doubles the size: soon full batches leave."""
    made = make(per_request=64)
    vwo.judge = at_most(2)
    made.enqueue(*range(64))
    made.deliver()
    vwo.judge = lambda numbers: None
    vwo.standin.requests.clear()
    long_ago = producer_of(made.queue).fleet.now_ms() - (sizes.FIRST_WAIT_MS << refusals - 1)
    redis.hset(made.shard.keys.meta, mapping={"fit_ms": long_ago, "fit_refusals": refusals})

    for first in range(64, 5 * 64, 64):
        made.enqueue(*range(first, first + 64))
        made.deliver()

    assert [len(request) for request in vwo.accepted][-1] == 64
    assert len(vwo.standin.requests) <= 12
    assert made.state.delivered == 5 * 64


def test_no_larger_batch_is_tried_before_its_time(make: Make, vwo: Vwo, redis: Any) -> None:
    """After a larger batch was refused, the size that passes is kept to for a while, ever longer."""
    made = make(per_request=8)
    vwo.judge = at_most(2)
    made.enqueue(*range(10, 18))
    made.deliver()
    made.enqueue(*range(18, 26))  # finds that twice the size does not pass
    made.deliver()
    vwo.judge = lambda numbers: None
    vwo.standin.requests.clear()

    made.enqueue(*range(26, 42))
    made.deliver()

    assert [len(request) for request in vwo.accepted] == [2] * 8
    assert int(redis.hget(made.shard.keys.meta, "fit_refusals")) == 1


# -- malformed events in a batch that is too large


def too_large_or_malformed(numbers: list[int]) -> int | None:
    """413 for more than four events, 400 for an even number among them."""
    if len(numbers) > 4:
        return 413
    return 400 if any(number % 2 == 0 for number in numbers) else None


def test_small_malformed_events_keep_no_large_batch_back(make: Make, vwo: Vwo) -> None:
    """Where the smallest events of each large batch are malformed, all others are delivered."""
    made = proven(make(per_request=8))
    vwo.judge = too_large_or_malformed

    for first in (0, 8, 16):
        numbers = range(first, first + 8)
        made.queue.enqueue_many([event(number, 20 * (number % 2)) for number in numbers])
    made.deliver_until(lambda: made.state.delivered + made.state.events("dead") == 25)

    assert made.taken == Counter([100, *range(1, 24, 2)])
    assert made.state.balanced
    purge(made)


@pytest.mark.declared_keys(*KEPT, "open")
def test_a_large_batch_of_malformed_events_is_split_once_another_passes(
    make: Make, vwo: Vwo
) -> None:
    """A batch that is too large and all malformed waits, until another one has passed: it is to blame."""
    made = proven(make(per_request=8))
    vwo.judge = too_large_or_malformed
    made.enqueue(*range(0, 16, 2))
    made.deliver()
    assert made.state.events("dead") == 0

    good = iter(range(101, 10_000, 2))
    made.deliver_until(lambda: made.enqueue(next(good)) or made.state.events("dead") == 8)

    assert all(number % 2 or number == 100 for number in made.taken)
    assert max(made.taken.values()) == 1
    purge(made)


# -- single events


def test_a_large_event_is_dead_lettered_alone(make: Make, vwo: Vwo) -> None:
    """A single event that is too large is dead-lettered once others passed; they are delivered."""
    made = make(per_request=4)
    vwo.judge = lambda numbers: 413 if 2 in numbers else None
    padding = oversize.SMALL_EVENT_BYTES

    assert all(made.queue.enqueue_many([event(0), event(1), event(2, padding), event(3)]))
    made.deliver_until(lambda: made.state.events("dead"))

    assert made.taken == Counter([0, 1, 3])
    assert made.state.events("dead") == 1
    assert made.state.balanced
    (dead,) = made.reports(signals.batch_dead_lettered)
    assert numbers_of(dead) == [2]
    purge(made)


def test_a_large_event_alone_waits_for_a_proof(make: Make, vwo: Vwo) -> None:
    """A large event in a batch of its own dies only after another batch passed."""
    made = proven(make(per_request=1))
    vwo.judge = lambda numbers: 413 if 2 in numbers else None
    assert made.queue.enqueue(event(2, oversize.SMALL_EVENT_BYTES))
    made.deliver_until(lambda: made.statuses.count(413) >= 3)
    assert made.state.events("dead") == 0

    made.deliver_until(lambda: (made.enqueue(7), made.state.events("dead"))[1])

    assert made.state.balanced
    made.deliver_until(lambda: made.state.pending == made.state.events("released") == 0)
    purge(made)


@pytest.mark.declared_keys(*KEPT)
def test_a_small_event_is_never_to_blame_for_its_size(make: Make, vwo: Vwo) -> None:
    """A small event that gets 413 though others pass is kept and tried again; the queue goes on."""
    made = proven(make(per_request=1))
    vwo.judge = lambda numbers: 413 if 2 in numbers else None
    made.enqueue(2)

    made.deliver_until(lambda: (made.enqueue(7), made.statuses.count(413) >= 8)[1])

    assert made.state.events("dead") == 0
    assert made.state.dropped == {}
    assert made.taken[7]
    made.deliver_until(lambda: len(made.state.batches) == 1)
    assert made.state.balanced


# -- everything


@pytest.mark.parametrize("per_request", [1, 20, 500])
def test_413_to_everything_costs_probes_and_no_event(
    make: Make, vwo: Vwo, per_request: int
) -> None:
    """413 to everything is an outage: few POSTs, no dead letter, and full batches afterwards."""
    made = proven(make(per_request=per_request, max_dead_events=300, max_parallel_sends=4))
    numbers = range(1_000, 1_000 + max(600, 6 * per_request))
    vwo.judge = lambda numbers: 413
    made.enqueue(*numbers)

    for _ in range(40):
        made.deliver()
    refused = made.statuses.count(413)
    vwo.judge = lambda numbers: None
    vwo.standin.requests.clear()
    made.deliver_until(lambda: made.state.delivered == 1 + len(numbers), 60)

    assert refused <= 60
    assert made.state.events("dead") == 0
    assert made.state.dropped == {}
    assert made.taken == Counter(numbers)
    assert len(vwo.standin.requests) == len(numbers) / per_request


def test_413_to_everything_holds_the_queue_and_says_so(make: Make, vwo: Vwo) -> None:
    """Batches in a row that are refused by size open the circuit; the hold names the answer."""
    made = proven(make(per_request=2, backoff_base_seconds=60, backoff_max_seconds=60))
    vwo.judge = lambda numbers: 413
    made.enqueue(*range(20))

    made.deliver()

    assert made.statuses.count(413) == 2 * made.queue.settings.circuit_failures
    assert made.state.held_until_ms
    assert "413" in made.state.held_why
    assert made.state.held_by == "refusal"
    vwo.judge = lambda numbers: None
    forget_circuit(made.shard)
    made.shard.let_go(hasten=True)
    made.deliver_until(lambda: made.state.delivered == 21)


def test_a_flush_waits_for_the_parts_of_a_split_batch(make: Make, vwo: Vwo) -> None:
    """A flush waits for the parts of a split batch, which does not count as delivered."""
    made = make(per_request=4)
    vwo.judge = lambda numbers: 413 if len(numbers) > 2 else 503 if 3 in numbers else None
    made.enqueue(0, 1, 2, 3)
    watched: list[flushing.FlushCounts] = []

    def flush() -> dict[str, flushing.FlushCounts]:
        shards = producer_of(made.queue).shards
        return flushing.flush_shards(
            producer_of(made.queue).fleet, shards, timeout_seconds=30, watch=watched.append
        )

    with ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(flush)
        wait_until(lambda: watched, what="the flush to have counted what there is")
        made.deliver_until(lambda: (watched[-1].delivered, watched[-1].pending) == (3, 1))
        assert not flushed.done()
        vwo.judge = lambda numbers: None
        made.deliver_until(flushed.done)

    assert flushed.result()[made.queue.name] == (4, 0, 0, "")


def test_lanes_that_meet_the_limit_at_once_lose_nothing(make: Make, vwo: Vwo) -> None:
    """Several workers that find the size at the same time deliver each event once."""
    made = make(per_request=16)
    vwo.judge = at_most(3)
    made.enqueue(*range(160))
    others = [Delivering(made.queue.settings.redis_url, vwo.standin) for _ in range(3)]

    threads = [threading.Thread(target=each.deliver) for each in [made, *others]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.deliver_until(lambda: made.state.delivered == 160)

    assert made.taken == Counter(range(160))
    assert made.state.balanced
