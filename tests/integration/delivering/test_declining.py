"""Queues that a worker leaves to others, since its own settings or its own way keep it from them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tools.selective_vwo import Delivering
from vwo_celery import signals
from vwo_celery.delivering import declining
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.operating.looks.stops import stop_of
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.declines import declines_of
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work.sweeping import sweep
from vwo_celery.testing import Standin

KEPT = (
    "ready", "info", "batch", "watched", "slots", "wakeups", "listeners", "declined", "declined_queues",
)  # fmt: skip

pytestmark = pytest.mark.declared_keys(*KEPT)


@pytest.fixture
def fleet(redis: Any) -> Fleet:
    """A fleet in which two workers listen."""
    found = Fleet(redis, "vwo")
    found.note_listener("ours:1")
    found.note_listener("other:2")
    return found


def made_by(redis_url: str, standin: Standin, **settings: Any) -> Delivering:
    """One queue, and a worker that listens as "ours:1"."""
    made = Delivering(redis_url, standin, per_request=1, **settings)
    worker = made.worker
    made.worker = Worker(worker.fleet, worker.settings, made.woken.append, name="ours:1")
    return made


def call(made: Delivering, token: str = "") -> int:
    """Deliver for one wake-up, without a sweep."""
    return deliver(made.worker, Wakeup(made.queue.name, 0, token))


def later(made: Delivering, seconds: float) -> None:
    """Let time pass for the worker's decisions."""
    clock = made.worker.declining._clock
    made.worker.declining._clock = lambda: clock() + seconds


def test_a_wakeup_for_another_host_goes_on(redis_url: str, fleet: Fleet, standin: Standin) -> None:
    """A wake-up is passed on, at most one a second; the slots of the others are free for a sweep."""
    made = made_by(redis_url, standin, allowed_hosts=())
    made.enqueue(0, 1, 2)
    slots = [f"{name.decode()}" for name in fleet.client.zrange(made.shard.keys.slots, 0, -1)]

    attempts = [call(made, token) for token in slots]

    assert attempts == [0] * 3
    passed_on = fleet.next_wakeup(1)
    assert passed_on is not None
    assert fleet.client.zrange(made.shard.keys.slots, 0, -1) == [passed_on.token.encode()]
    assert made.state.held_until_ms == 0
    assert [batch.attempt for batch in made.state.batches] == [0] * 3


def test_a_wakeup_that_nobody_takes_up_goes_on_ever_more_seldom(
    redis_url: str, fleet: Fleet, standin: Standin
) -> None:
    """The pause doubles up to a bound while the same batch waits; no sweep wakes a task within it."""
    made = made_by(redis_url, standin, allowed_hosts=())
    made.enqueue(0)
    wakeup = fleet.next_wakeup(1)
    assert wakeup is not None
    pauses = []

    for _ in range(7):
        later(made, pauses[-1] if pauses else 0)
        call(made, wakeup.token)
        pauses.append(made.worker.declining._passed_on[made.shard.keys.name].seconds)
        assert fleet.next_wakeup(1) == wakeup
    call(made, wakeup.token)

    assert pauses == [1, 2, 4, 8, 8, 8, 8]
    assert fleet.waiting_wakeups() == 0
    ((_, rests_until_ms),) = fleet.client.zrange(made.shard.keys.slots, 0, -1, withscores=True)
    assert 0 < rests_until_ms - made.state.now_ms <= 8_000
    assert sweep(fleet, by="listener") == []


def test_a_batch_that_left_shortens_the_pauses(
    redis_url: str, fleet: Fleet, standin: Standin
) -> None:
    """Once somebody has taken a batch up, wake-ups are passed on each second again."""
    made = made_by(redis_url, standin, allowed_hosts=())
    made.enqueue(0, 1)
    for seconds in (1, 2):
        call(made)
        later(made, seconds)

    batch = made.shard.claim(token="", lease_seconds=60.0)
    assert isinstance(batch, Batch)
    assert made.shard.ack(batch.id)
    call(made)

    assert made.worker.declining._passed_on[made.shard.keys.name].seconds == 1


