"""Pushes of arbitrary bytes into Redis: good events arrive, bad ones become dead letters."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from msgspec.structs import replace

import vwo_celery
from tools import http_servers as servers
from tools.command_line import run_command
from tools.producers import DESTINATION, KEPT, worker_fleet, worker_shards
from tools.waiting import wait_until
from vwo_celery import signals
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnknown
from vwo_celery.events import MAX_NESTING
from vwo_celery.operating.looks.health import health
from vwo_celery.producing import aio
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import sweeping
from vwo_celery.queue.work.results import listen, result_text
from vwo_celery.signals import BatchReport

pytestmark = pytest.mark.declared_keys(*KEPT, "dead", "_kombu.*", "*:broker:*")

GOOD = [b'{"good":%d}' % number for number in range(4)]
TAKEN = [{"good": str(number)} for number in range(4)]
BAD = {
    "nothing": b"",
    "random bytes": bytes(range(256)),
    "null": b"null",
    "an array": b"[]",
    "a number": b"1",
    "a text": b'"{}"',
    "JSON cut off": b'{"a":"',
    "an end of the body": b'{"a":1}],"x":[{"b":2}',
    "another array of events": b'{"a":1}],"ev":[{"b":2}',
    "another body": b'{"a":1}]}{"ev":[{"b":2}',
    "two events": b'{"a":1},{"b":2}',
    "invalid UTF-8": b'{"a":"\xff\xfe"}',
    "UTF-8 cut off": b'{"a":"\xc3',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "NUL": b'{"a":"\0"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "100,000 levels": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 levels, not closed": b"[" * 100_000,
}
#: Unusual JSON objects, which go to VWO unchanged.
ODD = {
    "a key twice": b'{"a":1,"a":2}',
    "lone surrogates": rb'{"a":"\ud800\udfff\udc00"}',
    "an escaped NUL": rb'{"\u0000":"\u0000"}',
    "white space": b' \n{ "a" : 1 }\r\n ',
    "a huge number": b'{"a":1e999}',
    "many levels": b'{"a":' * (MAX_NESTING - 1) + b"{}" + b"}" * (MAX_NESTING - 1),
}


class Way:
    """A queue, a worker in this process, and a server that accepts and keeps everything."""

    def __init__(self, redis_url: str, server: servers.Server) -> None:
        self.server = server
        self.queue = vwo_celery.connect(
            replace(DESTINATION, base_url=server.url),
            batch_event_data={"events_per_request": 100},
            redis_url=redis_url,
            allowed_hosts=["127.0.0.1"],
            enqueue_timeout_seconds=5.0,
        )
        assert producer_of(self.queue).register()
        self.fleet, (self.shard,) = worker_fleet(self.queue), worker_shards(self.queue)
        self.told: list[tuple[Any, BatchReport]] = []

    def hear(self, signal: Any = None, report: Any = None, **_: Any) -> None:
        """Record a signal."""
        self.told.append((signal, report))

    def push(self, *events: bytes) -> None:
        """Push as a program in another language does."""
        with redis_py.Redis.from_url(self.queue.settings.redis_url) as client:
            client.lpush(self.shard.keys.open, *events)

    def run(self) -> None:
        """Sweep, and deliver until nothing is left."""
        sweeping.sweep(self.fleet, by="beat")
        sweeping.sweep_shard(self.shard, force=True)
        worker = Worker(self.fleet, self.queue.settings, lambda wakeup: None)
        while deliver(worker, Wakeup(self.queue.name, 0, "")):
            pass

    @property
    def arrived(self) -> list[Any]:
        """The events of all bodies, each of which must be one array of objects."""
        bodies = [json.loads(request.body, parse_int=str) for request in self.server.requests]
        assert all(list(body) == ["ev"] for body in bodies)
        return [event for body in bodies for event in body["ev"]]

    @property
    def dead(self) -> list[BatchReport]:
        """The dead letters."""
        return [report for signal, report in self.told if signal is signals.batch_dead_lettered]


@pytest.fixture
def way(redis_url: str) -> Iterator[Way]:
    """An empty installation."""
    with servers.Server(servers.answering()) as server:
        made = Way(redis_url, server)
        heard = (signals.batch_delivered, signals.batch_dead_lettered, signals.batch_released)
        for signal in heard:
            signal.connect(made.hear)
        yield made
        for signal in heard:
            signal.disconnect(made.hear)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_the_good_events_of_a_batch_with_a_bad_one_arrive(way: Way, bad: bytes) -> None:
    """An event that is no JSON object is dead-lettered with the reason; its neighbours are delivered."""
    way.push(GOOD[0], bad, GOOD[1])

    way.run()

    assert sorted(way.arrived, key=str) == TAKEN[:2]
    (report,) = way.dead
    assert report.raw_events == [bad]
    assert report.error is not None
    assert "1 of 3 events not sent" in report.error
    found = take_snapshot(way.shard)
    assert (found.delivered, found.events("dead"), found.balanced) == (2, 1, True)


def test_all_bad_events_at_once(way: Way) -> None:
    """Fragments that fit together and garbage of every kind harm no good event of their batch."""
    fragments = [b'{"a":[1', b'2]},{"b":3}', b'{"c":"', b'"}']
    way.push(*BAD.values(), *GOOD, *fragments)

    way.run()

    assert sorted(way.arrived, key=str) == TAKEN
    found = take_snapshot(way.shard)
    assert found.events("dead") == len(BAD) + len(fragments)
    assert found.balanced


def test_nothing_but_bad_events(way: Way) -> None:
    """A batch of garbage only is not sent, and does not come back."""
    way.push(*BAD.values())

    way.run()
    way.run()

    assert way.server.connections == []
    assert take_snapshot(way.shard).events("dead") == len(BAD)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_json_is_sent_as_it_is(way: Way, odd: bytes) -> None:
    """One JSON object goes to VWO byte for byte, however unusual it is."""
    way.push(GOOD[0], odd, GOOD[1])

    way.run()

    bodies = [request.body for request in way.server.requests]
    assert bodies == [b'{"ev":[%b]}' % b",".join([GOOD[0], odd, GOOD[1]])]
    assert way.dead == []


def test_an_event_of_50_mb_is_put_aside_unread(way: Way) -> None:
    """An event of 50 MB is dead-lettered for its size, in its own batch and without being parsed;
    its neighbours are delivered.
    """
    way.push(GOOD[0], b'{"a":"' + b"x" * 50_000_000 + b'"}', GOOD[1])

    way.run()

    assert sorted(way.arrived, key=str) == TAKEN[:2]
    (report,) = way.dead
    assert report.error is not None
    assert "50000009 bytes" in report.error
    assert take_snapshot(way.shard).balanced
    shown = run_command([*_words(way, "dead")[:-1], "list", "--events"])
    assert "further characters" in shown.stdout
    assert len(shown.stdout) < 10_000


def test_a_bad_event_comes_to_callbacks_and_listeners_as_text(way: Way) -> None:
    """Receivers get a dict, or a text for what is no JSON object; neither makes them fail."""
    bad = list(BAD.values())
    way.push(*bad, rb'{"a":"\ud800"}')

    way.run()

    (dead,) = way.dead
    assert {type(event) for event in dead.events} == {str}
    published = result_text(dead.error, [*dead.raw_events, rb'{"a":"\ud800"}', *GOOD])
    heard = _heard(way, published)
    assert heard == (dead.error, [*dead.events, {"a": "\ud800"}, *map(json.loads, GOOD)])


#: Long enough for a busy machine, in seconds; without a message by then, `next` raises.
_HEARD_SECONDS = 10.0


def _heard(way: Way, *published: bytes) -> Any:
    """The results that a listener reads from the messages published while it listens."""
    fleet, channel = producer_of(way.queue).fleet, way.fleet.keys.results(way.queue.name)
    registration = fleet.registration(way.queue.name)
    listening = listen(fleet, registration, timeout_seconds=_HEARD_SECONDS)
    admin = redis_py.Redis.from_url(way.queue.settings.redis_url)

    def publish() -> None:
        wait_until(lambda: admin.pubsub_numsub(channel)[0][1] == 1, 10)
        for text in published:
            way.fleet.client.publish(channel, text)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        return next(listening)
    finally:
        thread.join()
        listening.close()
        admin.close()


def test_garbage_on_the_results_channel_is_passed_over(way: Way) -> None:
    """A listener skips garbage on the results channel and reads the next real outcome."""
    garbage = [b"", b"\xff", b"null", b"[]", b"[1,2]", b'["e",{}]', b"[" * 100_000, b'{"a":1}']

    heard = _heard(way, *garbage, result_text(None, [GOOD[0]]))

    assert heard == (None, [{"good": 0}])


# --- every text there is -------------------------------------------------------------------------


def every_text() -> list[str]:
    """All code points, lone surrogates included, in a few texts; and some that editors get wrong."""
    # Backwards, since a high surrogate before a low one would be another code point.
    planes = [
        "".join(map(chr, reversed(range(i, i + 0x11000)))) for i in range(0, 0x110000, 0x11000)
    ]
    return [
        *planes,
        "e\u0301 \u2028 \u2029 \u200d \u202e \ufeff \x00 \x7f </script>",
        '\\"/\\u0041',
    ]


@pytest.mark.parametrize("how", ["enqueue", "enqueue_many", "aio"])
def test_every_code_point_arrives_as_it_was(way: Way, how: str) -> None:
    """Body, callback and listener have exactly the text that was enqueued, whatever its code points."""
    texts = every_text()
    events = [{"text": text, text: 1} for text in texts]
    if how == "enqueue":
        assert all(way.queue.enqueue(event) for event in events)
    elif how == "enqueue_many":
        assert all(way.queue.enqueue_many(events))
    else:
        asyncio.run(_enqueue_all(way, events))

    way.run()

    arrived = [event for request in way.server.requests for event in json.loads(request.body)["ev"]]
    assert arrived == events
    (report,) = [report for signal, report in way.told if signal is signals.batch_delivered]
    assert report.events == events
    assert _heard(way, result_text(None, report.raw_events)) == (None, events)


async def _enqueue_all(way: Way, events: list[dict[str, Any]]) -> None:
    queue = aio.connect(
        way.queue.destination, batch_event_data={"events_per_request": 100},
        redis_url=way.queue.settings.redis_url, enqueue_timeout_seconds=5.0,
    )  # fmt: skip
    for event in events:
        assert await queue.enqueue(event)
    await queue.aclose()


# --- the keys that all queues share --------------------------------------------------------------

GARBAGE = [b"", b"\xff\xfe", b"null", b"{}", b"[]", b'["q"]', b"[" * 100_000, b'["\xff",0,"t"]']


def test_garbage_for_registrations_holds_up_nobody(way: Way, redis: redis_py.Redis) -> None:
    """Sweep, health and the operator's commands skip unreadable registrations and report them."""
    stored = redis.hget(way.fleet.keys.queues, way.queue.name)
    assert stored is not None
    endless = stored.replace(b'"limits"', b'"shards":1000000000,"limits"')
    deep = stored.replace(b'"limits"', b'"later":' + b"[" * 100_000 + b',"limits"')
    mapping = {f"garbage-{n}": text for n, text in enumerate([*GARBAGE, endless, deep])}
    redis.hset(way.fleet.keys.queues, mapping={**mapping, b"\xff\xfe": b"{}"})
    way.push(*GOOD)

    way.run()

    assert sorted(way.arrived, key=str) == TAKEN
    for name in mapping:
        with pytest.raises(QueueUnknown, match="cannot be read"):
            way.fleet.registration(name)
    _commands_go_on(way)


