"""The sweep finds every batch that is due, at a cost in proportion to the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
import redis as redis_py
from celery import Celery
from msgspec.structs import replace
from redis.connection import AbstractConnection
from redis.exceptions import NoPermissionError

import vwo_celery
import vwo_celery.celery.worker.listener
import vwo_celery.celery.worker.stopping
from tools.producers import BATCH, DESTINATION, KEPT, connect, numbers, snapshot, stored
from tools.redis_commands import commands_sent
from tools.redis_groups import ClusterGroup
from tools.waiting import wait_until
from vwo_celery.connections import open_worker_client
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.registration import Registration, Wakeup
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.work import sweeping
from vwo_celery.queue.work.sweeping import _tell_of_refusal
from vwo_celery.testing import RedisServer

SECOND = 1_000
#: Route of the task messages.
ROUTE = "celery@0badcafe"
#: Enough registrations that Redis stores them in a hash table, which takes more than one HSCAN
#: call.
MANY_QUEUES = 600

pytestmark = pytest.mark.declared_keys(*KEPT, "leases")


def sweep(redis: Any) -> list[Wakeup]:
    """Sweep once, as beat's task does."""
    return sweeping.sweep(Fleet(redis, "vwo"), by="beat")


def another(account: int) -> Registration:
    """A registration of another queue."""
    queue = connect("redis://nowhere")
    return replace(
        producer_of(queue).registration,
        destination=replace(DESTINATION, account_id=account),
        shards=1,
    )


def age(shard: Shard, key: str, milliseconds: int) -> None:
    """Make every time in a sorted set older."""
    for member, at in shard.client.zrange(key, 0, -1, withscores=True):
        shard.client.zadd(key, {member: at - milliseconds})


def make_due(shard: Shard) -> None:
    """Make the open list's first event older than any interval."""
    shard.client.hset(shard.keys.meta, "first_ms", 1)


def watched(redis: Any) -> set[str]:
    """The short names of the watched shards."""
    return {shard.keys.name for shard in Fleet(redis, "vwo").watched()}


def unwatch_all(redis: Any, *shards: Shard) -> None:
    """Make the sweep forget empty shards, as after long idleness."""
    for shard in shards:
        Fleet(redis, "vwo").unwatch(shard)


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
    shard = producer_of(queue).shards[0]
    queue.enqueue({"n": 0})
    (wakeup,) = (producer_of(queue).fleet.next_wakeup(1.0),)
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
    producer_of(queue).shards[0].pause("401 Unauthorized")

    while_paused = sweep(redis)
    producer_of(queue).shards[0].resume()
    afterwards = sweep(redis)

    assert while_paused == []
    assert len(afterwards) == 1


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


# -- the cost of many shards


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


# -- trouble that must not stop a sweep


def test_a_full_redis_is_swept() -> None:
    """On a Redis without memory, due lists are sealed and woken for: they may leave."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        queue = connect(server.url)
        queue.enqueue_many({"n": n} for n in range(5))
        make_due(producer_of(queue).shards[0])
        client.config_set("maxmemory", 1)

        wakeups = sweep(client)

        assert len(wakeups) == 1
        assert snapshot(client).events("ready") == 5
        client.close()


def test_a_flush_on_a_full_redis_waits_for_the_truth() -> None:
    """On a Redis without memory, a flush seals and watches batches, although it leaves no wake-up."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        queue = connect(server.url)
        queue.enqueue_many({"n": n} for n in range(5))
        client.config_set("maxmemory", 1)

        result = queue.flush_events(timeout_seconds=0)

        assert result.pending == 5
        assert snapshot(client).events("ready") == 5
        client.close()


def test_a_listener_of_a_full_redis_goes_on() -> None:
    """A listener that cannot store its sign of life still sweeps, and starts what is due."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        queue = connect(server.url)
        queue.enqueue_many({"n": n} for n in range(5))
        make_due(producer_of(queue).shards[0])
        client.config_set("maxmemory", 1)
        app = Celery(broker="memory://", set_as_current=False)
        vwo_celery.setup(app, redis_url=server.url)
        listener = vwo_celery.celery.worker.listener.Listener(app)

        listener.start(Consumer(app))

        with app.connection_for_read() as connection:
            message = connection.SimpleQueue("celery").get(timeout=20)
            assert message.headers["task"] == "vwo_celery.deliver"
            message.ack()
        listener.stop(Consumer(app))
        wait_until(lambda: not any("listener" in t.name for t in threading.enumerate()))
        vwo_celery.celery.worker.stopping.stopping.prepare()
        client.close()


class Consumer(NamedTuple):
    """The parts of Celery's consumer that the listener uses."""

    app: Celery


