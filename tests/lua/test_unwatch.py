"""unwatch.lua: the sweep forgets a shard, if it still holds nothing."""

from __future__ import annotations

from typing import Any

import pytest
from lua.world import Line, World


def test_an_empty_shard_is_forgotten(world: World) -> None:
    """Its note is taken back, so that the next enqueue makes it known again."""
    world.given(meta={"watched": 1, "delivered": 9})

    forgotten = world.call(world.shard.unwatch)

    assert forgotten is True
    assert world.changes() == {"meta": {"watched": None}}


def test_dead_letters_need_no_sweep(world: World) -> None:
    """What is dead waits for an operator, not for the sweep."""
    world.given(meta={"watched": 1}, dead={"b": world.at(-1)}, info={"b": Line()})

    forgotten = world.call(world.shard.unwatch)

    assert forgotten is True


@pytest.mark.parametrize(
    "held",
    [{"open": [b"1"]}, {"ready": {"b": 1}}, {"leases": {"b": 1}}],
    ids=str,
)
def test_a_shard_that_holds_something_stays_known(world: World, held: dict[str, Any]) -> None:
    """An event that came in since the sweep looked keeps the shard under watch."""
    world.given(meta={"watched": 1}, **held)

    forgotten = world.call(world.shard.unwatch)

    assert forgotten is False
    assert world.changes() == {}
