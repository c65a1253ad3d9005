"""forget.lua: delete a shard that holds nothing, so that nobody takes that for a loss."""

from __future__ import annotations

from typing import Any

import pytest

from lua.world import LIFE, LIMITS, Line, World
from vwo_celery.queue.handling import forgetting
from vwo_celery.queue.handling.forgetting import HOLDS, MOVES, USED, Last
from vwo_celery.queue.words.marks import Mark

HOUR_MS = 3_600_000


def forget(world: World, *, idle_seconds: float | None = 3600.0, delete: bool = True) -> Last:
    """Call the script."""
    return world.call(
        forgetting.forget_shard, world.shard, idle_seconds=idle_seconds, delete=delete
    )


def test_every_key_of_an_empty_shard_goes_but_its_life(world: World) -> None:
    """All keys are deleted; the life stays for a while, and the last numbers are told."""
    world.given(
        meta={"accepted": 9, "delivered": 7, "dropped:purged": 2, "refused": 1},
        slots={"w": world.at(-1)},
    )
    k = world.shard.keys
    for key in (k.circuit, k.declined, k.tally):
        world.client.hset(key, "field", 1)
    for key in (k.settled, k.births, k.released, k.arrived):
        world.client.zadd(key, {"b": 1})
    for key in (k.minutes, k.ten_minutes, k.hours):
        world.client.xadd(key, {"n": 1})

    looked = forget(world, delete=False)
    unchanged = world.changes() == {}
    last = forget(world)

    assert unchanged
    assert looked == last == Last(1, 9, 7, 2, 1, -1)
    assert {name.decode() for name in world.client.keys("*")} == {k.former}
    assert world.client.get(k.former) == LIFE.encode()
    assert world.client.pttl(k.former) > HOUR_MS
    assert forget(world).code == 1  # again, as after a kill


@pytest.mark.parametrize(
    "held",
    [
        {"open": [b"1"]},
        {"ready": {"b": 1}},
        {"leases": {"b": 1}},
        {"dead": {"b": 1}},
        {"info": {"b": Line()}},
    ],
    ids=str,
)
def test_a_shard_that_holds_something_stays(world: World, held: dict[str, Any]) -> None:
    """Open events, batches in any state and stranded ones keep the shard, whatever is asked."""
    world.given(**held)

    assert forget(world, idle_seconds=None).code == HOLDS
    assert world.changes() == {}


def test_a_move_under_way_keeps_the_shard(world: World) -> None:
    """What has departed may come back, and what arrived may not arrive again."""
    world.given()
    world.client.hset(world.shard.keys.leaving, "b", "1:ready:1:0::")
    assert forget(world, idle_seconds=None).code == MOVES
    world.client.delete(world.shard.keys.leaving)
    world.client.zadd(world.shard.keys.arrived, {"b": world.at(99 * 366 * 24 * HOUR_MS)})

    assert forget(world, idle_seconds=None).code == MOVES
    assert world.changes() == {}


@pytest.mark.parametrize("sign", [1, -1])
def test_traces_of_imports_are_kept_unless_told(world: World, sign: int) -> None:
    """An import's trace, or a batch that shall not come, keeps the shard until somebody insists."""
    world.given()
    world.client.zadd(world.shard.keys.arrived, {"b": sign * world.at(HOUR_MS)})

    assert forget(world).code == USED
    assert forget(world, idle_seconds=None).code == 1


@pytest.mark.parametrize("field", ["first_ms", "delivered_ms", "arrived_ms", "watched", "tally"])
def test_a_shard_that_was_used_lately_stays_unless_told(world: World, field: str) -> None:
    """Each trace of a use counts for the time that is asked for, and no longer."""
    world.given()

    def used(ago_ms: int) -> None:
        key, name = world.shard.keys.meta, field
        if field == "tally":
            key, name = world.shard.keys.tally, "last_ms:spooled"
        world.client.hset(key, name, world.at(-ago_ms))

    used(HOUR_MS // 2)
    assert forget(world).code == USED
    assert world.changes() == {}
    assert forget(world, idle_seconds=None, delete=False).code == 1
    used(2 * HOUR_MS)
    assert forget(world).code == 1


def test_a_producer_that_goes_on_finds_its_life(world: World) -> None:
    """Its next enqueue registers the shard, stores the event once, and notes no loss."""
    world.given()
    mark = Mark("m", 1, life=LIFE)
    world.push(mark, b"1")
    batch = (world.sweep(force=True), world.claim())[1]
    assert batch is not None
    assert world.shard.ack(batch.id)
    forget(world, idle_seconds=None)

    mark = Mark("m", 2, life=LIFE)
    refused = world.push(mark, b"2")
    life = world.shard.set_limits(LIMITS, known_life=LIFE)
    stored = world.push(mark, b"2")

    assert (refused.code, life, stored.code) == (-3, LIFE, 1)
    snapshot = world.snapshot()
    assert (snapshot.accepted, snapshot.dropped, snapshot.forgotten_ms) == (1, {}, 0)
    assert snapshot.balanced
    assert world.client.get(world.shard.keys.former) is None
    world.client.delete(world.shard.keys.meta)
    assert world.shard.set_limits(LIMITS, known_life=LIFE) != LIFE  # that is a loss