def test_garbage_among_watched_shards_holds_up_nobody(way: Way, redis: redis_py.Redis) -> None:
    """A sweep skips invalid names of shards and looks at all others."""
    names = [*GARBAGE, b"nowhere:0", b"nowhere:-1", b"nowhere:" + b"9" * 30, b"nowhere:x", b":"]
    redis.sadd(way.fleet.keys.watched, *names)
    redis.hset(
        way.fleet.keys.pulse,
        mapping={"audit_cursor": "x", "beat": "x", "listener": ""},
    )
    way.push(*GOOD)

    way.run()

    assert sorted(way.arrived, key=str) == TAKEN
    _commands_go_on(way)


def test_garbage_for_wakeups_is_read_past(way: Way, redis: redis_py.Redis) -> None:
    """A listener skips each invalid wake-up without an error, and finds the valid one behind them."""
    way.fleet.leave_wakeups(way.queue.name, 0, ["token"])
    redis.rpush(way.fleet.keys.wakeups, *GARBAGE)

    found = [way.fleet.next_wakeup(0.05) for _ in range(len(GARBAGE) + 1)]

    assert found == [*[None] * len(GARBAGE), Wakeup(way.queue.name, 0, "token")]


def _commands_go_on(way: Way) -> None:
    assert health(way.fleet, way.queue.settings).listeners == 0
    for command in ("status", "queues", "ledger"):
        ran = run_command(_words(way, command))
        wrong = command == "status" and json.loads(ran.stdout)["wrong"]  # a registration is garbage
        assert (ran.exit_code, ran.stderr) == (int(wrong), "")
        assert way.queue.name in ran.stdout
    assert json.loads(run_command(_words(way, "doctor")).stdout)


def _words(way: Way, command: str) -> list[str]:
    return ["--redis-url", way.queue.settings.redis_url, command, "--json"]
