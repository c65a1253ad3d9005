"""A stall: workers that listen but run no task, in contrast to idle and busy ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py
from celery import Celery

import vwo_celery
from tools.queue_states import Queues
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.celery.messages.publisher import Publisher
from vwo_celery.operating.looks import health
from vwo_celery.operating.looks.stalls import Stall, find_neglected, find_stall, silence_seconds
from vwo_celery.queue.holding.declines import note_decline
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.testing import RedisServer

#: Longer than a silence that counts as a stall, in seconds.
LONG = 20.0

pytestmark = pytest.mark.declared_keys(
    "watched", "batch", "open", "wakeups", "slots", "ready", "info", "leases"
)


DECLINED = pytest.mark.declared_keys("declined", "declined_queues")


@pytest.fixture
def waiting(queues: Queues) -> vwo_celery.Queue:
    """A queue with one batch that has been ready for long and that no worker sends."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.age_ready(queue, first_seconds=LONG, visible_seconds=LONG)
    queues.fleet.note_listener("worker:1")
    note(queues, "listening", 2 * LONG)
    return queue


def look(queues: Queues) -> Stall | None:
    """The stall that is found."""
    fleet = queues.fleet
    return find_stall(fleet, queues.settings, fleet.signs_ms(), fleet.now_ms())


def note(queues: Queues, sign: str, seconds_ago: float) -> None:
    """Store a sign of life of the given age."""
    fleet = queues.fleet
    fleet.client.hset(fleet.keys.pulse, sign, fleet.now_ms() - int(1000 * seconds_ago))


def test_a_batch_that_waits_and_no_task_is_a_stall(
    queues: Queues, waiting: vwo_celery.Queue
) -> None:
    """A waiting batch and no task are a stall; it names the shard and how long no task has run."""
    note(queues, "task", LONG)
    note(queues, "beat", 2 * LONG)

    stall = look(queues)

    assert stall is not None
    assert [shard.keys.name for shard in stall.shards] == [f"{waiting.name}:0"]
    assert LONG <= (stall.silent_seconds or 0) < 2 * LONG


def test_a_worker_that_finds_a_backlog_at_its_start_is_no_stall(
    queues: Queues, waiting: vwo_celery.Queue
) -> None:
    """The silence counts from when a worker began to listen, after none did: its tasks need a moment.

    A second worker that joins, and one that replaces another at once, begin nothing anew.
    """
    fleet = queues.fleet
    note(queues, "task", 100 * LONG)
    fleet.forget_listener("worker:1")

    fleet.note_listener("worker:2")
    at_start = look(queues), health.health(fleet, queues.settings).problems
    note(queues, "listening", LONG)
    fleet.note_listener("worker:3")
    later = look(queues)

    assert at_start[0] is None
    assert not any("restart" in each for each in at_start[1])
    assert later is not None
    assert later.silent_seconds is not None
    assert later.silent_seconds >= 100 * LONG, "the silence of tasks is told as it is"


def a_task(queues: Queues, queue: vwo_celery.Queue) -> None:
    """A task ran just now."""
    queues.fleet.note_task()


def a_sweep_by_task(queues: Queues, queue: vwo_celery.Queue) -> None:
    """A sweep requested by beat ran just now."""
    queues.fleet.note_sweep("beat")


def a_batch_in_flight(queues: Queues, queue: vwo_celery.Queue) -> None:
    """A lane waits for a slow answer of VWO, in another queue."""
    other = queues.add(2)
    queues.fill(other, 5)
    queues.claim(other)


def a_pause(queues: Queues, queue: vwo_celery.Queue) -> None:
    """An operator paused the queue."""
    queues.shard(queue).pause("maintenance")


def a_pause_that_just_ended(queues: Queues, queue: vwo_celery.Queue) -> None:
    """A pause ended just now, and its batches had no time to leave."""
    queues.shard(queue).pause("maintenance")
    queues.shard(queue).resume()


def an_open_circuit(queues: Queues, queue: vwo_celery.Queue) -> None:
    """VWO is down, and the next probe is due later."""
    queues.shard(queue).hold(queues.fleet.now_ms() + 60_000)


