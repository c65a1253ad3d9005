"""Lanes wanted: what an autoscaler is told is what a sweep then hands out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import vwo_celery
from tools.queue_states import KEY, Queues
from vwo_celery.operating.looks.lanes import lanes_wanted, view_lanes
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.records.cards import Card, write_card
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.work.sweeping import sweep_shard
from vwo_celery.testing import RedisServer

MINUTE_MS = 60_000
STEPS = st.one_of(
    st.tuples(st.just("enqueue"), st.integers(1, 30)),
    st.tuples(st.just("foreign"), st.integers(1, 30)),
    st.tuples(st.sampled_from(["claim", "lose", "fail", "fail for long", "deliver"]), st.just(1)),
    st.tuples(st.sampled_from(["age", "pause", "hold", "probe"]), st.just(1)),
)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of these tests' own."""
    with RedisServer() as server:
        yield server


class State:
    """One queue, brought into a state step by step."""

    def __init__(self, url: str, parallel: int) -> None:
        redis_py.Redis.from_url(url).flushall()
        self.queues = Queues(url)
        self.queue = vwo_celery.connect(
            vwo_celery.Destination(account_id=1, sdk_key=KEY, generation="fme"),
            batch_event_data={"events_per_request": 5, "request_time_interval": 60},
            redis_url=url,
            max_parallel_sends=parallel,
        )
        assert producer_of(self.queue).register()
        self.shard = self.queues.shard(self.queue)

    def take(self, step: str, number: int) -> None:
        """Do what *step* names."""
        client, keys, now = self.queues.client, self.shard.keys, self.queues.fleet.now_ms()
        if step == "enqueue":
            self.queues.fill(self.queue, number)
        elif step == "foreign":
            client.lpush(keys.open, *(b"{}" for _ in range(number)))
            self.queues.fleet.watch(keys.name)
        elif step == "age":
            client.hset(keys.meta, "first_ms", now - 2 * MINUTE_MS)
        elif step == "pause":
            self.shard.pause("x")
        elif step == "hold":
            client.hset(keys.meta, "held_until", now + MINUTE_MS)
        elif step == "probe":
            client.hset(keys.meta, "held_until", now - 1)
        else:
            self._claim(step)

    def _claim(self, step: str) -> None:
        batch = self.shard.claim(token="", lease_seconds=60)
        if not isinstance(batch, Batch):
            return
        if step == "lose":
            now = self.queues.fleet.now_ms()
            self.queues.client.zadd(self.shard.keys.leases, {batch.id: now - 1})
        elif step == "fail":
            self.shard.release(batch, delay_seconds=0, error="503")
        elif step == "fail for long":
            self.shard.release(batch, delay_seconds=60, error="503")
        elif step == "deliver":
            self.shard.ack(batch.id)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parallel=st.sampled_from([1, 3, 8]), steps=st.lists(STEPS, max_size=8))
@example(parallel=8, steps=[("enqueue", 3), ("age", 1)])
@example(parallel=8, steps=[("foreign", 23), ("enqueue", 1), ("age", 1)])
@example(parallel=1, steps=[("enqueue", 20), ("claim", 1)])
@example(parallel=8, steps=[("enqueue", 20), ("probe", 1)])
def test_the_lanes_wanted_are_those_that_a_sweep_wakes(
    server: RedisServer, parallel: int, steps: list[tuple[str, int]]
) -> None:
    """Where no wake-up is out, a sweep hands out one for each lane that is wanted and not busy."""
    state = State(server.url, parallel)
    for step, number in steps:
        state.take(step, number)
    state.queues.client.delete(state.shard.keys.slots)

    (glance,) = take_glances([state.shard])
    woken = len(sweep_shard(state.shard))

    assert lanes_wanted(glance) - glance.leased_batches == woken


def test_the_lanes_of_all_queues_and_workers(server: RedisServer) -> None:
    """The sum over queues, the lanes of listening workers, and the most that can ever be used."""
    state = State(server.url, 3)
    state.take("enqueue", 12)
    state.take("claim", 1)
    fleet = state.queues.fleet
    write_card(fleet, "w:1", Card(concurrency=4))
    fleet.note_listener("w:1")
    fleet.note_listener("old:1")

    lanes = view_lanes(fleet)

    assert (lanes.lanes_wanted, lanes.lanes_busy) == (2, 1)
    assert (lanes.lanes_total, lanes.lanes_most, lanes.workers) == (4, 3, 2)


def test_an_old_open_list_wakes_a_fleet_of_nobody(server: RedisServer) -> None:
    """Without worker and beat, events that are old enough want a lane, though nobody has sealed them."""
    state = State(server.url, 8)
    state.take("enqueue", 1)
    assert view_lanes(state.queues.fleet).lanes_wanted == 0

    state.take("age", 1)

    assert view_lanes(state.queues.fleet).lanes_wanted == 1
