"""The sweep finds every batch that is due, and makes up for wake-ups that were lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis as redis_py
from msgspec.structs import replace

import vwo_celery
from tools.producers import (
    BATCH,
    DESTINATION,
    KEPT,
    connect,
    snapshot,
    stored,
    worker_fleet,
    worker_shards,
)
from tools.sweeps import SECOND, age, another, make_due, sweep
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import sweeping

#: Route of the task messages.
ROUTE = "celery@0badcafe"

pytestmark = pytest.mark.declared_keys(*KEPT, "leases")

# -- due batches


def test_every_queue_is_swept(redis: redis_py.Redis, redis_url: str) -> None:
    """Old lists are sealed in each shard of each queue, and a worker is woken for each."""
    queue = connect(redis_url, shards=2)
    other = vwo_celery.connect(
        replace(DESTINATION, account_id=2),
        batch_event_data={"events_per_request": 9},
        redis_url=redis_url,
    )
    while not all(stored(redis, shard) for shard in range(2)):
        queue.enqueue({"n": 0})
    other.enqueue({"n": 1})
    shards = [*producer_of(queue).shards, *producer_of(other).shards]
    for shard in shards:
        make_due(shard)

    wakeups = sweep(redis)

    assert {(w.queue, w.shard) for w in wakeups} == {(s.queue, s.number) for s in shards}
    assert not any(redis.llen(shard.keys.open) for shard in shards)


def test_a_young_list_waits(redis: redis_py.Redis, redis_url: str) -> None:
    """Before its interval is over, an open list is not sealed, however often the sweep runs."""
    connect(redis_url).enqueue({"n": 0})

    assert [sweep(redis) for _ in range(3)] == [[], [], []]
    assert snapshot(redis).open_events == 1


def test_a_sweep_leaves_a_sign_of_life(redis: redis_py.Redis) -> None:
    """A sweep stores its time and who ran it, for monitoring."""
    fleet = Fleet(redis, "vwo")
    before = fleet.now_ms()

    sweeping.sweep(fleet, by="listener")

    assert before <= fleet.last_sweeps_ms()["listener"] <= fleet.now_ms()
    assert "beat" not in fleet.last_sweeps_ms()


def test_a_lost_wakeup_is_made_up_for(redis: redis_py.Redis, redis_url: str) -> None:
    """A lost wake-up keeps its slot for a while, and is then sent again."""
    queue = connect(redis_url, batch=None)
    queue.enqueue({"n": 0})
    redis.delete(producer_of(queue).fleet.keys.wakeups)

    at_once = sweep(redis)
    age(producer_of(queue).shards[0], producer_of(queue).shards[0].keys.slots, 60 * SECOND)
    later = sweep(redis)

    assert at_once == []
    assert [wakeup.queue for wakeup in later] == [queue.name]


def test_a_silent_workers_batch_is_woken_for(redis: redis_py.Redis, redis_url: str) -> None:
    """When a lease has expired, a worker is woken and gets exactly that batch."""
    queue = connect(redis_url, batch=None)
    (shard,) = worker_shards(queue)
    queue.enqueue({"n": 0})
    wakeup = worker_fleet(queue).next_wakeup(1.0)
    assert wakeup is not None
    lost = shard.claim(token=wakeup.token, lease_seconds=60)
    assert lost is not None
    age(shard, shard.keys.leases, 61 * SECOND)
    age(shard, shard.keys.slots, 61 * SECOND)

    (again,) = sweep(redis)
    batch = shard.claim(token=again.token, lease_seconds=60)

    assert batch is not None
    assert (batch.id, batch.attempt, batch.lost_leases) == (lost.id, 2, 1)


def test_wakeups_never_exceed_the_parallel_sends(redis: redis_py.Redis, redis_url: str) -> None:
    """After any number of batches and sweeps, there are at most as many wake-ups as `parallel` allows."""
    queue = connect(redis_url, batch=None, max_parallel_sends=4)
    queue.enqueue_many({"n": n} for n in range(50))
    left = redis.llen(producer_of(queue).fleet.keys.wakeups)

    found = [wakeup for _ in range(5) for wakeup in sweep(redis)]

    assert left + len(found) == 4
    assert snapshot(redis).slots == 4


def test_sweeps_at_the_same_time_do_the_work_once(redis: redis_py.Redis, redis_url: str) -> None:
    """Concurrent sweeps seal each batch once and wake one worker for it."""
    queue = connect(redis_url, max_parallel_sends=4)
    queue.enqueue_many({"n": n} for n in range(10))
    make_due(producer_of(queue).shards[0])
    found: list[Wakeup] = []
    threads = [threading.Thread(target=lambda: found.extend(sweep(redis))) for _ in range(6)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 1
    assert [batch.events for batch in snapshot(redis).batches] == [10]


def test_a_pause_keeps_everybody_asleep(redis: redis_py.Redis, redis_url: str) -> None:
    """A paused queue is sealed as usual; the first sweep after the pause wakes a worker."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})
    make_due(producer_of(queue).shards[0])
    (shard,) = worker_shards(queue)
    shard.pause("401 Unauthorized")

    while_paused = sweep(redis)
    shard.resume()
    afterwards = sweep(redis)

    assert while_paused == []
    assert len(afterwards) == 1


