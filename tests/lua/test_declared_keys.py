"""Scripts touch only the keys they are given; Redis Cluster requires it.

While a slot moves between two nodes, an undeclared key is written on the wrong one, and
acknowledged events are lost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from msgspec.structs import replace
from redis.exceptions import ResponseError

import vwo_celery
from lua.clock import KEY
from lua.lives import live, lives_of_a_model
from lua.pushing import next_mark
from lua.world import LIMITS, QUEUE, World
from tools.waiting import wait_until
from vwo_celery import Settings
from vwo_celery.queue import capacity, scripts
from vwo_celery.queue import shard as store
from vwo_celery.queue.handling import forgetting, moving, picking, waiting
from vwo_celery.queue.holding import circuit, evidence
from vwo_celery.queue.scripts import Script
from vwo_celery.queue.words.batches import Batch, Part, Passed
from vwo_celery.queue.words.keys import fleet_keys, shard_keys
from vwo_celery.queue.words.marks import Mark
from vwo_celery.queue.work import stranded
from vwo_celery.testing import RedisServer

LUA = Path(vwo_celery.__file__).parent / "queue" / "lua"
SCRIPTS = sorted(LUA.rglob("*.lua"))
COMMAND = re.compile(r"redis\.p?call\(\s*'(\w+)'")
ANY_CALL = re.compile(r"redis\.p?call\(")
LIVES = 25

#: Prefix of a script: every command's keys, found as Redis itself finds them, must be declared.
GUARD = """
local real, declared = redis, {}
declared['%s'] = true -- the clock of a test
for _, key in ipairs(KEYS) do declared[key] = true end
local first_last_step = { %s }
local function check(command, ...)
  local words, at = { ... }, first_last_step[command]
  assert(at, 'not a command of the scripts: ' .. command)
  local last = at[2] < 0 and #words + 1 + at[2] or at[2]
  for i = at[1], last, math.max(at[3], 1) do
    if i > 0 and not declared[words[i]] then error(command .. ' touches ' .. words[i]) end
  end
end
local redis = setmetatable({
  call = function(...) check(...) return real.call(...) end,
  pcall = function(...) check(...) return real.pcall(...) end,
}, { __index = real })
"""


def test_commands_are_named_where_they_are_called() -> None:
    """Every command is a literal argument of `call`: the guard below sees all of them."""
    for path in SCRIPTS:
        text = path.read_text("utf-8")
        assert len(ANY_CALL.findall(text)) == len(COMMAND.findall(text)), path
        assert not re.search(r"\bEVAL|loadstring|setmetatable|_G\b", text), path


@pytest.fixture
def guard(redis: redis_py.Redis) -> str:
    """The guard, with this server's own information on where each command's keys are."""
    commands = {name for path in SCRIPTS for name in COMMAND.findall(path.read_text("utf-8"))}
    known: dict[str, Any] = redis.command()
    rows = [
        "['{}'] = {{ {}, {}, {} }}".format(name, *_key_positions(known[name.lower()]))
        for name in sorted(commands)
    ]
    return GUARD % (KEY, ", ".join(rows))


def _key_positions(command: dict[str, Any]) -> tuple[int, int, int]:
    return command["first_key_pos"], command["last_key_pos"], command["step_count"]


def test_whatever_happens_only_declared_keys_are_touched(
    redis: redis_py.Redis, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over long random lives of a shard, no command names a key outside KEYS."""

    @cache
    def guarded(name: str) -> Script:
        text = guard + scripts.script(name).text
        return Script(text, hashlib.sha1(text.encode()).hexdigest())

    for module in (store, capacity, circuit, waiting, picking, moving, forgetting, stranded):
        monkeypatch.setattr(module, "script", guarded)

    live(redis, lives_of_a_model(LIVES))

    redis.flushdb()


def test_the_guard_sees_an_undeclared_key(redis: redis_py.Redis, guard: str) -> None:
    """The guard catches a script that invents a key name."""
    with pytest.raises(ResponseError, match="LPUSH touches made up"):
        redis.eval(guard + "return redis.call('LPUSH', 'made up', 1)", 1, "declared")
    with pytest.raises(ResponseError, match="RENAME touches made up"):
        redis.eval(guard + "return redis.call('RENAME', KEYS[1], 'made up')", 1, "declared")
    with pytest.raises(ResponseError, match="EXISTS touches made up"):
        redis.eval(guard + "return redis.call('EXISTS', KEYS[1], 'made up')", 1, "declared")


# -- on a node of a cluster


