"""turn.lua: a task that ends asks for others."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.world import LIMITS, Line, World

KNOWN = replace(LIMITS, parallel=2)


def due(world: World, **more: Any) -> None:
    """A shard with three batches that are due."""
    world.given(
        limits=KNOWN,
        ready={name: world.at(-1) for name in "abc"},
        info={name: Line() for name in "abc"},
        **more,
    )


def test_what_is_due_is_woken_for(world: World) -> None:
    """A task that ends takes slots for what is due, as many as lanes may take it."""
    due(world)

    token, wakeups = world.call(world.shard.next_turn)

    assert wakeups == 2
    assert world.changes() == {
        "slots": {f"{token}:{i}": world.now(LIMITS.slot_ttl_ms) for i in (1, 2)}
    }


@pytest.mark.parametrize("given_ms", [-60_000, 9_000])
def test_those_who_wait_are_enough(world: World, given_ms: int) -> None:
    """No slot is taken beside those of messages that wait, for however long they have."""
    due(world, slots={"v": world.at(given_ms), "w": world.at(given_ms)})

    assert world.call(world.shard.next_turn)[1] == 0
    assert world.changes() == {}


@pytest.mark.parametrize("meta", [{"paused": "401"}, {"held_until": 1}])
def test_nobody_is_woken_where_nothing_may_be_claimed(world: World, meta: dict[str, Any]) -> None:
    """A paused shard is left asleep; of a held one the sweep wakes one, when its time has come."""
    due(world, meta=meta)

    assert world.call(world.shard.next_turn)[1] == 0
    assert world.changes() == {}


def test_an_empty_shard_is_left_asleep(world: World) -> None:
    """Where nothing is due, nobody is woken."""
    world.given(limits=KNOWN, ready={"a": world.at(60_000)})

    assert world.call(world.shard.next_turn)[1] == 0
    assert world.changes() == {}


def test_a_shard_that_redis_forgot_is_left_asleep(world: World) -> None:
    """A shard without limits, as after a loss, wakes nobody."""
    assert world.call(world.shard.next_turn)[1] == 0
    assert world.changes() == {}