# -- wake-ups that wait in the broker, or are lost there


def overloaded(redis: Any, redis_url: str) -> Shard:
    """A shard with six due batches, whose wake-ups were published and wait."""
    queue = connect(redis_url, batch={"events_per_request": 1}, max_parallel_sends=6)
    queue.enqueue_many([{"n": number} for number in range(6)])
    fleet = Fleet(redis, "vwo")
    fleet.note_task(ROUTE, fleet.note_published(ROUTE))
    redis.hincrby(fleet.keys.pulse, f"published:{ROUTE}", 1)
    return producer_of(queue).shards[0]


def pass_time(redis: Any, shard: Shard, seconds: int) -> None:
    """Make every slot and note older, as if nothing had happened meanwhile."""
    age(shard, shard.keys.slots, seconds * SECOND)
    pulse = Fleet(redis, "vwo").keys.pulse
    for name in (f"published:{ROUTE}", f"started:{ROUTE}"):
        redis.hincrby(pulse, name, -seconds * SECOND)


def test_wakeups_that_wait_are_not_given_out_again(redis: redis_py.Redis, redis_url: str) -> None:
    """However long every lane is busy, a sweep gives out no second wake-up for a batch.

    Messages would pile up in the broker, and wake-ups in a worker whose broker is away.
    """
    shard = overloaded(redis, redis_url)
    fleet, given = Fleet(redis, "vwo"), []

    for _ in range(100):
        pass_time(redis, shard, 4)
        for wakeup in sweep(redis):
            given.append(wakeup)
            fleet.note_published(ROUTE)

    assert redis.zcard(shard.keys.slots) == 6
    assert {wakeup.token for wakeup in given} == {""}  # a message in addition, to find out
    assert len(given) <= 400 / 60 + 5


def test_wakeups_that_were_overtaken_are_given_out_again(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """Once a task starts with a message published after them, those that have not started are lost."""
    shard = overloaded(redis, redis_url)
    pass_time(redis, shard, 60)
    (probe,) = sweep(redis)
    fleet = Fleet(redis, "vwo")

    fleet.note_task(ROUTE, fleet.note_published(ROUTE))
    again = sweep(redis)

    assert probe.token == ""
    assert len(again) == len({wakeup.token for wakeup in again}) == 6
    assert sweep(redis) == []


def test_what_leaves_at_each_sweep_hides_no_lost_message(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """Where another route goes on and every sweep finds a batch, lost messages are looked for, too."""
    shard = overloaded(redis, redis_url)
    pass_time(redis, shard, 4)
    fleet = Fleet(redis, "vwo")
    fleet.note_task("other@0", fleet.note_published("other@0"))
    other = vwo_celery.connect(
        replace(DESTINATION, account_id=2), batch_event_data=BATCH, redis_url=redis_url
    )
    other.enqueue({"n": 0})
    make_due(producer_of(other).shards[0])

    found = sweep(redis)

    assert {wakeup.queue for wakeup in found if wakeup.token} == {other.name}
    assert [wakeup.queue for wakeup in found if not wakeup.token] == [shard.queue]


def test_slots_are_given_out_shortly_before_their_messages(redis: redis_py.Redis) -> None:
    """However many queues are due, only some have slots while messages are published."""
    fleet = Fleet(redis, "vwo")
    with redis.pipeline(transaction=False) as pipe:
        for account in range(201):
            registration = another(account)
            queue = registration.destination.queue
            fleet.register(registration)
            pipe.lpush(fleet.shard(queue, 0).keys.open, *[b"{}"] * BATCH["events_per_request"])
        pipe.execute()
    watched = all_of(fleet)
    fleet.watch(*(shard.keys.name for shard in watched))

    given, most = 0, 0
    with redis.pipeline(transaction=False) as pipe:
        for _ in sweeping.sweep_step_by_step(fleet, by="beat"):
            given += 1
            for shard in watched:
                pipe.zcard(shard.keys.slots)
            most = max(most, sum(pipe.execute()) - given)

    assert given == len(watched)
    assert most < 100


def all_of(fleet: Fleet) -> list[Shard]:
    """The first shard of each registered queue."""
    return [fleet.shard(queue, 0) for queue in fleet.registrations().readable]
