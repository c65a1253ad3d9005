"""Batches found by a filter: each word picks exactly what it says, and reading stays bounded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

import vwo_celery
from tools.queue_states import KEY, Queues
from tools.redis_commands import commands_sent
from vwo_celery import event_kinds
from vwo_celery.errors import FilterError
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import Scan, find_dead, find_waiting
from vwo_celery.queue.looks.pages import PAGE_BATCHES
from vwo_celery.testing import RedisServer

DEAD = 2_000
ERRORS = {
    "413": "VWO answered 413 (Content Too Large); split it",
    "400": "VWO answered 400 (Bad Request): no 413 here",
    "503": "VWO answered 503",
    "timeout": "no answer within request_timeout_seconds",
    "": "by ann on host: Malformed 413",
}
HOUR_MS = 3_600_000
#: Age of the youngest dead letter; so far from every bound below that the test's own time is nothing.
MARGIN_MS = HOUR_MS // 2


class Made(NamedTuple):
    """A dead letter that a test made."""

    queue: str
    batch: str
    answer: str
    error: str
    age_ms: int
    attempts: int
    events: tuple[str, ...]
    visitor: str


class Mixed(NamedTuple):
    """A mixed set of dead letters, of queues of both generations."""

    queues: Queues
    names: tuple[str, ...]
    made: list[Made]

    def find(self, text: str, scan: Scan | None = None) -> list[Any]:
        """The dead letters that a filter picks."""
        found = find_dead(self.queues.fleet, self.queues.registered, Filter.parse(text), scan)
        return list(found)


def fme_event(name: str, user: str) -> bytes:
    """An event as the FME SDKs write it."""
    visitor = event_kinds.visitor_id(1, user)
    return msgspec.json.encode({"d": {"visId": visitor, "event": {"name": name, "props": {}}}})


def legacy_event(name: str, user: str) -> bytes:
    """An event as the legacy SDKs write it; "track" reaches goal 201."""
    kind = {"activate": 1, "track": 2, "push": 3}[name]
    goal = {"g": 201} if kind == 2 else {}
    return msgspec.json.encode({"u": event_kinds.visitor_id(1, user), "eT": kind, **goal})


def register(queues: Queues, generation: str, shards: int) -> str:
    """The name of a registered queue of account 1."""
    queue = vwo_celery.connect(
        vwo_celery.Destination(account_id=1, sdk_key=KEY, generation=generation),
        redis_url=queues.settings.redis_url, shards=shards,
    )  # fmt: skip
    queue.enqueue({"n": 1})
    return queue.name


@pytest.fixture(scope="module")
def module_queues() -> Iterator[Queues]:
    """The queues of a server of this module."""
    with RedisServer() as server:
        yield Queues(server.url)


@pytest.fixture(scope="module")
def mixed(module_queues: Queues) -> Mixed:
    """Two thousand dead letters that differ in all that a filter asks for."""
    queues, chance = module_queues, random.Random(5)
    names = register(queues, "fme", 2), register(queues, "legacy", 1)
    now, made = queues.fleet.now_ms(), []
    pipe = queues.client.pipeline(transaction=False)
    for number in range(DEAD):
        fme = chance.random() < 0.5
        shard = queues.fleet.shard(names[0], chance.randrange(2)) if fme else (
            queues.fleet.shard(names[1], 0)
        )  # fmt: skip
        kinds = ("purchase", "vwo_variationShown") if fme else ("activate", "track", "push")
        events = tuple(chance.choice(kinds) for _ in range(chance.randint(1, 2)))
        visitor, (answer, error) = chance.choice(["u 1", "u2"]), chance.choice([*ERRORS.items()])
        age_ms, attempts = chance.randrange(10) * HOUR_MS + MARGIN_MS, chance.randint(0, 5)
        write = fme_event if fme else legacy_event
        texts = [write(name, visitor) for name in events]
        line = f"{attempts}:0:{len(texts)}:{sum(map(len, texts))}:{now}:{now}:{error}"
        name = f"b{number}"
        pipe.zadd(shard.keys.dead, {name: now - age_ms})
        pipe.hset(shard.keys.info, name, line)
        pipe.lpush(shard.keys.batch(name), *texts)
        made.append(Made(shard.queue, name, answer, error, age_ms, attempts, events, visitor))
    pipe.execute()
    return Mixed(queues, names, made)


WORDS: list[tuple[str, Any]] = [
    ("", lambda b: True),
    ("queue:{0}", lambda b: b.queue.startswith("fme")),
    ("queue:{0} queue:{1}", lambda b: True),
    ("batch:b7 batch:b1999 batch:nope", lambda b: b.batch in ("b7", "b1999")),
    ("reason:malformed", lambda b: "Malformed" in b.error),
    ("413", lambda b: "413" in b.error),
    ("answer:413", lambda b: b.answer == "413"),
    ("answer:4xx", lambda b: b.answer in ("413", "400")),
    ("answer:timeout answer:503", lambda b: b.answer in ("timeout", "503")),
    ("died:>2h", lambda b: b.age_ms > 2 * HOUR_MS),
    ("died:<120m", lambda b: b.age_ms < 2 * HOUR_MS),
    ("died:>2h died:<5h", lambda b: 2 * HOUR_MS < b.age_ms < 5 * HOUR_MS),
    ("attempts:>3", lambda b: b.attempts > 3),
    ("attempts:<1", lambda b: b.attempts == 0),
    ("attempts:2", lambda b: b.attempts == 2),
    ("event:purchase", lambda b: "purchase" in b.events),
    ("event:track", lambda b: "track" in b.events),
    ("event:201", lambda b: "track" in b.events),
    ("event:push event:purchase", lambda b: {"push", "purchase"} & {*b.events}),
    ('visitor:"u 1"', lambda b: b.visitor == "u 1"),
    ("visitor:" + event_kinds.visitor_id(1, "u2"), lambda b: b.visitor == "u2"),
    ("visitor:u2 event:activate", lambda b: b.visitor == "u2" and "activate" in b.events),
    (
        "queue:{1} answer:413 died:>1h attempts:>0 event:track visitor:u2",
        lambda b: b.queue.startswith("legacy") and b.answer == "413" and b.age_ms > HOUR_MS
        and b.attempts > 0 and "track" in b.events and b.visitor == "u2",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "holds"), WORDS, ids=[text for text, _ in WORDS])
def test_each_word_picks_exactly_what_it_says(mixed: Mixed, text: str, holds: Any) -> None:
    """Of a mixed set, each word picks exactly the dead letters for which it holds, newest first."""
    scan = Scan()

    found = mixed.find(text.format(*mixed.names), scan)

    expected = {made.batch for made in mixed.made if holds(made)}
    assert expected
    assert sorted(each.batch for each in found) == sorted(expected)
    times = [each.died_ms for each in found]
    assert times == sorted(times, reverse=True)
    assert scan.complete


def test_the_places_of_the_events_that_match_are_told(mixed: Mixed) -> None:
    """Where a filter asks for events, each batch tells which of its events they are, from 1."""
    found = {each.batch: each.matching_events for each in mixed.find("event:purchase")}

    expected = {
        made.batch: tuple(n for n, name in enumerate(made.events, 1) if name == "purchase")
        for made in mixed.made
        if "purchase" in made.events
    }
    assert found == expected


def test_reading_events_is_bounded_and_the_rest_is_told(mixed: Mixed) -> None:
    """A filter on events reads no more than it may, the newest first, and tells what it left out."""
    total = sum(len(made.events) for made in mixed.made)
    scan = Scan(most_events=101)

    with commands_sent(mixed.queues.client) as sent:
        found = mixed.find("event:purchase", scan)
        reads = [each for each in sent() if each.startswith("LRANGE")]

    assert (scan.looked_at, scan.not_looked_at, scan.complete) == (101, total - 101, False)
    assert 0 < len(found) <= 101
    assert len(reads) <= 101


def test_no_command_reads_more_than_a_page(mixed: Mixed) -> None:
    """A search sends short commands only, and none that reads a whole hash or sorted set."""
    with commands_sent(mixed.queues.client) as sent:
        mixed.find("answer:413")
        words = [each.split() for each in sent()]

    assert max(map(len, words)) <= PAGE_BATCHES + 2
    zranges = [each for each in words if each[0] == "ZRANGE"]
    assert zranges
    assert all("LIMIT" in each for each in zranges)
    assert not [each for each in words if each[0] == "HGETALL" and each[1].endswith(":info")]


def test_what_was_found_may_be_changed_meanwhile(queues: Queues) -> None:
    """Redriving each batch as it is found reaches every batch, however many died in one moment."""
    queue = queues.add(events_per_request=1)
    shard = queues.shard(queue)
    count = 3 * PAGE_BATCHES
    queues.client.eval(
        "for i = 1, ARGV[1] do redis.call('ZADD', KEYS[1], 7, 'b' .. i) "
        "redis.call('HSET', KEYS[2], 'b' .. i, '1:0:1:2:0:0:') "
        "redis.call('LPUSH', KEYS[3] .. i, '{}') end "
        "redis.call('HINCRBY', KEYS[4], 'dead', ARGV[1]) "
        "redis.call('HINCRBY', KEYS[4], 'accepted', ARGV[1])",
        4, shard.keys.dead, shard.keys.info, shard.keys.batch("b"), shard.keys.meta, count,
    )  # fmt: skip

    done = [
        shard.redrive(each.batch) for each in find_dead(queues.fleet, queues.registered, Filter())
    ]

    assert done == [1] * count
    assert (queues.view(queue).ready, queues.view(queue).dead) == (count, 0)
    assert queues.view(queue).ledger.balanced
    queues.client.flushdb()


def test_waiting_batches_are_found_by_the_same_words(queues: Queues) -> None:
    """What is ready, released or in flight is found by queue, batch, reason, answer, attempts, event."""
    queue, other = queues.add(), queues.add(account=2)
    queues.fill(queue, 15)
    queues.fill(other, 5)
    released = queues.release(queue, "VWO answered 503", delay_seconds=60)
    held = queues.claim(queue)

    def find(text: str) -> dict[str, str]:
        found = find_waiting(queues.fleet, queues.registered, Filter.parse(text))
        return {each.batch: each.state for each in found}

    assert sorted(find("").values()) == ["in_flight", "ready", "ready", "released"]
    assert find("answer:5xx") == {released.id: "released"}
    assert find(f"batch:{held.id} batch:no") == {held.id: "in_flight"}
    assert set(find(f"queue:{other.name}").values()) == {"ready"}
    assert find("attempts:1") == {released.id: "released", held.id: "in_flight"}
    assert find("event:purchase") == {}
    with pytest.raises(FilterError, match="died:"):
        find("died:>1s")
    queues.client.flushdb()


def test_a_broken_key_hides_no_other_queue(queues: Queues) -> None:
    """A key of another type hides the dead letters of its own shard only, and is told."""
    queue, broken = queues.add(), queues.add(account=2)
    queues.fill(queue, 5)
    dead = queues.kill(queue, "413")
    queues.client.set(queues.shard(broken).keys.dead, "something else")
    scan = Scan()

    found = list(find_dead(queues.fleet, queues.registered, Filter(), scan))

    assert [each.batch for each in found] == [dead.id]
    (told,) = scan.unreadable
    assert told.startswith(f"{broken.name}:0: ")
    assert "WRONGTYPE" in told
    assert not scan.complete
    queues.client.flushdb()
