"""gate.lua and its transaction: store many events past Lua; leave what is unusual to enqueue.lua."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py
from msgspec.structs import replace

from lua.pushing import MARK, NINE, given_mark
from lua.world import LIFE, LIMITS, World, has_gates, room_of
from vwo_celery.connections import open_client
from vwo_celery.queue.gates import Gate
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.answers import DUPLICATE, STORED
from vwo_celery.queue.words.marks import Mark
from vwo_celery.testing import RedisServer

TWO = [b"2", b"3"]
PATIENT_SECONDS = 10.0


def gate_of(shard: Shard) -> Gate:
    """A gate that is tried for any number of events."""
    return Gate(shard, from_events=1)


def begun(world: World, events: int = 5, size: int = 50, **changes: Any) -> dict[str, Any]:
    """A shard with a mark, one event of ten bytes in its open list, and room for so many more."""
    counts = {"open_events": 1, "open_bytes": 10, "events": 1, "bytes": 10, "accepted": 1}
    given_mark(world, "0")
    room = room_of(events, size, accepted=1)
    return {"watched": 1, **counts, **room, "first_ms": world.at(-9_000), **changes}


def pair_mark(sequence: int = 2, stored: str = "0") -> Mark:
    """A mark that Redis knows, raised for two events."""
    return Mark("m", sequence, 2, life=LIFE, stored=stored, appends=True)


def test_events_between_others_are_stored(world: World) -> None:
    """The events are stored last and in order, counted, and remembered by their mark; no gate stays."""
    world.given(meta=begun(world), open=[NINE])

    stored = world.call(gate_of(world.shard).let_in, pair_mark(), TWO)

    assert stored is has_gates(world.client)
    assert world.changes() == (
        {
            "open": [NINE, *TWO],
            "meta": {"open_events": 3, "open_bytes": 14, "events": 3, "bytes": 14, "accepted": 3},
            MARK: b"2",
        }
        if stored
        else {}
    )
    assert world.client.pttl(world.shard.keys.mark("m")) > 60_000


@pytest.mark.parametrize(
    ("events", "size"), [(1, 50), (5, 3), (0, 0)], ids=["room for one", "too few bytes", "no room"]
)
def test_without_room_nothing_is_stored(world: World, events: int, size: int) -> None:
    """Where not all of the events have room, none is stored."""
    world.given(meta=begun(world, events, size), open=[NINE])

    stored = world.call(gate_of(world.shard).let_in, pair_mark(), TWO)

    assert stored is False
    assert world.changes() == {}


@pytest.mark.parametrize("seen", ["1", "2", "2.0001", None], ids=str)
def test_with_another_mark_nothing_is_stored(world: World, seen: str | None) -> None:
    """Where the mark is not as the producer left it, nothing is stored: enqueue.lua knows why."""
    world.given(meta=begun(world), open=[NINE])
    key = world.shard.keys.mark("m")
    world.client.delete(key)
    if seen is not None:
        world.client.set(key, seen)

    stored = world.call(gate_of(world.shard).let_in, pair_mark(), TWO)

    assert stored is False
    assert world.changes() == {}


def test_a_list_that_is_gone_is_not_opened(world: World) -> None:
    """Where there is no open list, nothing is stored, though there is room."""
    world.given(meta=begun(world), open=[])

    stored = world.call(gate_of(world.shard).let_in, pair_mark(), TWO)

    assert stored is False
    assert world.changes() == {}


def test_what_is_no_list_is_left_alone(world: World, redis: redis_py.Redis) -> None:
    """Where another program has put something else in the list's place, nothing is changed."""
    world.given(meta=begun(world), open=[])
    key = world.shard.keys
    redis.set(key.open, "no list")
    before = redis.hgetall(key.meta)

    stored = gate_of(world.shard).let_in(pair_mark(), TWO)

    assert stored is False
    assert (redis.get(key.open), redis.hgetall(key.meta)) == (b"no list", before)
    assert redis.get(key.mark("m")) == b"0"


