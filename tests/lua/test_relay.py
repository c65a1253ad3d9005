"""relay.lua: a process of a relay tells of itself."""

from __future__ import annotations

import redis as redis_py

from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.keys import fleet_keys

KEYS = fleet_keys("vwo")


def tell(client: redis_py.Redis, process: str, *, kept_ms: int = 60_000, most: int = 3) -> int:
    """Tell of one process; how many were forgotten."""
    keys = (KEYS.relays, KEYS.relay_cards)
    return int(script("relay").run(client, keys, (process, f"card of {process}", kept_ms, most)))


def known(client: redis_py.Redis) -> list[str]:
    """The processes that are remembered, in the order in which they told; each has its card."""
    names = [name.decode() for name in client.zrange(KEYS.relays, 0, -1)]
    assert client.hgetall(KEYS.relay_cards) == {
        name.encode(): f"card of {name}".encode() for name in names
    }
    return names


def test_a_card_is_kept_for_its_time(redis: redis_py.Redis) -> None:
    """The card stands under its process; both keys go by themselves after the last one's time."""
    assert tell(redis, "a") == 0

    assert known(redis) == ["a"]
    for key in (KEYS.relays, KEYS.relay_cards):
        assert 50_000 < redis.pttl(key) <= 60_000


def test_silent_processes_are_forgotten(redis: redis_py.Redis) -> None:
    """Whoever told last before the time that is kept is gone with its card."""
    tell(redis, "a")
    tell(redis, "b")
    redis.zincrby(KEYS.relays, -60_001, "a")

    assert tell(redis, "c") == 1
    assert known(redis) == ["b", "c"]


def test_no_more_than_some_are_remembered(redis: redis_py.Redis) -> None:
    """A process that is started again and again does not fill the memory."""
    for number, name in enumerate("abcde"):
        tell(redis, name)
        redis.zincrby(KEYS.relays, number - 10, name)

    assert known(redis) == ["c", "d", "e"]
