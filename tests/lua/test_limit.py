"""limit.lua: store the limits that the scripts obey from then on."""

from __future__ import annotations

from msgspec import to_builtins
from msgspec.structs import replace

from lua.pushing import next_mark
from lua.world import LIMITS, World
from vwo_celery.queue.words.marks import Mark


def test_limits_are_written(world: World) -> None:
    """An unregistered shard gets all limits, and it is noted when that was."""
    life = world.call(world.shard.set_limits, LIMITS)

    assert world.changes() == {
        "meta": {**to_builtins(LIMITS), "life": life, "begun_ms": world.now()}
    }


def test_a_life_keeps_its_name(world: World) -> None:
    """Later registrations are given the name of the shard's life and report no loss."""
    life = world.shard.set_limits(LIMITS)

    answers = [world.call(world.shard.set_limits, LIMITS, known_life=known) for known in ("", life)]

    assert answers == [life, life]
    assert world.changes() == {}


def test_a_life_that_ended_is_noted_by_the_first_to_tell(world: World) -> None:
    """After Redis forgot the shard, the first producer that names an earlier life records the loss."""
    before = world.shard.set_limits(LIMITS)
    world.client.delete(world.shard.keys.meta)

    life = world.shard.set_limits(LIMITS)
    world.call(world.shard.set_limits, LIMITS, known_life=before)

    assert life != before
    assert world.changes() == {"meta": {"forgotten_ms": world.now()}}
    world.client.hset(world.shard.keys.meta, "forgotten_ms", 1)
    world.call(world.shard.set_limits, LIMITS, known_life="another")
    assert world.changes() == {}


def test_what_was_appended_under_the_old_limits_is_counted(world: World) -> None:
    """A change of limits counts the appended events and withdraws the room of the old limits."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta={"watched": 1})
    world.push(Mark("m", 1), b"1")
    world.shard.append(next_mark(2), b"2")

    world.call(world.shard.set_limits, LIMITS)

    assert world.changes() == {"meta": {"events_per_request": LIMITS.events_per_request}}
    assert world.snapshot().balanced
    assert world.shard.append(next_mark(3), b"3") is False


def test_a_limit_that_is_not_given_any_more_ends(world: World) -> None:
    """A producer without a most of its own takes back that of others; nothing else is left of it."""
    world.given(limits=replace(LIMITS, batch_events=7))

    world.call(world.shard.set_limits, LIMITS)

    assert world.changes() == {"meta": {"batch_events": None}}


def test_a_limit_that_is_given_again_stays(world: World) -> None:
    """Registering the same limits changes nothing."""
    limits = replace(LIMITS, batch_events=7)
    world.given(limits=limits)

    world.call(world.shard.set_limits, limits)

    assert world.changes() == {}
