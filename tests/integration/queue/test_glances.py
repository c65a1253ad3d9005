"""A glance: the numbers of shards at the same cost for any backlog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

from lua.glancing import check_glance
from lua.world import LIMITS, NAMESPACE, Line, World
from tools.redis_commands import commands_sent, reads_batches
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.work.stranded import restore
from vwo_celery.testing import RedisServer

#: Commands that a user needs who only looks.
LOOKING = (
    "+hgetall +llen +exists +zcard +zrange +zcount +zrangebyscore +hmget +hlen +zmscore +time +ping "
    "+hello"
)
BACKLOG = 2_000


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server whose users these tests choose."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def world(server: RedisServer) -> Iterator[World]:
    """A shard on that server, with a batch in each state."""
    client: redis_py.Redis = redis_py.Redis.from_url(server.url)
    client.flushall()
    world = World(client)
    failed = Line(attempt=3, events=2, bytes=20, first=5, error="HTTP 503: later")
    world.given(
        meta={"accepted": 8, "events": 6, "bytes": 60, "dead": 2, "open_events": 1, "open_bytes": 2},
        open=[b"o"],
        ready={"new": world.at(-9), "failed": world.at(60_000)},
        leases={"leased": world.at(60_000)},
        dead={"dead": world.at(-5)},
        info={"new": Line(first=7), "failed": failed, "leased": Line(attempt=1, events=2),
              "dead": failed},
    )  # fmt: skip
    yield world
    client.close()


def test_a_glance_says_what_is_there(world: World) -> None:
    """Events and batches by state, the oldest event, the next attempt and the batch that failed most."""
    (glance,) = take_glances([world.shard])

    assert (glance.open_events, glance.ready_events) == (1, 1)
    assert (glance.in_flight_events, glance.released_events, glance.dead_events) == (2, 2, 2)
    assert (glance.ready_batches, glance.in_flight_batches, glance.released_batches) == (1, 1, 1)
    assert (glance.due_batches, glance.hidden_batches, glance.dead_batches) == (1, 1, 1)
    assert (glance.oldest_ms, glance.next_try_ms) == (0, world.at(60_000))
    assert glance.failed is not None
    assert (glance.failed.batch, glance.failed.state, glance.failed.attempts) == (
        "failed", "released", 3,
    )  # fmt: skip
    assert glance.balanced
    assert not glance.incomplete


def test_the_commands_do_not_grow_with_the_backlog(redis: redis_py.Redis) -> None:
    """At thousands of batches a glance sends one command, and none of its own reads them all."""
    world = World(redis)
    names = [f"b{number}" for number in range(BACKLOG)]
    world.given(ready=dict.fromkeys(names, world.at(-1)), info=dict.fromkeys(names, Line()))

    with commands_sent(redis, inside_scripts=True) as sent:
        take_glances([world.shard])
        commands = sent()

    assert len(commands) < 40
    assert [each for each in commands if reads_batches(each)] == []
    world.clear()


def test_a_shard_without_batches_costs_four_commands(redis: redis_py.Redis) -> None:
    """Most shards of many hold no batch: a look at one reads its counters and its open list alone."""
    world = World(redis)
    world.given(meta={"accepted": 1, "events": 1, "bytes": 2, "open_events": 1}, open=[b"o"])
    take_glances([world.shard])

    with commands_sent(redis, inside_scripts=True) as sent:
        (glance,) = take_glances([world.shard])
        commands = sent()

    assert [each.split()[0].upper() for each in commands] == [
        "EVALSHA", "TIME", "HGETALL", "LLEN", "EXISTS",
    ]  # fmt: skip
    assert (glance.open_events, glance.undelivered, glance.ready_batches) == (1, 1, 0)
    world.clear()


@pytest.mark.parametrize(
    "key", ["ready", "leases", "dead", "births", "released", "leaving", "slots"]
)
def test_one_key_of_batches_is_enough_to_be_looked_at(redis: redis_py.Redis, key: str) -> None:
    """Whichever key of its batches or slots a shard has, all of them are looked at."""
    world = World(redis)
    name = getattr(world.shard.keys, key)
    redis.hset(name, "b", "junk") if key == "leaving" else redis.zadd(name, {"b": 1})

    with commands_sent(redis, inside_scripts=True) as sent:
        take_glances([world.shard])
        commands = sent()
    redis.delete(name)

    assert len(commands) > 10


@pytest.mark.parametrize("key", ["ready", "leases", "births", "released"])
def test_a_score_without_end_hides_nothing(world: World, key: str) -> None:
    """A time without end, which somebody wrote among the batches, is one far away: the rest is told."""
    world.client.zadd(
        getattr(world.shard.keys, key), {"leased": "inf", "junk": "inf", "old": "-inf"}
    )

    (glance,) = take_glances([world.shard])

    assert (glance.dead_events, glance.open_events) == (2, 1)
    assert 0 <= glance.oldest_ms < 10**14


@pytest.mark.parametrize("protocol", [2, 3])
def test_who_may_run_no_script_sees_the_same(
    world: World, server: RedisServer, protocol: int
) -> None:
    """A user who may only read gets the same numbers, by plain commands where Redis is old.

    So they do where Redis does not know the script yet, as after its start; of an empty queue, too.
    """
    world.client.execute_command(
        "ACL", "SETUSER", "viewer", "reset", "on", ">p", "~*", *LOOKING.split()
    )
    client = _as_user(server, "viewer", protocol=protocol)
    queues = (world.shard.queue, "fme-2-empty")
    world.client.script_flush()

    seen = take_glances([Shard(client, NAMESPACE, queue, 0) for queue in queues])
    expected = take_glances([Shard(world.client, NAMESPACE, queue, 0) for queue in queues])

    assert list(map(_without_time, seen)) == list(map(_without_time, expected))
    client.close()


def test_who_may_not_even_read_is_told(world: World, server: RedisServer) -> None:
    """A user who lacks a command of the look gets an error, which names what is missing."""
    rules = LOOKING.replace("+zmscore", "").split()
    world.client.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">p", "~*", *rules)
    client = _as_user(server, "narrow")

    with pytest.raises(QueueUnavailable, match="zmscore"):
        take_glances([Shard(client, NAMESPACE, world.shard.queue, 0)])
    client.close()


@pytest.mark.parametrize("family", ["meta", "ready", "leases", "births", "open"])
def test_a_broken_key_blinds_no_other_shard(world: World, family: str) -> None:
    """A key of another type is named in its shard's glance; the others are as they are."""
    other = Shard(world.client, NAMESPACE, "fme-2-other", 0)
    other.set_limits(LIMITS)
    key = getattr(world.shard.keys, family)
    world.client.set(key, "broken")

    broken, sound = take_glances([world.shard, other])

    assert broken.unusable
    assert broken.unreadable[0].startswith(f"the key {key}")
    assert not broken.balanced
    assert (sound.unusable, sound.unreadable, sound.limits) == (False, (), LIMITS)


