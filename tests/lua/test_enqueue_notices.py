"""enqueue.lua: what it writes of the keys that all queues share, where it is given them."""

from __future__ import annotations

import msgspec
import pytest
import redis as redis_py

from lua.pushing import KNOWN, mark, stored
from lua.world import QUEUE, World
from tools.redis_commands import commands_sent
from vwo_celery.queue.fleet import MOST_WAKEUPS
from vwo_celery.queue.notices import notice_keys
from vwo_celery.queue.words.marks import push_token
from vwo_celery.queue.words.registration import Wakeup

pytestmark = pytest.mark.declared_keys("wakeups", "watched")
FULL = (b"1", b"2", b"3")


def push(world: World, *events: bytes) -> object:
    """Push with the keys that all queues share."""
    notices = notice_keys(world.shard)
    command = world.shard.push_command(mark(), events, len(events) + 1, notices=notices)
    return world.call(world.shard.push, command)


def test_a_seal_leaves_its_wakeups(world: World) -> None:
    """Each slot that was handed out has its wake-up in the list, as a worker reads it."""
    world.given(meta=KNOWN)
    wakeups, _ = notice_keys(world.shard)

    pushed = push(world, *FULL, *FULL)

    left = [msgspec.json.decode(text, type=Wakeup) for text in world.client.lrange(wakeups, 0, -1)]
    stem = push_token(mark())
    assert pushed == stored(sealed=2)
    assert left == [Wakeup(QUEUE, 0, f"{stem}:2"), Wakeup(QUEUE, 0, f"{stem}:1")]
    assert world.client.zcard(world.shard.keys.slots) == 2


def test_a_shard_that_nobody_watches_is_watched(world: World) -> None:
    """Its caller need not say so; the next push finds it noted."""
    world.given()
    _, watched = notice_keys(world.shard)

    pushed = push(world, b"1")

    assert pushed == stored()
    assert world.client.smembers(watched) == {f"{QUEUE}:0".encode()}
    assert int(world.client.hget(world.shard.keys.meta, "watched")) == world.now()


def test_wakeups_that_nobody_takes_are_bounded(world: World) -> None:
    """The oldest go, as where a caller leaves them."""
    world.given(meta=KNOWN)
    wakeups, _ = notice_keys(world.shard)
    world.client.lpush(wakeups, *["old"] * MOST_WAKEUPS)

    push(world, *FULL)

    assert world.client.llen(wakeups) == MOST_WAKEUPS
    assert world.client.lindex(wakeups, 0) != b"old"


@pytest.mark.parametrize("key", ["wakeups", "watched"])
def test_what_cannot_be_written_is_left_to_the_caller(world: World, key: str) -> None:
    """The events are stored, and the answer asks for what is missing."""
    world.given()
    wakeups, watched = notice_keys(world.shard)
    broken = {"wakeups": wakeups, "watched": watched}[key]
    world.client.set(broken, "of another type")

    pushed = push(world, *FULL)

    assert pushed == stored(sealed=1, wakeups=int(key == "wakeups"), watch=int(key == "watched"))


def test_a_push_without_the_keys_writes_none_of_them(world: World) -> None:
    """As in a Cluster: the caller writes them."""
    world.given()

    pushed = world.push(mark(), *FULL)

    assert pushed == stored(sealed=1, wakeups=1, watch=1)
    assert not world.client.exists(*notice_keys(world.shard))


def test_the_names_of_batches_are_counted_without_the_keys(
    world: World, redis: redis_py.Redis
) -> None:
    """A push that has too few names is refused, and writes none of its batches over these keys."""
    world.given(meta=KNOWN)
    notices = notice_keys(world.shard)
    command = world.shard.push_command(mark(), [*FULL, *FULL], 1, notices=notices)

    with commands_sent(redis, inside_scripts=True) as sent:
        pushed = world.call(world.shard.push, command)
        commands = sent()

    assert pushed.code == -4
    assert not [each for each in commands if each.split()[0] in ("LPUSH", "RENAME")]