def test_a_repeat_is_known_to_enqueue(world: World) -> None:
    """After a lost answer, enqueue.lua says that the events are stored, or stores them, once."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta=begun(world), open=[NINE])
    stored = gate_of(world.shard).let_in(pair_mark(), TWO)

    again = gate_of(world.shard).let_in(pair_mark(), TWO)
    code = world.push(pair_mark(), *TWO).code

    assert again is False
    assert code == (DUPLICATE if stored else STORED)
    assert world.client.lrange(world.shard.keys.open, 0, -1)[::-1] == [NINE, *TWO]


def test_a_server_without_the_script_stores_nothing_and_is_given_it(world: World) -> None:
    """After SCRIPT FLUSH a first transaction stores nothing; the next one does."""
    world.given(meta=begun(world), open=[NINE])
    gate = gate_of(world.shard)
    world.client.script_flush()

    first = world.call(gate.let_in, pair_mark(), TWO)
    changed = world.changes()
    second = gate.let_in(pair_mark(), TWO)

    assert (first, changed) == (False, {})
    assert second is has_gates(world.client)


def test_a_full_redis_stores_nothing(world: World) -> None:
    """A full Redis refuses the transaction as a whole."""
    world.given(meta=begun(world), open=[NINE])
    gate = gate_of(world.shard)
    gate.let_in(Mark("other", 2, 2, stored="0", appends=True), TWO)  # has tried MULTI
    world.client.config_set("maxmemory", 1)
    try:
        stored = world.call(gate.let_in, pair_mark(), TWO)
    finally:
        world.client.config_set("maxmemory", 0)

    assert stored is False
    assert world.changes() == {}


@pytest.mark.parametrize("denied", ["multi", "exec", "lpushx", "renamenx", "evalsha"])
def test_a_denied_command_leaves_nothing(
    world: World, redis: redis_py.Redis, redis_url: str, denied: str
) -> None:
    """A user who may not run one of the transaction's commands changes nothing, and is not asked again.

    Also if that is denied between two pushes: what follows a denied MULTI runs outside of a transaction.
    """
    world.given(meta=begun(world), open=[NINE])
    redis.execute_command("ACL", "SETUSER", "web", "on", ">secret", "~*", "&*", "+@all")
    url = redis_url.replace("redis://", "redis://web:secret@")
    with open_client(url, timeout_seconds=PATIENT_SECONDS) as client:
        gate = gate_of(Shard(client, world.shard.namespace, world.shard.queue, 0))
        gate.let_in(Mark("other", 2, 2, stored="0", appends=True), TWO)  # MULTI works
        redis.execute_command("ACL", "SETUSER", "web", f"-{denied}")

        stored = world.call(gate.let_in, pair_mark(), TWO)
        changed = world.changes()
        calls = redis.info("commandstats")["cmdstat_exec"]
        again = gate.let_in(pair_mark(), TWO)

    redis.execute_command("ACL", "DELUSER", "web")
    assert (stored, changed, again) == (False, {}, False)
    assert redis.info("commandstats")["cmdstat_exec"] == calls


def test_outside_of_a_transaction_the_gate_stays_shut(
    world: World, redis: redis_py.Redis, redis_url: str
) -> None:
    """The script does not open the gate for a user who may not begin a transaction."""
    world.given(meta=begun(world), open=[NINE])
    redis.execute_command("ACL", "SETUSER", "web", "on", ">secret", "~*", "+@all", "-multi")
    url = redis_url.replace("redis://", "redis://web:secret@")
    with open_client(url, timeout_seconds=PATIENT_SECONDS) as client:
        gate = gate_of(world.shard)
        transaction = gate._transaction(pair_mark(), TWO)

        answers = world.call(client.exchange, "", transaction, 5)

    redis.execute_command("ACL", "DELUSER", "web")
    assert answers[1:3] == [-1, 0]
    assert world.changes() == {}


def test_a_replica_stores_nothing(world: World) -> None:
    """A server that has become a replica refuses the transaction as a whole."""
    world.given(meta=begun(world), open=[NINE])
    gate = gate_of(world.shard)
    gate.let_in(Mark("other", 2, 2, stored="0", appends=True), TWO)
    with RedisServer() as master:
        world.client.replicaof("127.0.0.1", str(master.port))
        try:
            stored = gate.let_in(pair_mark(), TWO)
        finally:
            world.client.replicaof("NO", "ONE")

    assert stored is False


def test_what_has_no_room_is_not_tried_again(world: World, redis: redis_py.Redis) -> None:
    """The answer to a transaction tells how much room is left: nothing is sent in vain."""
    world.given(meta=begun(world, 3), open=[NINE])
    gate = gate_of(world.shard)
    gate.let_in(pair_mark(), TWO)
    calls = redis.info("commandstats")["cmdstat_exec"]["calls"]

    stored = gate.let_in(pair_mark(4, "2"), TWO)

    tried = redis.info("commandstats")["cmdstat_exec"]["calls"] - calls
    assert (stored, tried) == (False, 0)


def test_after_a_seal_the_next_push_opens(world: World, redis: redis_py.Redis) -> None:
    """After a push that sealed, the gate is not tried; after the next one, it is."""
    world.given(meta=begun(world), open=[NINE])
    gate = gate_of(world.shard)

    gate.note_pushed(sealed=1)
    first = gate.let_in(pair_mark(), TWO)
    gate.note_pushed(sealed=0)
    second = gate.let_in(pair_mark(), TWO)

    assert (first, second) == (False, has_gates(redis))


@pytest.mark.parametrize(
    "changes", [{"appends": False}, {"sending": "r1"}], ids=["too old a mark", "in doubt"]
)
def test_only_a_sure_mark_is_used(
    world: World, redis: redis_py.Redis, changes: dict[str, Any]
) -> None:
    """A mark that may expire soon, or whose push may be stored already, goes to enqueue.lua."""
    world.given(meta=begun(world), open=[NINE])
    chosen = pair_mark()
    for name, value in changes.items():
        setattr(chosen, name, value)

    assert gate_of(world.shard).let_in(chosen, TWO) is False


def test_where_transactions_are_refused_none_is_sent() -> None:
    """A producer tries an empty transaction first: a proxy may refuse MULTI and run what follows."""
    with RedisServer(arguments=["--rename-command", "MULTI", ""]) as server:
        redis = redis_py.Redis.from_url(server.url)
        world = World(redis)
        world.given(meta=begun(world), open=[NINE])

        stored = world.call(gate_of(world.shard).let_in, pair_mark(), TWO)

        assert stored is False
        assert world.changes() == {}
        assert "cmdstat_lpushx" not in redis.info("commandstats")
        world.client.close()
