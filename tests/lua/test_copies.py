"""recall.lua and remember.lua: copies of VWO's settings, which all relays share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

from lua.clock import KEY, Clock, own_clock
from vwo_celery.connections import open_client
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.records.copies import (
    FRESH_MS,
    GIVES_WAY_MS,
    KEPT_MS,
    MOST_COPIES,
    Copies,
    CopyName,
    Recalled,
)
from vwo_celery.queue.words.keys import copy_keys
from vwo_celery.testing import RedisServer

NAME = CopyName("https://vwo.example", "7", "k" * 32, "v2-settings?sn=a")
OTHER = CopyName("https://vwo.example", "7", "k" * 32, "v2-settings?sn=b")

pytestmark = pytest.mark.declared_keys("settings", "refresh", KEY)


@pytest.fixture
def clock(redis: redis_py.Redis) -> Iterator[Clock]:
    """A time that only the test moves."""
    with own_clock(redis) as clock:
        clock.tick()
        yield clock


@pytest.fixture
def copies(redis_url: str, clock: Clock) -> Iterator[Copies]:
    """The copies of a namespace, none yet."""
    client = open_client(redis_url, timeout_seconds=5.0)
    yield Copies(client, "vwo", fetch_seconds=5.0)
    client.close()


def shown(found: Recalled) -> tuple[int, bool, bool, bytes | None]:
    """When it was fetched, whether it is fresh, whether the caller is to fetch it, and its bytes."""
    return found.at_ms, found.is_fresh, bool(found.token), found.text


def test_a_missing_copy_is_fetched_by_one(copies: Copies) -> None:
    """Of all who look for a copy that is not there, one gets the task to fetch it."""
    first, second = copies.recall(NAME), copies.recall(NAME)

    assert shown(first) == (0, False, True, None)
    assert shown(second) == (0, False, False, None)


def test_a_copy_is_fresh_for_a_while_and_travels_once(copies: Copies, clock: Clock) -> None:
    """A copy is fresh for a minute; who has it already does not get its bytes again."""
    token = copies.recall(NAME).token

    at_ms = copies.remember(NAME, b"text", began_ms=clock.ms, token=token)
    clock.move(FRESH_MS - 1)

    assert shown(copies.recall(NAME)) == (at_ms, True, False, b"text")
    assert shown(copies.recall(NAME, known_ms=at_ms)) == (at_ms, True, False, None)


def test_a_due_copy_is_fetched_by_one_and_used_by_the_others(copies: Copies, clock: Clock) -> None:
    """After a minute one process gets the task, and all have the old copy meanwhile."""
    at_ms = copies.remember(NAME, b"old")
    clock.move(FRESH_MS)

    first, second = copies.recall(NAME), copies.recall(NAME)

    assert shown(first) == (at_ms, False, True, b"old")
    assert shown(second) == (at_ms, False, False, b"old")
    assert copies.remember(NAME, b"new", began_ms=first.now_ms, token=first.token) == clock.ms
    assert shown(copies.recall(NAME)) == (clock.ms, True, False, b"new")


def test_a_task_can_be_given_up(copies: Copies) -> None:
    """Who could not fetch a copy lets another try; the task passes on by itself as well."""
    copies.recall(NAME)

    copies.give_up(NAME, after_ms=0)

    assert copies.recall(NAME).token


def test_a_task_ends_by_itself(copies: Copies, redis: redis_py.Redis) -> None:
    """A process that dies with the task keeps the others waiting for some seconds at most."""
    copies.recall(NAME)

    assert 0 < redis.pttl(copy_keys("vwo", NAME.owner, NAME.entry)[1]) <= 10_000


def test_an_old_copy_is_used_for_a_week(
    copies: Copies, clock: Clock, redis: redis_py.Redis
) -> None:
    """A copy is used until it is a week old, by Redis' time; then there is none."""
    at_ms = copies.remember(NAME, b"text")
    clock.move(KEPT_MS - 1)
    assert copies.recall(NAME).at_ms == at_ms

    clock.move(1)

    assert shown(copies.recall(NAME, known_ms=at_ms))[0] == 0
    assert 0 < redis.pttl(copy_keys("vwo", NAME.owner, NAME.entry)[0]) <= KEPT_MS


