"""Garbage in the keys of a shard: it harms what it stands for, is seen, and hides nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py

from tools.command_line import run_command
from tools.queue_states import HOLDS_SOMETHING, Queues, find_dead
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.work import sweeping

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)

LINES = [
    b"", b"x", b"\xff\xfe", b"v2:0:0:1:9:1:1:", b"0:0:1:9:1:1", b"0:0:-1:9:1:1:",
    b"0:0:" + b"9" * 400 + b":9:1:1:", b'{"events":1}', "٠:٠:١:٩:١:١:".encode(),
]  # fmt: skip
Spoil = Callable[[Shard, Any], None]


def _wrong(family: str, make: Callable[[Any, str], Any]) -> Spoil:
    def spoil(shard: Shard, client: Any) -> None:
        key = getattr(shard.keys, family)
        client.delete(key)
        make(client, key)

    return spoil


def _as_string(client: Any, key: str) -> None:
    client.set(key, "x")


def _as_list(client: Any, key: str) -> None:
    client.rpush(key, "x")


WRONG_TYPES = {
    family: _wrong(family, _as_string if family != "slots" else _as_list)
    for family in ("open", "meta", "ready", "leases", "info", "dead", "slots")
}


@pytest.mark.parametrize("line", LINES, ids=repr)
def test_a_line_that_cannot_be_read_harms_its_batch_only(
    queues: Queues, redis: redis_py.Redis, line: bytes
) -> None:
    """Its batch is left as it is and counted; the others are delivered, and the ledger balances."""
    queue = queues.add()
    queues.fill(queue, 15)
    shard = queues.shard(queue)
    first = redis.zrange(shard.keys.ready, 0, 0)[0]
    redis.hset(shard.keys.info, first, line)

    while isinstance(batch := shard.claim(token="", lease_seconds=60), Batch):
        shard.ack(batch.id)
    sweeping.sweep(queues.fleet, by="beat")

    (view,) = queues.views()
    assert (view.ledger.delivered, view.ready, view.ledger.balanced) == (10, 5, True)
    assert view.unreadable == (f"the line of batch {first.decode()}",)
    assert redis.hget(shard.keys.info, first) == line
    assert redis.llen(shard.keys.batch(first.decode())) == 5
    status = run_command(["--redis-url", queues.settings.redis_url, "status"])
    assert "cannot be read by this release: the line of batch" in " ".join(status.stdout.split())
    assert "unreadable" in _checks(queues)


def test_a_later_release_goes_on_with_its_batch(queues: Queues, redis: redis_py.Redis) -> None:
    """A batch that was set aside is due again after a minute, for whoever can read its line."""
    queue = queues.add()
    queues.fill(queue, 5)
    shard = queues.shard(queue)
    name = redis.zrange(shard.keys.ready, 0, 0)[0]
    line = redis.hget(shard.keys.info, name)
    redis.hset(shard.keys.info, name, "v2:whatever")
    assert shard.claim(token="", lease_seconds=60) is None

    redis.hset(shard.keys.info, name, line)
    due_ms = int(redis.zscore(shard.keys.ready, name) or 0) - queues.fleet.now_ms()
    redis.zadd(shard.keys.ready, {name: 1})
    batch = shard.claim(token="", lease_seconds=60)

    assert 0 < due_ms <= 60_000
    assert isinstance(batch, Batch)
    assert (batch.attempt, batch.events) == (1, 5)


@pytest.mark.parametrize(
    "field",
    ["accepted", "delivered", "events", "bytes", "open_events", "first_ms", "delivered_ms",
     "granted_events", "held_until", "capacity_events", "dropped:oldest", "refused"],
)  # fmt: skip
@pytest.mark.parametrize("text", ["", "x", "1.5", "nan", "9" * 5_000])
def test_a_number_that_is_none_is_named(
    queues: Queues, redis: redis_py.Redis, field: str, text: str
) -> None:
    """A view of the queue counts it as 0 and names it; other queues are seen as they are."""
    spoilt, sound = queues.add(1), queues.add(2)
    for queue in (spoilt, sound):
        queues.fill(queue, 7)
    redis.hset(queues.shard(spoilt).keys.meta, field, text)

    views = {view.queue: view for view in queues.views()}

    assert views[spoilt.name].unreadable == (f"the field {field}",)
    assert views[sound.name].unreadable == ()
    assert (views[sound.name].ready, views[sound.name].open) == (5, 2)


@pytest.mark.parametrize("family", WRONG_TYPES)
def test_a_key_of_a_wrong_type_hides_no_other_queue(
    queues: Queues, redis: redis_py.Redis, family: str
) -> None:
    """Views, ledger, status, doctor and sweep name the queue, and show and serve all others."""
    spoilt, sound = queues.add(1), queues.add(2)
    for queue in (spoilt, sound):
        queues.fill(queue, 7)
        queues.age_open(queue, 100)
    redis.delete(queues.fleet.keys.watched)  # the patrol has to find the other queue
    WRONG_TYPES[family](queues.shard(spoilt), redis)

    sweeping.sweep(queues.fleet, by="beat")
    views = {view.queue: view for view in queues.views()}
    ledger = run_command(["--redis-url", queues.settings.redis_url, "ledger", "--json"])

    assert "WRONGTYPE" in views[spoilt.name].unreadable[0]
    assert not views[spoilt.name].ledger.balanced
    assert (views[sound.name].ready, views[sound.name].open) == (7, 0)
    balanced = {each["queue"]: each["balanced"] for each in json.loads(ledger.stdout)}
    assert (balanced, ledger.exit_code) == ({spoilt.name: False, sound.name: True}, 1)
    assert "unreadable" in _checks(queues)
    redis.flushall()


def test_garbage_among_ids_and_times_is_seen(queues: Queues, redis: redis_py.Redis) -> None:
    """Names that are no text and times without end are shown, and harm no dead letter beside them."""
    queue = queues.add()
    queues.fill(queue, 10)
    queues.kill(queue, "too old")
    shard = queues.shard(queue)
    for key in (shard.keys.dead, shard.keys.ready, shard.keys.leases):
        redis.zadd(key, {b"\xff\xfe": "inf", b"": "-inf", b"x" * 10_000: 5})

    snapshot = take_snapshot(shard)
    dead = find_dead(queues.fleet, queues.registered)
    shown = run_command(["--redis-url", queues.settings.redis_url, "dead", "list"])

    assert snapshot.events("dead") == 5
    assert [each.reason for each in dead if each.events] == ["too old"]
    assert (shown.exit_code, "too old" in shown.stdout) == (0, True), shown.exception
    redis.flushall()


def _checks(queues: Queues) -> dict[str, str]:
    broker = BrokerFacts(url="redis://broker", queue="q", workers=("w",), consumers=("w",))
    findings = doctor.examine(queues.settings, lambda: queues.fleet, lambda _: broker)
    return {finding.check: finding.what for finding in findings if finding.state == "problem"}
