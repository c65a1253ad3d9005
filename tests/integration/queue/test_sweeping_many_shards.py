"""Which shards the sweep watches and patrols, and what it costs where there are many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import pytest
import redis as redis_py
from msgspec.structs import replace
from redis.connection import AbstractConnection

from tools.producers import DESTINATION, KEPT, connect, numbers, snapshot, stored
from tools.redis_commands import commands_sent
from tools.redis_groups import ClusterGroup
from tools.sweeps import SECOND, another, make_due, sweep, unwatch_all, watched
from vwo_celery.connections import open_worker_client
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.work import sweeping

#: Enough registrations that Redis stores them in a hash table, which takes more than one HSCAN
#: call.
MANY_QUEUES = 600

pytestmark = pytest.mark.declared_keys(*KEPT, "leases")

# -- watched shards


def test_a_program_that_only_pushes_is_noticed(redis: redis_py.Redis, redis_url: str) -> None:
    """A program in another language needs only LPUSH of JSON onto the documented key."""
    queue = connect(redis_url, batch={"events_per_request": 3})
    shard = producer_of(queue).shards[0]
    assert producer_of(queue).register()
    unwatch_all(redis, shard)
    redis.lpush(shard.keys.open, *numbers(7))

    wakeups = sweep(redis)

    assert f"{queue.name}:0" in watched(redis)
    assert len(wakeups) == 2
    assert [batch.events for batch in snapshot(redis).batches] == [3, 3]
    assert stored(redis) == numbers(7)
    assert snapshot(redis).balanced


def test_a_foreign_event_leaves_at_its_interval(redis: redis_py.Redis, redis_url: str) -> None:
    """A foreign event leaves after its interval, counted from the sweep that first sees it."""
    queue = connect(redis_url)
    assert producer_of(queue).register()
    redis.lpush(producer_of(queue).shards[0].keys.open, *numbers(1))
    sweep(redis)
    first = snapshot(redis).open_first_ms
    make_due(producer_of(queue).shards[0])

    wakeups = sweep(redis)

    assert abs(first - producer_of(queue).fleet.now_ms()) < 60 * SECOND
    assert len(wakeups) == 1
    assert snapshot(redis).events("ready") == 1


def test_every_registered_queue_is_patrolled_in_turn(redis: redis_py.Redis) -> None:
    """A few sweeps patrol all queues in turn, however many there are."""
    fleet = Fleet(redis, "vwo")
    registrations = [another(account) for account in range(1, MANY_QUEUES + 1)]
    for registration in registrations:
        fleet.register(registration)
    shards = [fleet.shard(r.destination.queue, 0) for r in registrations]
    unwatch_all(redis, *shards)
    for shard in shards[::100]:
        redis.lpush(shard.keys.open, *numbers(1))

    for _ in range(2 * MANY_QUEUES // sweeping.AUDITED_QUEUES):
        sweep(redis)

    assert watched(redis) == {shard.keys.name for shard in shards[::100]}


def test_an_announcement_that_was_lost_is_made_up_for(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """The patrol finds events of a producer that died before it could announce them."""
    queue = connect(redis_url, batch=None)
    queue.enqueue({"n": 0})
    redis.delete(
        producer_of(queue).fleet.keys.watched,
        producer_of(queue).fleet.keys.wakeups,
        producer_of(queue).shards[0].keys.slots,
    )

    wakeups = sweep(redis)

    assert len(wakeups) == 1
    assert watched(redis) == {f"{queue.name}:0"}


def test_a_stranded_batch_is_found(redis: redis_py.Redis, redis_url: str) -> None:
    """The patrol makes a batch ready that is in no state, even in a shard that nobody watches."""
    queue = connect(redis_url, batch=None)
    queue.enqueue({"n": 0})
    shard = producer_of(queue).shards[0]
    sweep(redis)
    redis.delete(shard.keys.ready, shard.keys.slots, producer_of(queue).fleet.keys.watched)
    before = snapshot(redis)

    wakeups = sweep(redis)

    assert not before.balanced
    assert len(wakeups) == 1
    assert snapshot(redis).events("ready") == 1
    assert snapshot(redis).balanced


def test_the_search_for_stranded_batches_reads_no_lines_without_need(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """While every batch is in a state, the patrol compares four counts, whatever the backlog is."""
    queue = connect(redis_url, batch=None)
    assert all(queue.enqueue_many({"n": n} for n in range(50)))
    with commands_sent(redis) as sent:
        sweep(redis)

        restores = [command for command in sent() if script("restore").sha in command]

    assert restores == []


def test_an_idle_shard_is_forgotten_and_known_again(redis: redis_py.Redis, redis_url: str) -> None:
    """An idle shard is forgotten; its next event is announced, and the shard is watched again."""
    queue = connect(redis_url)
    meta = producer_of(queue).shards[0].keys.meta
    queue.enqueue({"n": -1})
    sweep(redis)
    redis.delete(producer_of(queue).shards[0].keys.open)
    sweep(redis)
    while_young = watched(redis)
    idle_ms = int(1_000 * sweeping.IDLE_SECONDS)
    redis.hset(meta, "watched", producer_of(queue).fleet.now_ms() - idle_ms - 60 * SECOND)
    sweep(redis)
    when_idle = watched(redis)

    queue.enqueue({"n": 0})

    assert while_young == {f"{queue.name}:0"}
    assert when_idle == set()
    assert watched(redis) == {f"{queue.name}:0"}


def test_a_flush_does_not_hide_an_idle_shard(redis: redis_py.Redis, redis_url: str) -> None:
    """An empty shard that a flush looked at is still announced by its next event."""
    queue = connect(redis_url)
    assert producer_of(queue).register()
    unwatch_all(redis, producer_of(queue).shards[0])
    queue.flush_events(timeout_seconds=0)

    queue.enqueue({"n": 0})

    assert watched(redis) == {f"{queue.name}:0"}


def test_a_shard_is_not_forgotten_over_an_event_that_just_came(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A shard that receives an event just before it would be forgotten stays watched."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})

    unwatch_all(redis, producer_of(queue).shards[0])

    assert watched(redis) == {f"{queue.name}:0"}
    assert redis.hexists(producer_of(queue).shards[0].keys.meta, "watched")


# -- the cost of many shards


def test_ten_thousand_idle_queues_cost_nothing(redis: redis_py.Redis) -> None:
    """A sweep's commands depend on the watched and patrolled shards, not on the registered ones."""
    fleet = Fleet(redis, "vwo")
    registration = another(1)
    pipe = redis.pipeline(transaction=False)
    for number in range(10_000):
        text = msgspec.json.encode(registration)
        pipe.hset(fleet.keys.queues, f"fme-{number}-idle", text)
    pipe.execute()
    sweep(redis)

    with commands_sent(redis) as sent:
        sweep(redis)
        commands = sent()

    assert len(commands) < 10 * sweeping.AUDITED_QUEUES
    assert not [command for command in commands if script("sweep").sha in command]