def a_fresh_batch(queues: Queues, queue: vwo_celery.Queue) -> None:
    """The batch became ready just now."""
    queues.age_ready(queue, first_seconds=LONG, visible_seconds=1)


@pytest.mark.parametrize(
    "state",
    [a_task, a_sweep_by_task, a_batch_in_flight, a_pause, a_pause_that_just_ended,
     an_open_circuit, a_fresh_batch],
)  # fmt: skip
def test_what_is_no_stall(
    queues: Queues,
    waiting: vwo_celery.Queue,
    state: Callable[[Queues, vwo_celery.Queue], None],
) -> None:
    """No stall is found while a worker may be about to send the batch, or must not."""
    state(queues, waiting)

    assert look(queues) is None
    assert health.health(queues.fleet, queues.settings)


def neglected(queues: Queues) -> list[str]:
    """Names of the shards that are found neglected."""
    found = find_neglected(queues.fleet, queues.settings, queues.fleet.now_ms())
    return [shard.keys.name for shard in found]


@DECLINED
def test_what_is_declined_and_waits_is_neglected(queues: Queues, waiting: vwo_celery.Queue) -> None:
    """A batch that waits although tasks run, in a queue that a worker declines, is neglected."""
    a_task(queues, waiting)
    before = neglected(queues)

    note_decline(queues.fleet, waiting.name, "worker:1", "not allowed")

    assert before == []
    assert neglected(queues) == [f"{waiting.name}:0"]
    assert look(queues) is None


def a_lane_that_sends(queues: Queues, queue: vwo_celery.Queue) -> None:
    """A worker sends a batch of this queue."""
    queues.fill(queue, 5)
    queues.claim(queue)


def a_task_that_sends_another(queues: Queues, queue: vwo_celery.Queue) -> None:
    """Nobody declines this queue, but another one."""
    redis = queues.client
    redis.delete(queues.shard(queue).keys.declined)
    redis.zrem(queues.fleet.keys.declined_queues, queue.name)
    note_decline(queues.fleet, "legacy-2-b", "worker:1", "not allowed")


@DECLINED
@pytest.mark.parametrize(
    "state",
    [a_lane_that_sends, a_task_that_sends_another, a_pause, a_pause_that_just_ended,
     an_open_circuit, a_fresh_batch],
)  # fmt: skip
def test_what_is_not_neglected(
    queues: Queues,
    waiting: vwo_celery.Queue,
    state: Callable[[Queues, vwo_celery.Queue], None],
) -> None:
    """A queue that somebody sends, that nobody declines, or that must not leave is not neglected."""
    note_decline(queues.fleet, waiting.name, "worker:1", "not allowed")

    state(queues, waiting)

    assert neglected(queues) == []


@DECLINED
def test_a_look_tells_of_so_many_neglected_shards(queues: Queues) -> None:
    """However many shards are neglected, one look tells of at most a hundred."""
    for queue in (queues.add(1, shards=64), queues.add(2, shards=64)):
        note_decline(queues.fleet, queue.name, "worker:1", "not allowed")
        for number in range(64):
            shard = queues.shard(queue, number)
            queues.client.zadd(shard.keys.ready, {"batch": 1})
            queues.fleet.watch(shard.keys.name)

    assert len(neglected(queues)) == 100


def test_idle_workers_without_beat_are_healthy(queues: Queues) -> None:
    """Idle workers without beat are healthy: no task is due."""
    queue = queues.add()
    queues.fill(queue, 3)
    queues.fleet.note_listener("worker:1")

    assert look(queues) is None
    assert health.health(queues.fleet, queues.settings)


