"""register.lua: the registration of whoever comes last, the highest number of shards of anybody."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py
from redis.crc import key_slot

from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.keys import fleet_keys

KEYS = fleet_keys("vwo")


def register(redis: Any, text: bytes, shards: int, *, looked: bool = True) -> list[int]:
    """Register a queue; return the script's answer."""
    answer: list[int] = script("register").run(
        redis, (KEYS.queues, KEYS.shards), ("queue", text, shards, int(looked))
    )
    return answer


def state(redis: Any) -> tuple[bytes, bytes | None]:
    """The registration and the number of shards."""
    return redis.hget(KEYS.queues, "queue"), redis.hget(KEYS.shards, "queue")


def test_the_first_registration_asks_for_a_look(redis: redis_py.Redis) -> None:
    """A number is noted only once somebody has looked for shards of releases that kept none."""
    assert register(redis, b"{}", 3, looked=False) == [3, 1]
    assert state(redis) == (b"{}", None)

    assert register(redis, b"{}", 5) == [5, 0]
    assert state(redis) == (b"{}", b"5")
    assert register(redis, b"{}", 1, looked=False) == [5, 0]


@pytest.mark.parametrize(("then", "most"), [(1, 3), (3, 3), (5, 5)])
def test_the_number_only_rises(redis: redis_py.Redis, then: int, most: int) -> None:
    """The last registration stands; the number is the highest that any had."""
    register(redis, b"first", 3)

    assert register(redis, b"second", then) == [most, 0]

    assert state(redis) == (b"second", b"%d" % most)


@pytest.mark.parametrize(
    ("left", "most"),
    [
        (b'{"destination":{},"shards":7,"version":1}', 7),
        (b'{"flush_callback":"a:\\"shards\\":7"}', 2),
        (b"\xff", 2),
    ],
)
def test_the_number_in_a_registration_counts(redis: redis_py.Redis, left: bytes, most: int) -> None:
    """A release that keeps no number leaves it in its registration, which is about to be replaced."""
    register(redis, b"{}", 2)
    redis.hset(KEYS.queues, "queue", left)

    assert register(redis, b"{}", 1) == [most, 0]


def test_both_keys_share_a_slot() -> None:
    """One script may use both on Redis Cluster, whatever the namespace."""
    for namespace in ("vwo", "shop.1-a_b"):
        keys = fleet_keys(namespace)
        assert key_slot(keys.queues.encode()) == key_slot(keys.shards.encode())
