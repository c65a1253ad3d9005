"""A Redis that evicts marks (`volatile-*`): what it evicted does not count as lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from lua.world import LIFE, World
from vwo_celery.queue.words.marks import Mark
from vwo_celery.testing import RedisServer

#: Memory in which the fillers that push out a mark do not fit.
MEMORY_BYTES = 8_000_000
FILLER = b"x" * 100_000
MOST_FILLERS = 400


@pytest.fixture
def world() -> Iterator[World]:
    """A shard on a server that evicts the keys which expire first."""
    with RedisServer(maxmemory_bytes=MEMORY_BYTES) as server:
        client: redis_py.Redis = redis_py.Redis.from_url(server.url)
        client.config_set("maxmemory-policy", "volatile-ttl")
        yield World(client)
        client.close()


def evict(world: World, mark: Mark) -> None:
    """Fill the memory with keys that expire later than the mark, until the mark is gone."""
    for number in range(MOST_FILLERS):
        world.client.set(f"filler{number}", FILLER, ex=86_400)
        if not world.client.exists(world.shard.keys.mark(mark.id)):
            return
    raise AssertionError("the mark was not evicted")


def test_an_evicted_mark_is_no_loss(world: World) -> None:
    """The events under an evicted mark are still there: none counts as lost, and all balances."""
    world.given()
    mark = Mark("m", 2, life=LIFE)
    world.push(mark, b"1", b"2")
    evict(world, mark)

    mark.sequence = 3
    pushed = world.push(mark, b"3")

    snapshot = world.snapshot()
    assert pushed.code == 1
    assert (snapshot.accepted, snapshot.dropped, snapshot.balanced) == (3, {}, True)


def test_a_mark_that_is_lower_is_a_loss(world: World) -> None:
    """A mark that is there and counts less shows a loss, whatever Redis may evict."""
    world.given()
    mark = Mark("m", 2, life=LIFE)
    world.push(mark, b"1", b"2")

    mark.sequence = 6
    world.push(mark, b"6")

    snapshot = world.snapshot()
    assert (snapshot.accepted, snapshot.dropped) == (6, {"redis_lost": 3})
    assert snapshot.balanced