def break_open_list(fleet: Fleet, queue: vwo_celery.Queue) -> None:
    """Store a string in place of the open list."""
    fleet.client.set(producer_of(queue).shards[0].keys.open, "not a list")


def break_registration(fleet: Fleet, queue: vwo_celery.Queue) -> None:
    """Store a registration that cannot be read."""
    fleet.client.hset(fleet.keys.queues, queue.name, '{"destination": 1}')


@pytest.mark.parametrize("damage", [break_open_list, break_registration])
def test_one_broken_queue_does_not_hold_up_the_others(
    redis: redis_py.Redis,
    redis_url: str,
    damage: Callable[[Fleet, vwo_celery.Queue], None],
) -> None:
    """A broken queue is logged, and every other queue is swept and patrolled."""
    well = connect(redis_url)
    broken = vwo_celery.connect(replace(DESTINATION, account_id=9), redis_url=redis_url)
    assert producer_of(broken).register()
    assert producer_of(well).register()
    redis.delete(producer_of(well).fleet.keys.watched)
    damage(producer_of(broken).fleet, broken)
    producer_of(broken).fleet.watch(f"{broken.name}:0")
    redis.lpush(producer_of(well).shards[0].keys.open, *numbers(100))

    wakeups = sweep(redis)

    assert [wakeup.queue for wakeup in wakeups] == [well.name]
    redis.delete(producer_of(broken).shards[0].keys.open)


def test_what_a_sweep_misses_is_logged_seldom(
    redis: redis_py.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken shard is told once a minute, and so is what Redis refuses of all shards alike."""
    broken = vwo_celery.connect(replace(DESTINATION, account_id=10), redis_url=redis_url)
    others = [
        vwo_celery.connect(replace(DESTINATION, account_id=n), redis_url=redis_url)
        for n in (11, 12)
    ]
    for queue in (broken, *others):
        assert producer_of(queue).register()
    break_open_list(producer_of(broken).fleet, broken)
    producer_of(broken).fleet.watch(f"{broken.name}:0")

    for _ in range(3):
        sweep(redis)
    for queue in others:
        for _ in range(2):
            _tell_of_refusal(queue.name, NoPermissionError("has no permissions to run 'evalsha'"))

    told = [each for each in caplog.messages if "going on without" in each]
    assert [broken.name in each for each in told] == [True, False]
    assert "wrong type" in told[0]
    assert "give the user these rights" in told[1]
    redis.delete(producer_of(broken).shards[0].keys.open)


def test_a_shard_that_nobody_registered_is_left_alone(redis: redis_py.Redis) -> None:
    """A watched shard without limits, as after FLUSHALL, is left alone."""
    fleet = Fleet(redis, "vwo")
    fleet.watch("fme-1-gone:0")

    assert sweep(redis) == []


def test_a_flush_takes_no_lease_from_a_worker(redis: redis_py.Redis, redis_url: str) -> None:
    """A flush does not shorten the workers' leases, whose length an application need not know."""
    queue = connect(redis_url, batch=None)
    queue.enqueue({"n": 0})
    batch = producer_of(queue).shards[0].claim(token="", lease_seconds=7_200)
    assert batch is not None

    queue.flush_events(timeout_seconds=0)

    assert snapshot(redis).events("in_flight") == 1
    assert producer_of(queue).shards[0].claim(token="", lease_seconds=60) is None


def test_a_sweep_shows_what_a_clock_hid(redis: redis_py.Redis, redis_url: str) -> None:
    """A batch due later than any delay of ours becomes visible: the clock was ahead for a moment."""
    queue = connect(redis_url, batch=None)
    queue.enqueue({"n": 0})
    shard = producer_of(queue).shards[0]
    redis.delete(shard.keys.slots)
    age(shard, shard.keys.ready, -2 * 86_400 * SECOND)

    wakeups = sweep(redis)

    assert len(wakeups) == 1
    assert shard.claim(token="", lease_seconds=60) is not None
