"""Lists of batches, page by page: complete, exactly once, and never a long command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lua.world import NAMESPACE, QUEUE, Line
from tools.redis_commands import commands_sent
from vwo_celery.queue.looks import pages
from vwo_celery.queue.looks.snapshots import UNREAD, take_snapshot
from vwo_celery.queue.shard import Shard

NOW_MS = 1_000


@pytest.fixture
def shard(redis: redis_py.Redis) -> Iterator[Shard]:
    """An empty shard."""
    yield Shard(redis, NAMESPACE, QUEUE, 0)
    redis.flushdb()


def place(shard: Shard, key: str, scores: dict[str, float]) -> None:
    """Put batches of one event each into a sorted set."""
    pipe = shard.client.pipeline(transaction=False)
    for name, score in scores.items():
        pipe.zadd(key, {name: score})
        pipe.hset(shard.keys.info, name, ":".join(map(str, Line())))
    pipe.execute()


places = st.dictionaries(st.text("abcde", min_size=1, max_size=3), st.integers(0, 4), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scores=places, page=st.integers(2, 7), newest_first=st.booleans(), taken=st.sets(st.integers(0, 30))
)  # fmt: skip
def test_every_batch_is_listed_once(
    shard: Shard, scores: dict[str, int], page: int, newest_first: bool, taken: set[int]
) -> None:
    """Each batch is listed once, in order, although some that were listed are taken away meanwhile."""
    shard.client.flushdb()
    place(shard, shard.keys.dead, dict(scores))
    listed = []

    for number, view in enumerate(
        pages.batches(shard, "dead", NOW_MS, page=page, newest_first=newest_first)
    ):
        listed.append((view.at_ms, view.id))
        if number in taken:
            shard.client.zrem(shard.keys.dead, view.id)

    expected = sorted(((at, name) for name, at in scores.items()), reverse=newest_first)
    assert listed == expected


def test_a_batch_that_goes_while_it_is_read_is_not_listed(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that leaves its set between two commands is no batch without events; one without a line is."""
    place(shard, shard.keys.dead, {"stays": 1, "goes": 2})
    shard.client.zadd(shard.keys.dead, {"has no line": 3})
    read = shard.client.hmget

    def read_after_a_purge(*words: Any) -> Any:
        shard.client.zrem(shard.keys.dead, "goes")
        shard.client.hdel(shard.keys.info, "goes")
        return read(*words)

    monkeypatch.setattr(shard.client, "hmget", read_after_a_purge)
    found = list(pages.batches(shard, "dead", NOW_MS))

    assert [(view.id, view.error == UNREAD) for view in found] == [
        ("stays", False),
        ("has no line", True),
    ]


@pytest.mark.parametrize("newest_first", [False, True])
def test_states_are_those_of_the_snapshot(shard: Shard, newest_first: bool) -> None:
    """The lists of all states hold what the snapshot holds, those under an expired lease included."""
    now = 1_000 * int(shard.client.time()[0])
    far = 3_600_000
    k = shard.keys
    place(shard, k.ready, {"due": now - far, "later": now + far, "now": now - 5})
    shard.client.hset(k.info, "later", "1:0:1:9:1:1:HTTP 503")
    place(shard, k.leases, {"held": now + far, "expired": now - 9})
    place(shard, k.dead, {"dead": now - 7})

    found = [
        (view.state, view.id)
        for state in ("ready", "released", "in_flight", "dead")
        for view in pages.batches(shard, state, now, newest_first=newest_first)
    ]

    assert sorted(found) == sorted((view.state, view.id) for view in take_snapshot(shard).batches)
    ready = [name for state, name in found if state == "ready"]
    assert ready == (["now", "expired", "due"] if newest_first else ["due", "expired", "now"])
    named = [
        (view.state, view.id)
        for state in ("ready", "released", "in_flight", "dead")
        for view in pages.named(
            shard, state, ["due", "later", "held", "expired", "dead", "no"], now
        )
    ]
    assert sorted(named) == sorted(pair for pair in found if pair[1] != "now")


def test_a_batch_without_a_line_is_listed_with_the_length_of_its_list(shard: Shard) -> None:
    """A line that this release cannot read hides no batch."""
    shard.client.zadd(shard.keys.dead, {"strange": 5, "gone": 6})
    shard.client.hset(shard.keys.info, "strange", "of a later release")
    shard.client.lpush(shard.keys.batch("strange"), "1", "2")

    found = list(pages.batches(shard, "dead", NOW_MS))

    assert [(view.id, view.events, view.error) for view in found] == [
        ("strange", 2, UNREAD), ("gone", 0, UNREAD),
    ]  # fmt: skip


def test_a_hundred_thousand_dead_batches_are_read_by_short_commands(shard: Shard) -> None:
    """No command of a list names, or asks for, more batches than a page; nor reads a whole key."""
    shard.client.eval(
        "for i = 1, ARGV[1] do redis.call('ZADD', KEYS[1], i, 'b' .. i) "
        "redis.call('HSET', KEYS[2], 'b' .. i, '1:0:1:10:0:0:') end",
        2, shard.keys.dead, shard.keys.info, 100_000,
    )  # fmt: skip

    with commands_sent(shard.client) as sent:
        number = sum(1 for _ in pages.batches(shard, "dead", NOW_MS, newest_first=True))
        commands = [each for each in sent() if shard.keys.prefix in each]

    assert number == 100_000
    assert {each.split()[0] for each in commands} == {"ZRANGE", "HMGET"}
    for each in commands:
        limit = re.search(r" LIMIT \d+ (\d+)", each)
        assert int(limit[1]) <= pages.PAGE_BATCHES if limit else each.startswith("HMGET")
        assert len(each.split()) <= pages.PAGE_BATCHES + 2
    assert len(commands) <= 2 * (100_000 // (pages.PAGE_BATCHES - 1) + 2)


@pytest.mark.parametrize(("start", "most", "expected"), [
    (0, None, range(2_500)), (0, 3, range(3)), (2_498, None, [2_498, 2_499]),
    (999, 1_002, range(999, 2_001)), (0, 0, []), (2_500, None, []),
])  # fmt: skip
def test_events_are_read_in_pages(
    shard: Shard, start: int, most: int | None, expected: Any
) -> None:
    """Events come oldest first, from any place on, and no command reads more than a page of them."""
    shard.client.lpush(shard.keys.batch("b"), *range(2_500))

    with commands_sent(shard.client) as sent:
        found = list(pages.events(shard, "b", start, most))
        spans = [re.search(r"(-\d+) (-\d+)$", each) for each in sent()]

    assert found == [b"%d" % n for n in expected]
    assert all(span and int(span[2]) - int(span[1]) < 1_000 for span in spans)
