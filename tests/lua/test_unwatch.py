"""unwatch.lua: stop watching a shard, if it still holds nothing."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.pushing import next_mark
from lua.world import LIMITS, Line, World
from vwo_celery.queue.words.marks import Mark


def test_an_empty_shard_is_forgotten(world: World) -> None:
    """An empty shard is no longer watched: the next enqueue announces it again."""
    world.given(meta={"watched": 1, "delivered": 9})

    forgotten = world.call(world.shard.unwatch)

    assert forgotten is True
    assert world.changes() == {"meta": {"watched": None}}


def test_the_next_event_of_a_forgotten_shard_is_announced(world: World) -> None:
    """A forgotten shard's next event is announced, even if its open list was deleted with room left."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta={"watched": 1})
    world.push(Mark("m", 1), b"1")
    world.client.delete(world.shard.keys.open)
    world.call(world.shard.unwatch)

    appended = world.shard.append(next_mark(2), b"2")
    pushed = world.push(Mark("m", 2), b"2")

    assert appended is False
    assert pushed.watch == 1


def test_dead_letters_need_no_sweep(world: World) -> None:
    """A shard with only dead letters is forgotten: they wait for an operator, not for the sweep."""
    world.given(meta={"watched": 1}, dead={"b": world.at(-1)}, info={"b": Line()})

    forgotten = world.call(world.shard.unwatch)

    assert forgotten is True


@pytest.mark.parametrize(
    "held",
    [{"open": [b"1"]}, {"ready": {"b": 1}}, {"leases": {"b": 1}}],
    ids=str,
)
def test_a_shard_that_holds_something_stays_known(world: World, held: dict[str, Any]) -> None:
    """A shard that received an event since the sweep looked stays watched."""
    world.given(meta={"watched": 1}, **held)

    forgotten = world.call(world.shard.unwatch)

    assert forgotten is False
    assert world.changes() == {}