@pytest.fixture(scope="module")
def node() -> Iterator[Any]:
    """The only node of a cluster, which serves every slot and refuses scripts that cross slots."""
    with RedisServer(arguments=("--cluster-enabled", "yes")) as server:
        client: Any = redis_py.Redis.from_url(server.url)
        client.execute_command("CLUSTER ADDSLOTS", *range(16_384))
        wait_until(lambda: client.cluster("info")["cluster_state"] == "ok", what="the cluster")
        yield client
        client.close()


def test_a_shard_lives_in_one_slot(node: Any) -> None:
    """Every script runs on a cluster node, which requires all keys of a shard in one slot."""
    node.flushall()
    world = World(node)
    world.given()
    shard = world.shard

    shard.push(shard.push_command(Mark("m", 10), [b"%d" % i for i in range(10)], 11))
    shard.append(next_mark(11), b"11")
    node.lpush(shard.keys.open, b"foreign")
    world.sweep(force=True)
    dead, released, acked = (world.claim("w") for _ in range(3))
    assert dead is not None
    assert released is not None
    assert acked is None  # two lanes
    shard.extend(dead, lease_seconds=30)
    shard.dead_letter(dead, error="too old")
    shard.release(released, delay_seconds=0, error="busy")
    shard.redrive(dead.id)
    batch = world.claim()
    assert batch is not None
    shard.dead_letter(batch, error="too old")
    assert capacity.trim_dead([shard], 0)
    shard.set_limits(replace(LIMITS, capacity_events=1))
    assert capacity.make_room(shard, [b"new"]).dropped
    while batch := world.claim():
        assert shard.ack(batch.id)
    assert shard.unwatch()

    assert world.snapshot().balanced
    slots = {node.execute_command("CLUSTER KEYSLOT", name) for name in node.keys("*")}
    assert len(slots) == 1
    assert forgetting.forget_shard(shard, idle_seconds=None, delete=True).code == 1
    assert {name.decode() for name in node.keys("*")} <= {shard.keys.former, shard.keys.mark("m")}


def test_what_is_known_of_a_destination_lives_in_it_too(node: Any) -> None:
    """The parts of a batch, its notes and the queue's circuit are in the slot of shard 0."""
    node.flushall()
    world = World(node)
    world.given()
    shard, seen = world.shard, circuit.Circuit(node, QUEUE, Settings(), lambda: 1.0)
    shard.push(shard.push_command(Mark("m", 3), [b"1", b"2", b"3"], 4))

    batch = shard.claim(token="", lease_seconds=30)
    assert isinstance(batch, Batch)
    assert shard.hand_back(batch, lease_until_ms=batch.lease_until_ms)
    assert shard.claim(token="", lease_seconds=30)
    assert evidence.suspect(shard, batch.id) == 0
    parts = [Part("dead", ((0, 1),), 2), Part("ready", ((1, 2),), 2)]
    assert shard.split(batch, parts, delivered=1)
    while seen.note_failure(delivered_ms=0, floor_seconds=None, probe="") is None:
        pass
    node.hset(shard.keys.circuit, "until_ms", 1)
    permit = seen.ask()
    shard.hold(1)
    evidence.note_passed(shard, Passed(1, 2, 3))
    shard.pause("401")

    assert permit.answer == "probe"
    assert world.snapshot().balanced
    names = [name.decode() for name in node.keys("*")]
    assert {shard.keys.circuit, shard.keys.suspect(batch.id)} < set(names)
    assert len({node.execute_command("CLUSTER KEYSLOT", name) for name in names}) == 1
    assert seen.end_probe(permit.token, answered=True)
    assert shard.let_go()
    assert shard.resume()


def test_the_node_refuses_a_script_that_crosses_slots(node: Any) -> None:
    """The node refuses a script whose keys are in two slots: the test above can fail."""
    with pytest.raises(ResponseError, match="slot"):
        node.eval("return redis.call('EXISTS', KEYS[1], KEYS[2])", 2, "a", "b")


def test_names_of_a_shard_share_a_hash_tag() -> None:
    """The keys of one shard share a hash tag, whatever the queue's name; other shards have others."""
    first, second = shard_keys("vwo", "fme-1-a", 0), shard_keys("vwo", "fme-1-a", 1)
    names = [first.open, first.meta, first.batch("b{1}"), first.mark("m")]

    tags = {name[name.index("{") + 1 : name.index("}")] for name in names}

    assert tags == {"fme-1-a:0"}
    assert "{fme-1-a:1}" in second.open
    assert "{" not in fleet_keys("vwo").queues