def test_a_lost_lease_that_nobody_reclaims_is_a_stall(queues: Queues) -> None:
    """An expired lease that nobody reclaims is a stall: such a batch waits as well."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.claim(queue)
    keys = queues.shard(queue).keys
    for batch in queues.client.zrange(keys.leases, 0, -1):
        queues.client.zadd(keys.leases, {batch: queues.fleet.now_ms() - int(1000 * LONG)})

    stall = look(queues)

    assert stall is not None
    assert stall.silent_seconds is None
    assert str(stall).startswith("no worker has run a task yet, though batches wait: see whether")


def test_health_names_the_stall(queues: Queues, waiting: vwo_celery.Queue) -> None:
    """health reports the stall once the batch is late or a listener had to send, until a task runs."""
    note(queues, "task", LONG)

    not_late = health.health(queues.fleet, queues.settings)
    note(queues, "rescue", 2)
    replaced = health.health(queues.fleet, queues.settings)
    queues.fleet.note_task()
    over = health.health(queues.fleet, queues.settings)

    assert not_late, "a full batch is not late before its interval is over"
    assert str(replaced).startswith(
        "unhealthy: 1 worker listens, but no worker has run a task for 20 s, and a listener sends in "
        "their place, one batch at a time: see whether the broker can be reached"
    )
    assert over


def test_health_names_the_stall_of_late_events(queues: Queues) -> None:
    """health reports the stall of late events even if no listener sends."""
    queue = queues.add(request_time_interval=1)
    queues.fill(queue, 5)
    queues.age_ready(queue, first_seconds=2 * LONG, visible_seconds=2 * LONG)
    queues.fleet.note_listener("worker:1")
    note(queues, "listening", LONG)

    found = health.health(queues.fleet, queues.settings)

    assert "1 worker listens, but no worker has run a task yet, though batches wait" in str(found)


def test_a_rescue_is_forgotten_after_a_while(queues: Queues) -> None:
    """A listener's rescue is forgotten after a while: an idle fleet is healthy again without a task."""
    note(queues, "task", 1000)
    note(queues, "rescue", 30)
    queues.fleet.note_listener("worker:1")
    note(queues, "listening", 1000)
    young = look(queues)
    note(queues, "rescue", 90)

    assert young is not None
    assert young.replaced
    assert look(queues) is None


def test_silence_follows_the_sweeps(redis_url: str) -> None:
    """Silence lasts ten seconds, or five sweeps if those are rare."""
    often, rarely = Queues(redis_url), Queues(redis_url, sweep_interval_seconds=60.0)

    assert silence_seconds(often.settings) == 10
    assert silence_seconds(rarely.settings) == 300


# -- publishing


def publisher(url: str) -> Publisher:
    """A worker's publisher, with a broker that sets no timeouts itself."""
    app = Celery(broker=url, set_as_current=False)
    return Publisher(app, "vwo_celery.deliver", {}, lambda _: 0)


WAKEUP = Wakeup("legacy-1-a", 0, "token")


@pytest.mark.declared_keys("celery", "_kombu*")
def test_a_task_is_published(redis: redis_py.Redis, redis_url: str) -> None:
    """A published task has a name and arguments that hold no event and no key."""
    assert publisher(redis_url).publish(WAKEUP)

    (message,) = redis.lrange("celery", 0, -1)
    assert b'"task": "vwo_celery.deliver"' in message
    assert b"legacy-1-a" in message


def hang(broker: RedisServer, proxy: TcpProxy) -> None:
    """Keep connections open and answer nothing."""
    proxy.blackhole()


def refuse(broker: RedisServer, proxy: TcpProxy) -> None:
    """Refuse connections."""
    broker.kill()
    proxy.cut_connections()


@pytest.mark.parametrize("trouble", [hang, refuse])
def test_a_broker_out_of_reach_is_told_soon(
    trouble: Callable[[RedisServer, TcpProxy], None], caplog: Any
) -> None:
    """An unreachable broker is reported within seconds and logged once; the next call does not wait."""
    with RedisServer() as broker, TcpProxy(broker.port) as proxy:
        published = publisher(proxy.url())
        assert published.publish(WAKEUP)
        trouble(broker, proxy)
        answers: list[bool] = []

        def publish_often() -> None:
            answers.extend(published.publish(WAKEUP) for _ in range(20))

        threading.Thread(target=publish_often, daemon=True).start()

        wait_until(lambda: len(answers) == 20, 15)
        assert not any(answers)
        assert len([r for r in caplog.records if "takes no task" in r.getMessage()]) == 1
