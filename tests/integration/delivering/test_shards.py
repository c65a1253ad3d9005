"""Producers of one queue with different numbers of shards: no shard is forgotten, none runs free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tools.selective_vwo import Delivering
from vwo_celery.delivering.delivery import deliver
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys("watched", "ready", "info", "batch", "slots", "wakeups")
#: Visits of the worker to a shard.
VISITS = 50


@pytest.fixture
def vwo() -> Iterator[Standin]:
    """A VWO that accepts everything until it is told to fail."""
    with Standin() as standin:
        yield standin


def filled_beyond(made: Delivering, number: int) -> Shard:
    """Put four batches of one event into a shard that no registration counts."""
    shard: Shard = made.worker.fleet.shard(made.queue.name, number)
    made.enqueue(0)
    shard.set_limits(made.worker.registration(made.queue.name).limits)
    shard.client.lpush(shard.keys.open, *(b'{"d":{"n":%d}}' % n for n in range(4)))
    shard.sweep(force=True, idle_ms=10**12)
    return shard


def visit(made: Delivering, shard: Shard) -> None:
    """Let the worker deliver from a shard, as often as wake-ups may come; not beyond all bounds."""
    for _ in range(VISITS):
        if len(made.standin.requests) < VISITS:
            deliver(made.worker, Wakeup(made.queue.name, shard.number, ""))


def test_a_refusal_pauses_the_shard_of_its_batch(redis_url: str, vwo: Standin) -> None:
    """A 401 pauses the batch's own shard, though no registration counts it: VWO is asked once."""
    made = Delivering(redis_url, vwo, per_request=1)
    shard = filled_beyond(made, 3)
    vwo.fail(*[401] * VISITS)

    visit(made, shard)

    assert len(vwo.requests) == 1
    assert "401" in take_snapshot(shard).paused
    assert "401" in made.state.paused
    assert take_snapshot(shard).counted_events == 4


def test_an_outage_holds_the_shard_of_its_batch(redis_url: str, vwo: Standin) -> None:
    """A circuit that opens holds the batch's own shard, though no registration counts it."""
    options: dict[str, Any] = {
        "circuit_failures": 3, "backoff_base_seconds": 60, "backoff_max_seconds": 60,
    }  # fmt: skip
    made = Delivering(redis_url, vwo, per_request=1, **options)
    shard = filled_beyond(made, 3)
    vwo.fail(*[503] * VISITS)

    visit(made, shard)

    assert len(vwo.requests) == 3
    assert take_snapshot(shard).held_until_ms


def test_a_refusal_does_not_ask_again_at_once(
    redis_url: str, vwo: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused batch rests before its next attempt even where the pause does not hold."""
    made = Delivering(
        redis_url, vwo, per_request=1, backoff_base_seconds=60, backoff_max_seconds=60
    )
    made.enqueue(0)
    vwo.fail(*[401] * VISITS)
    monkeypatch.setattr(Shard, "pause", lambda *_, **__: None)

    visit(made, made.shard)

    assert len(vwo.requests) == 1
