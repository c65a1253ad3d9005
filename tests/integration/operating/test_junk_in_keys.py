"""Junk in any key of ours, of its right type: each look stays whole, whoever wrote it there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from queue import SimpleQueue
from typing import Any, Final

import pytest
import redis as redis_py

from tools.queue_states import OPERATOR, Queues, no_broker, waiting_and_dead
from tools.visiting import Browser
from vwo_celery.operating import doctor
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.cards import Card, write_card
from vwo_celery.queue.words.keys import FLEET_FAMILIES, SHARD_FAMILIES, KeyFamily
from vwo_celery.top.looking.watching import Source, Watch

#: Names and values that are none of ours: empty, no UTF-8, numbers without a meaning, halves of JSON.
JUNK: Final = (
    b"", b"\xff\xfe", b"inf", b"-1", b"9" * 400, b"1e300", b"{}", b"null", b"[" * 5_000, b"x" * 5_000,
    b"a:b:c", b"queue:0", b"1:2:3:4:5:6:7:8", b"18446744073709551616", b"nan", b"a\nb\x00c",
    "\u202e<script>".encode(),
)  # fmt: skip
SCORES: Final = ("inf", "-inf", "1e300", "-1", "0", "0.5", "1e15")
LOOKS: Final = (
    "", "workers", "queues/{}", "dead", "audit", "api/v1/status", "api/v1/health", "api/v1/scale",
    "api/v1/workers", "api/v1/jobs", "api/v1/audit", "metrics",
)  # fmt: skip
Put = Callable[[redis_py.Redis, str], object]
#: Puts the junk into a key of a type: among what is there, and in its place.
PUT: Final[dict[str, Put]] = {
    "hash": lambda client, key: client.hset(key, mapping=_fields(client, key)),
    "zset": lambda client, key: [
        client.execute_command("ZADD", key, score, member)
        for member, score in zip(JUNK, cycle(SCORES))
    ],
    "set": lambda client, key: client.sadd(key, *JUNK),
    "list": lambda client, key: client.rpush(key, *JUNK),
    "stream": lambda client, key: [
        client.xadd(key, {"phase": "outcome", "change": each, each: each}) for each in JUNK
    ],
    "string": lambda client, key: client.set(key, JUNK[1]),
}


def _fields(client: redis_py.Redis, key: str) -> dict[bytes, bytes]:
    """Junk under names of its own, and for every second field that is there."""
    there = sorted(client.hkeys(key))[::2]
    return dict(zip((*JUNK, *there), cycle(reversed(JUNK))))


def keys_of(keys: Any, families: tuple[KeyFamily, ...]) -> dict[str, str]:
    """The type of each key that has a name of its own."""
    names = {family.pattern.partition(":")[0]: family.type for family in families}
    return {
        name: kind for name, kind in names.items() if isinstance(getattr(keys, name, None), str)
    }


@pytest.fixture(scope="module")
def queues() -> Iterator[Queues]:
    """A queue with waiting events and a dead letter."""
    with waiting_and_dead() as queues:
        yield queues


def test_every_look_stays_whole(queues: Queues) -> None:
    """Pages and questions answer, metrics know Redis, the doctor and top tell."""
    client, shard = queues.client, queues.fleet.shard(queues.views()[0].queue, 0)
    there = {key: client.dump(key) for key in client.keys("*")}
    keys = [
        (getattr(owner, name), kind)
        for owner, families in ((queues.fleet.keys, FLEET_FAMILIES), (shard.keys, SHARD_FAMILIES))
        for name, kind in keys_of(owner, families).items()
    ]
    broken = []
    for key, kind in keys:
        client.flushdb()
        for name, value in there.items():
            client.restore(name, 0, value)
        queues.fleet.note_listener("w:1")
        write_card(queues.fleet, "w:1", Card(version="0.2.0", pool="prefork", concurrency=4))
        PUT[kind](client, key)

        broken += [(key, each) for each in failures(queues, shard.queue)]

    assert len(keys) > 30
    assert broken == [], broken


def failures(queues: Queues, queue: str) -> Iterator[str]:
    """What does not answer."""
    browser = Browser(queues.settings)
    answers = {look: browser.get(look.format(queue)) for look in LOOKS}
    yield from (f"{look}: {each.status}" for look, each in answers.items() if each.status != 200)
    if b'redis_up{namespace="vwo"} 1' not in answers["metrics"].body:
        yield "no metrics"
    if not list(doctor.examine(queues.settings, lambda: queues.fleet, no_broker)):
        yield "no findings"
    scenes: SimpleQueue[Any] = SimpleQueue()

    def open_fleet() -> Fleet:
        return Fleet(queues.client, queues.settings.namespace)

    watch = Watch(Source(queues.settings, open_fleet, tuple, no_broker, OPERATOR), 60.0, scenes.put)
    watch.start()
    seen = scenes.get(timeout=20)
    watch.end()
    if not hasattr(seen, "views"):
        yield f"top: {seen}"