def test_a_queue_that_all_decline_is_held_for_moments(
    redis_url: str, fleet: Fleet, standin: Standin
) -> None:
    """Where all listeners decline a queue it is held for seconds; one that may send ends that."""
    made = made_by(redis_url, standin, allowed_hosts=())
    made.enqueue(0)
    fleet.forget_listener("other:2")

    call(made)

    state = made.state
    assert 0 < state.held_until_ms - state.now_ms <= 1000 * declining._HOLD_SECONDS
    assert not state.paused
    stopped = stop_of([state])
    assert stopped is not None
    assert stopped.by == "workers"
    assert str(stopped).startswith("stopped: this worker may not send to ")
    assert str(stopped).endswith(
        "because no worker may send it); it goes on by itself as soon as one may"
    )
    fleet.note_listener("other:2")
    later(made, declining._ASK_SECONDS)
    redis = fleet.client
    redis.hset(made.shard.keys.meta, "held_until", state.now_ms - 1)
    call(made)
    assert made.state.held_until_ms < state.now_ms

    other = Delivering(redis_url, standin, per_request=1)
    other.deliver_until(lambda: other.state.delivered == 1)
    assert made.taken == Counter([0])


@pytest.mark.parametrize("variables", [("HTTP_PROXY", "http://127.0.0.1:9")], ids=["proxy"])
def test_a_way_of_its_own_that_fails_costs_no_attempt(
    redis_url: str,
    fleet: Fleet,
    standin: Standin,
    monkeypatch: pytest.MonkeyPatch,
    variables: tuple[str, str],
) -> None:
    """A batch goes back without an attempt; later the worker tries its own way again, and recovers."""
    monkeypatch.setenv("NO_PROXY", "")
    made = made_by(redis_url, standin, circuit_failures=1)
    made.enqueue(0)
    with monkeypatch.context() as patch:
        patch.setenv(*variables)
        tried = [call(made), call(made)]
    made.worker.senders = Delivering(redis_url, standin).worker.senders

    assert tried == [1, 0]
    assert [(each.attempt, each.state) for each in made.state.batches] == [(0, "ready")]
    assert made.state.held_until_ms == 0
    assert list(declines_of(fleet, ["ours:1"])) == [made.queue.name]
    later(made, declining._REST_SECONDS)
    assert call(made) == 1
    assert made.state.delivered == 1
    assert declines_of(fleet, ["ours:1"]) == {}


def test_a_way_that_fails_for_all_is_an_outage(
    redis_url: str, fleet: Fleet, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no other worker has a way, the batch is released, and the circuit counts it."""
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    fleet.forget_listener("other:2")
    made = made_by(
        redis_url, standin, circuit_failures=1, backoff_base_seconds=60, backoff_max_seconds=600
    )
    ends = made.listen()
    made.enqueue(0)

    call(made)

    (released,) = made.reports(signals.batch_released)
    ends()
    assert "HTTPS_PROXY" in (released.error or "")
    assert made.state.held_until_ms > 0
    fleet.client.delete(made.shard.keys.circuit)


def test_a_queue_with_a_callback_waits_for_no_worker_in_vain(
    redis_url: str, fleet: Fleet, standin: Standin
) -> None:
    """A batch that nobody with the callback sends for long is sent without it."""
    made = made_by(redis_url, standin, callback_modules=())
    registration = producer_of(made.queue).registration
    made.enqueue(0)
    with_callback = type(registration)(
        registration.destination, registration.limits, flush_callback="os:getpid"
    )
    fleet.register(with_callback)

    assert call(made) == 0
    age_ms = 1000 * round(declining._PATIENCE_SECONDS) + 1000
    for batch, at in fleet.client.zrange(made.shard.keys.ready, 0, -1, withscores=True):
        fleet.client.zadd(made.shard.keys.ready, {batch: at - age_ms})
    assert call(made) == 1

    assert made.state.delivered == 1


def test_a_note_that_cannot_be_written_stops_nobody(
    redis_url: str, fleet: Fleet, standin: Standin
) -> None:
    """Where Redis refuses the note, a wake-up is passed on all the same, and nothing is held."""
    made = made_by(redis_url, standin, allowed_hosts=())
    made.enqueue(0)
    fleet.client.set(made.shard.keys.declined, "no hash")

    call(made)

    assert fleet.next_wakeup(1) is not None
    assert made.state.held_until_ms == 0
