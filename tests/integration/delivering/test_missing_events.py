"""A batch that holds fewer or more events than were sealed when a worker reads it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

import vwo_celery
from tools.producers import DESTINATION, KEPT
from tools.selective_vwo import Make, Vwo, proven
from vwo_celery import signals
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys(*KEPT)


@pytest.fixture
def queue(redis_url: str, standin: Standin) -> vwo_celery.Queue:
    """A queue with two batches of three events for the stand-in."""
    made = vwo_celery.connect(
        replace(DESTINATION, base_url=standin.url),
        batch_event_data={"events_per_request": 3},
        redis_url=redis_url,
        allowed_hosts=[standin.netloc],
    )
    made.enqueue_many(event(n) for n in range(6))
    return made


def event(number: int) -> dict[str, Any]:
    """An event that VWO would accept."""
    told = {"props": {}, "name": "purchase", "time": 1_795_307_390_500}
    return {"d": {"msgId": f"A-{number}", "visId": "A" * 32, "sessionId": 1, "event": told}}


def after_the_claim(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[Shard, Batch], object]
) -> None:
    """Run something between the first claim and the reading of its events."""
    claim = Shard.claim
    claimed: list[Batch] = []

    def claim_and(self: Shard, **options: Any) -> Batch | None:
        batch = claim(self, **options)
        if batch is not None and not claimed:
            claimed.append(batch)
            happens(self, batch)
        return batch

    monkeypatch.setattr(Shard, "claim", claim_and)


def announced(
    queue: vwo_celery.Queue, clock: Callable[[], float] = time.monotonic
) -> list[tuple[Any, str | None]]:
    """Deliver everything that is due; the signals that the worker sends, and their errors."""
    heard: list[tuple[Any, str | None]] = []

    def hear(signal: Any = None, report: Any = None, **_: Any) -> None:
        heard.append((signal, report.error))

    settling = (signals.batch_delivered, signals.batch_dead_lettered, signals.batch_released)
    for signal in settling:
        signal.connect(hear)
    worker = Worker(producer_of(queue).fleet, queue.settings, lambda wakeup: None, clock)
    deliver(worker, Wakeup(queue.name, 0, ""))
    for signal in settling:
        signal.disconnect(hear)
    return heard


def test_a_batch_that_was_delivered_meanwhile_is_not_sent(
    redis: Any,
    queue: vwo_celery.Queue,
    standin: Standin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch that a slow worker's late ack removed is not sent: no empty request, no second signal."""
    after_the_claim(monkeypatch, lambda shard, batch: shard.ack(batch.id))

    heard = announced(queue)

    assert [error for _, error in heard] == [None]
    assert (standin.stats().requests, standin.stats().empty) == (1, 0)
    assert standin.stats().events == 3
    state = producer_of(queue).shards[0]
    assert redis.exists(state.keys.leases, state.keys.ready) == 0


def test_a_batch_whose_events_were_deleted_is_kept_as_dead(
    redis: Any,
    queue: vwo_celery.Queue,
    standin: Standin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch with deleted events is dead, and the operator is told; the next batch is sent as usual."""
    after_the_claim(monkeypatch, lambda shard, batch: redis.rpop(shard.keys.batch(batch.id)))

    heard = announced(queue)

    assert [signal for signal, _ in heard] == [
        signals.batch_dead_lettered,
        signals.batch_delivered,
    ]
    assert heard[0][1] is not None
    assert "1 of 3 events are gone" in heard[0][1]
    assert standin.stats().events == 3
    shard = producer_of(queue).shards[0]
    (dead,) = redis.zrange(shard.keys.dead, 0, -1)
    assert shard.purge(dead.decode()) == 3


def slow_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """A clock by which reading a batch takes 50 seconds, and everything else no time."""
    now, read = [0.0], Shard.read

    def read_slowly(self: Shard, batch: Batch) -> list[bytes]:
        now[0] += 50
        return read(self, batch)

    monkeypatch.setattr(Shard, "read", read_slowly)
    return lambda: now[0]


@pytest.mark.declared_keys("dead")
@pytest.mark.parametrize("push", ["lpush", "rpush"])
@pytest.mark.parametrize(
    "foreign", [b"no JSON", json.dumps(event(9)).encode()], ids=["bad", "good"]
)
def test_what_another_program_pushed_into_a_batch_costs_none_of_its_events(
    redis: Any, queue: vwo_celery.Queue, standin: Standin, push: str, foreign: bytes
) -> None:
    """All of the batch arrives; what was pushed into it is counted, and sent if it can be."""
    shard = producer_of(queue).shards[0]
    for batch in take_snapshot(shard).batches:
        getattr(redis, push)(shard.keys.batch(batch.id), foreign)

    for _ in range(2):
        announced(queue)

    arrived = [each["d"]["msgId"] for each in standin.events]
    assert sorted({*arrived} - {"A-9"}) == [f"A-{number}" for number in range(6)]
    found, is_good = take_snapshot(shard), foreign != b"no JSON"
    assert len(arrived) == found.delivered == 6 + 2 * is_good
    assert (found.accepted, found.events("dead"), found.balanced) == (8, 2 - 2 * is_good, True)


def test_a_lease_that_could_end_within_the_post_is_renewed(
    redis: Any,
    queue: vwo_celery.Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a slow read, the lease is extended just before the POST: it must not end within it."""
    renewed: list[str] = []
    extend = Shard.extend

    def extend_and_note(self: Shard, batch: Batch, **options: Any) -> bool:
        renewed.append(batch.id)
        return extend(self, batch, **options)

    monkeypatch.setattr(Shard, "extend", extend_and_note)

    heard = announced(queue, slow_reading(monkeypatch))

    assert len(renewed) == 1
    assert [error for _, error in heard] == [None]


@pytest.mark.declared_keys("leases")
def test_a_lease_that_was_lost_before_the_post_is_not_used(
    redis: Any,
    queue: vwo_celery.Queue,
    standin: Standin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch that another worker has claimed meanwhile is not sent."""

    def take_over(shard: Shard, batch: Batch) -> None:
        redis.zadd(shard.keys.leases, {batch.id: 1})
        assert shard.claim(token="", lease_seconds=60)

    after_the_claim(monkeypatch, take_over)

    heard = announced(queue, slow_reading(monkeypatch))

    assert heard == []
    assert standin.stats().requests == 0


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