def test_a_clock_that_steps_back_makes_a_copy_due(copies: Copies, clock: Clock) -> None:
    """After a failover to a server whose clock is behind, a copy is fetched again, and kept."""
    copies.remember(NAME, b"text")
    clock.move(-FRESH_MS)

    found = copies.recall(NAME)

    assert (found.is_fresh, found.text, bool(found.token)) == (False, b"text", True)
    assert copies.remember(NAME, b"new", began_ms=clock.ms, token=found.token) == clock.ms
    assert copies.recall(NAME).is_fresh


def test_a_pull_makes_all_other_copies_due(copies: Copies, clock: Clock) -> None:
    """When VWO has told of a change, what was pulled is fresh, and every other copy is due."""
    copies.remember(NAME, b"old")
    copies.remember(OTHER, b"old, too")

    copies.remember(NAME, b"new", pulled=True)

    assert shown(copies.recall(NAME)) == (clock.ms, True, False, b"new")
    assert shown(copies.recall(OTHER)) == (clock.ms, False, True, b"old, too")


def test_what_was_fetched_before_a_pull_does_not_replace_it(copies: Copies, clock: Clock) -> None:
    """A fetch that began before VWO told of a change neither hides it nor counts as fresh."""
    began_ms = copies.recall(NAME).now_ms
    clock.tick()
    copies.remember(NAME, b"pulled", pulled=True)
    clock.tick()

    assert copies.remember(NAME, b"older", began_ms=began_ms) == 0
    assert copies.remember(OTHER, b"older", began_ms=began_ms) == clock.ms
    assert copies.recall(NAME).text == b"pulled"
    assert not copies.recall(OTHER).is_fresh


def test_the_copies_of_an_account_and_key_are_bounded(
    copies: Copies, clock: Clock, redis: redis_py.Redis
) -> None:
    """Queries without end neither fill Redis nor drive out copies that are in use."""
    names = [CopyName("o", "7", "k", f"sv={i}") for i in range(MOST_COPIES + 1)]
    for name in names[:-1]:
        clock.tick()
        assert copies.remember(name, b"text")

    assert copies.remember(names[-1], b"text") == 0
    clock.move(GIVES_WAY_MS)
    copies.remember(names[0], b"text")
    assert copies.remember(names[-1], b"text") == clock.ms

    assert [copies.recall(names[i]).at_ms > 0 for i in (0, 1, -1)] == [True, False, True]
    fields = redis.hlen(copy_keys("vwo", names[0].owner, "")[0])
    assert fields == MOST_COPIES + len(("index", "pulled"))


def test_names_show_no_key(copies: Copies, redis: redis_py.Redis) -> None:
    """No name in Redis shows an SDK key; another key, account or host has copies of its own."""
    copies.recall(NAME)
    copies.remember(NAME, b"text")
    others = [
        CopyName("https://else.example", "7", "k" * 32, NAME.asked),
        CopyName(NAME.origin, "8", "k" * 32, NAME.asked),
        CopyName(NAME.origin, "7", "l" * 32, NAME.asked),
    ]

    assert not any(NAME.key.encode() in name for name in redis.keys("*"))
    assert [copies.recall(name).at_ms for name in others] == [0, 0, 0]


@pytest.fixture(scope="module")
def full_server() -> Iterator[RedisServer]:
    """A server without free memory."""
    with RedisServer(maxmemory_bytes=100_000_000) as server:
        yield server


def test_without_memory_a_copy_is_still_found_and_anybody_may_fetch(
    full_server: RedisServer,
) -> None:
    """A Redis that takes no writes gives its copies out, and keeps nobody from fetching others."""
    client: Any = open_client(full_server.url, timeout_seconds=5.0)
    copies = Copies(client, "vwo", fetch_seconds=5.0)
    at_ms = copies.remember(NAME, b"text")
    client.config_set("maxmemory", 1)

    assert shown(copies.recall(NAME)) == (at_ms, True, False, b"text")
    assert copies.recall(OTHER).token
    assert copies.recall(OTHER).token
    with pytest.raises(QueueUnavailable):
        copies.remember(OTHER, b"text")
    assert copies.recall(OTHER).at_ms == 0
    client.close()
