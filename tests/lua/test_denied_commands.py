"""A script that Redis stops at a command which the user may not run leaves every event in one place.

Each script is run once for each command in its text, as a Redis user that may run all others.
Afterwards, with that command allowed again, everything is found by the sweep and delivered once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from msgspec.structs import replace

from lua.denied import delivering, moving, operating, producing, sweeping
from lua.denied.case import PASSWORD, USER, Denied
from lua.world import LIMITS, World, has_gates
from vwo_celery.queue.looks.snapshots import REDIS_LOST
from vwo_celery.queue.scripts import names, script
from vwo_celery.testing import RedisServer

SCENARIOS = {
    name: scenarios
    for each in (delivering, moving, operating, producing, sweeping)
    for name, scenarios in each.SCENARIOS.items()
}
#: Commands of an included function that the script does not call; and those for a list that was deleted.
NEVER_RUN = {
    ("awaited", "HSET"), ("extend", "HSET"), ("flush", "HGET"), ("hasten", "HSET"), ("sweep", "HSETNX"),
    ("unwatch", "HINCRBY"),
}  # fmt: skip
CASES = [
    (name, command)
    for name in names()
    for command in sorted(script(name).commands)
    if (name, command) not in NEVER_RUN
]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server with a user whose commands these tests choose."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def world(server: RedisServer) -> Iterator[World]:
    """A shard on that server."""
    client: redis_py.Redis = redis_py.Redis.from_url(server.url)
    client.flushall()
    client.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", "~*", "+@all")
    client.execute_command("ACL", "LOG", "RESET")
    yield World(client)
    client.close()


@pytest.mark.parametrize(("name", "command"), CASES)
def test_a_denied_command_strands_nothing(world: World, name: str, command: str) -> None:
    """Without one command a script fails as a whole, or does its work: nothing is lost or doubled."""
    user = redis_py.Redis(
        connection_pool=redis_py.ConnectionPool(
            connection_class=world.client.connection_pool.connection_class,
            **{**world.client.connection_pool.connection_kwargs,
               "username": USER, "password": PASSWORD},
        )
    )  # fmt: skip
    world.shard.client.script_load(script(name).text)
    for scenario in SCENARIOS[name]:
        world.client.flushall()
        case = Denied(world, user, command)
        scenario(case)
        _check_places(world)
        _deliver_all(case)
    user.close()

    denied = {entry["object"] for entry in world.client.acl_log()}
    if name != "gate" or has_gates(world.client):
        assert command.lower() in map(_text, denied), f"no scenario of {name} runs {command}"


def _text(value: Any) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).lower()


def _check_places(world: World) -> None:
    """Every batch is in exactly one state, with its line and all of its events; the ledger balances.

    Trace contexts may be missing, and never stay for good.
    """
    dump = world.dump()
    places = Counter(name for state in ("ready", "leases", "dead") for name in dump.get(state, {}))
    lines = dump.get("info", {})
    lists = {name.removeprefix("batch:") for name in dump if name.startswith("batch:")}
    places.pop("orphan", None)
    assert set(places) == set(lines) == lists
    assert set(places.values()) <= {1}
    for name, line in lines.items():
        assert len(dump[f"batch:{name}"]) == line.events
    assert world.snapshot().balanced
    assert all(world.client.pttl(key) != -1 for key in world.shard.keys.contexts)


def _deliver_all(case: Denied) -> None:
    """Repeat the pushes and deliver; every event arrives once, or is counted as dropped."""
    world, k = case.world, case.world.shard.keys
    before = _events(world)
    for mark, events in case.pushed:
        mark.doubt()
        world.push(mark, *events)
    expected = before | Counter(text for _, events in case.pushed for text in events)
    assert _events(world) == expected
    assert set(expected.values()) <= {1}
    world.shard.set_limits(replace(LIMITS, parallel=99))
    world.shard.resume()
    world.shard.let_go()
    for name in world.dump().get("dead", {}):
        world.shard.redrive(name)
    for state in (k.leases, k.ready):
        for name in world.client.zrange(state, 0, -1):
            world.client.zadd(state, {name: 1})
    arrived: Counter[bytes] = Counter()
    delivered = world.snapshot().delivered
    while world.sweep(force=True).more:
        pass
    while batch := world.claim():
        arrived.update(world.shard.read(batch))
        assert world.shard.ack(batch.id)
    assert arrived == expected
    snapshot = world.snapshot()
    assert snapshot.balanced
    assert snapshot.counted_events == snapshot.counted_bytes == 0
    assert snapshot.delivered == delivered + arrived.total()
    lost = snapshot.dropped.get(REDIS_LOST, 0)
    assert lost == max((m.sequence - len(e) for m, e in case.pushed), default=0)


def _events(world: World) -> Counter[bytes]:
    """All events in lists; those of a batch only if the batch has a line."""
    dump = world.dump()
    lists = [dump.get("open", []), *(dump[f"batch:{name}"] for name in dump.get("info", {}))]
    return Counter(event for events in lists for event in events)