@contextmanager
def sendings_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """A list that gets an entry for each time that a client sends something to Redis."""
    sent: list[object] = []
    send = AbstractConnection.send_packed_command

    def count(self: Any, command: Any, check_health: bool = True) -> None:
        sent.append(command)
        send(self, command, check_health)

    with monkeypatch.context() as patch:
        patch.setattr(AbstractConnection, "send_packed_command", count)
        yield sent


def watch_many(redis: Any, count: int, **meta: int) -> list[Shard]:
    """Shards with one batch each, which are watched."""
    fleet, pipe = Fleet(redis, "vwo"), redis.pipeline(transaction=False)
    limits = msgspec.to_builtins(producer_of(connect("redis://nowhere")).registration.limits)
    shards = [fleet.shard(f"fme-{number}-many", 0) for number in range(count)]
    for shard in shards:
        pipe.hset(shard.keys.meta, mapping={**limits, "watched": fleet.now_ms(), **meta})
        pipe.sadd(fleet.keys.watched, shard.keys.name)
    pipe.execute()
    return shards


def make_ready(redis: Any, shards: list[Shard], at_ms: int) -> None:
    """One batch in each shard."""
    pipe = redis.pipeline(transaction=False)
    for shard in shards:
        pipe.zadd(shard.keys.ready, {"b": at_ms})
        pipe.hset(shard.keys.info, "b", "0:0:1:10:1:1:")
        pipe.lpush(shard.keys.batch("b"), b"{}")
    pipe.execute()


def test_a_thousand_shards_take_a_few_round_trips(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether nothing is due, or all, a sweep asks Redis a few times, and not once for each shard."""
    shards = watch_many(redis, 1_000)
    make_ready(redis, shards, Fleet(redis, "vwo").now_ms() + 600 * SECOND)
    sweep(redis)

    with sendings_counted(monkeypatch) as waiting:
        assert sweep(redis) == []
    make_ready(redis, shards, 1)
    with sendings_counted(monkeypatch) as due:
        assert len(sweep(redis)) == 1_000

    assert len(waiting) < 15
    assert len(due) < 25


def test_idle_shards_are_forgotten_together(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand shards that fall idle at once are forgotten in a few round trips."""
    shards = watch_many(redis, 1_000, watched=1)
    make_ready(redis, shards[:10], Fleet(redis, "vwo").now_ms() + 600 * SECOND)

    with sendings_counted(monkeypatch) as sent:
        sweep(redis)

    assert len(sent) < 30
    assert watched(redis) == {shard.keys.name for shard in shards[:10]}


def test_many_shards_of_a_cluster(redis: redis_py.Redis) -> None:
    """In a Cluster each node gets its shards in few round trips; its scripts are loaded once."""
    with ClusterGroup(3) as cluster, closing(open_worker_client(cluster.url)) as client:
        fleet = Fleet(client, "vwo")
        registration = producer_of(connect("redis://nowhere")).registration
        destinations = [replace(DESTINATION, account_id=number) for number in range(1, 40)]
        for destination in destinations:
            fleet.register(replace(registration, destination=destination, shards=1))
            shard = fleet.shard(destination.queue, 0)
            client.lpush(shard.keys.open, b"{}")
            client.hset(shard.keys.meta, "first_ms", 1)
        sweeping.sweep(fleet, by="beat")
        for destination in destinations:
            client.hset(fleet.shard(destination.queue, 0).keys.meta, "first_ms", 1)

        wakeups = sweeping.sweep(fleet, by="beat")

        assert {each.queue for each in wakeups} == {each.queue for each in destinations}
        assert sweeping.sweep(fleet, by="beat") == []