def test_a_field_and_a_line_that_cannot_be_read_are_named(world: World) -> None:
    """What cannot be read of a shard is named, and the rest of it is told."""
    world.client.hset(world.shard.keys.meta, "delivered", "many")
    world.client.hset(world.shard.keys.info, "new", "v2:1")

    (glance,) = take_glances([world.shard])

    assert set(glance.unreadable) == {"the field delivered", "the line of batch new"}
    assert glance.released_events == 2


def test_what_an_older_release_left_out_is_at_least(world: World) -> None:
    """Until the patrol has entered births and released batches, the glance says that it is incomplete."""
    world.client.delete(*world.shard.keys.indexes)
    world.client.hset(world.shard.keys.meta, "released_events", 0)

    (before,) = take_glances([world.shard])
    restore(world.shard)

    assert before.incomplete
    assert (before.ready_events, before.released_events) == (3, 0)
    check_glance(world.shard)


def test_a_batch_that_an_older_worker_claimed_is_in_flight(world: World) -> None:
    """A worker of 0.1 leaves a claimed batch among the released ones; it is counted once."""
    k = world.shard.keys
    world.client.zrem(k.ready, "failed")
    world.client.zadd(k.leases, {"failed": world.at(60_000)})

    (glance,) = take_glances([world.shard])

    assert (glance.in_flight_events, glance.released_events) == (4, 0)
    assert glance.incomplete


def test_a_released_batch_that_is_claimed_is_in_flight(world: World) -> None:
    """A batch leaves the released ones when its next attempt begins, and is among them again after it."""
    world.client.zadd(world.shard.keys.ready, {"failed": world.at(-99)})

    batch = world.claim()
    assert batch is not None
    (during,) = take_glances([world.shard])
    world.shard.release(batch, delay_seconds=60, error="HTTP 503")
    (after,) = take_glances([world.shard])

    assert (during.in_flight_events, during.released_events, during.released_batches) == (4, 0, 0)
    assert (after.in_flight_events, after.released_events, after.released_batches) == (2, 2, 1)


def test_since_when_vwo_accepts_nothing(world: World) -> None:
    """The first failure since the last acceptance is kept, with the last one and its answer."""
    first = world.claim()
    assert first is not None
    world.shard.release(first, delay_seconds=0, error="HTTP 503")
    (failing,) = take_glances([world.shard])
    again = world.claim()
    assert again is not None
    world.shard.release(again, delay_seconds=0, error="HTTP 500")
    (still,) = take_glances([world.shard])
    last = world.claim()
    assert last is not None
    world.shard.ack(last.id)
    (well,) = take_glances([world.shard])

    assert failing.failing_ms == still.failing_ms > 0
    assert still.failed_ms >= failing.failed_ms
    assert (failing.failed_why, still.failed_why) == ("HTTP 503", "HTTP 500")
    assert (well.failing_ms, well.failed_why) == (0, "HTTP 500")


def test_a_worker_that_failed_itself_is_no_failure_of_vwo(world: World) -> None:
    """A release that no answer of VWO's caused does not begin an outage."""
    batch = world.claim()
    assert batch is not None

    world.shard.release(batch, delay_seconds=0, error="the worker failed: OSError", refused=False)

    assert take_glances([world.shard])[0].failing_ms == 0


def test_drops_are_told_with_their_first_and_last_time(world: World) -> None:
    """Each reason of a drop has the time of its first and of its last drop."""
    world.client.hset(world.shard.keys.meta, "drop_first_ms:purged", 5)

    world.client.lpush(world.shard.keys.batch("dead"), "1", "2")
    world.shard.purge("dead")

    (glance,) = take_glances([world.shard])
    assert (glance.dropped, glance.drop_first_ms) == ({"purged": 2}, {"purged": 5})
    assert glance.drop_last_ms["purged"] >= world.zero_ms


def test_no_shards_need_no_look(redis: redis_py.Redis) -> None:
    """Without a shard Redis is not asked."""
    assert take_glances([]) == []
    assert Fleet(redis, NAMESPACE).watched() == []


def _as_user(server: RedisServer, user: str, *, protocol: int = 2) -> Any:
    return redis_py.Redis.from_url(server.url, username=user, password="p", protocol=protocol)


def _without_time(glance: Any) -> Any:
    return type(glance)(
        **{name: getattr(glance, name) for name in glance.__struct_fields__ if name != "now_ms"},
        now_ms=0,
    )
