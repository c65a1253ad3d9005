"""limit.lua: what the scripts obey, from the call on."""

from __future__ import annotations

from lua.world import LIMITS, World
from msgspec.structs import asdict, replace

from vwo_celery.marks import Mark


def test_limits_are_written(world: World) -> None:
    """A shard that nobody has registered gets all of them."""
    world.call(world.shard.set_limits, LIMITS)

    assert world.changes() == {"meta": asdict(LIMITS)}


def test_what_was_appended_under_the_old_limits_is_counted(world: World) -> None:
    """Counters go on, and nothing more is appended under limits that are no more."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta={"watched": 1})
    world.push(Mark("m", 1), b"1")
    world.shard.append(Mark("m", 2), b"2")

    world.call(world.shard.set_limits, LIMITS)

    assert world.changes() == {"meta": {"events_per_request": LIMITS.events_per_request}}
    assert world.snapshot().balanced
    assert world.shard.append(Mark("m", 3), b"3") is False
