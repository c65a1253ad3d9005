"""split.lua: who may split a batch, and what is refused, so that every event exists once."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from lua.pushing import next_mark
from lua.splitting import (
    FIRST_PART,
    LONG,
    SECOND_PART,
    Range,
    events_of,
    leased,
    numbered,
    part,
    split,
)
from lua.world import Line, World
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.words.marks import Mark

# -- who may split


def test_a_second_split_changes_nothing(world: World) -> None:
    """A second split, as after a lost answer, changes nothing: every event exists once."""
    leased(world, 4)
    parts = [part("dead", (0, 1)), part("ready", (2, 4))]
    assert split(world, *parts, delivered=1)

    again = split(world, *parts, delivered=1)

    assert again is False
    assert world.changes() == {}


@pytest.mark.parametrize("attempt", [1, 3])
def test_another_attempt_is_refused(world: World, attempt: int) -> None:
    """The holder of an older lease cannot split the batch of the new holder."""
    leased(world, 4, attempt=2)

    done = split(world, part("ready", (0, 2)), part("ready", (2, 4)), attempt=attempt)

    assert done is False
    assert world.changes() == {}


def test_an_expired_lease_that_nobody_took_may_be_split(world: World) -> None:
    """The holder of an expired lease may split its batch while no other has it: VWO's answer counts."""
    leased(world, 4)
    world.client.zadd(world.shard.keys.leases, {"b": world.at(-5_000)})

    assert split(world, part("ready", (0, 2)), delivered=2) is True
    assert world.snapshot().balanced


@pytest.mark.parametrize("state", ["ready", "dead"])
def test_what_is_not_leased_is_refused(world: World, state: str) -> None:
    """A batch that was released or has died meanwhile is not split."""
    world.given(
        info={"b": Line(attempt=1, events=2)},
        batches={"b": numbered(0, 2)},
        members={state: {"b": world.at(-1)}},
    )

    done = split(world, part("ready", (0, 1)), part("ready", (1, 2)))

    assert done is False
    assert world.changes() == {}


def test_what_is_gone_is_refused(world: World) -> None:
    """A batch that an older holder acked stays delivered."""
    world.given(meta={"delivered": 3})

    assert split(world, part("ready", (0, 1)), part("ready", (1, 2))) is False
    assert world.changes() == {}


# -- events of another program


@pytest.mark.parametrize("count", [4, 2 * LONG])
@pytest.mark.parametrize("push", ["lpush", "rpush"])
def test_what_another_program_pushed_into_it_is_accepted(
    world: World, push: str, count: int
) -> None:
    """The parts hold all that the list holds, in its order; what was not counted is accepted."""
    leased(world, count)
    aliens, own = [b"alien"] * 2, numbered(0, count)
    getattr(world.client, push)(world.shard.keys.batch("b"), *aliens)

    assert split(world, part("dead", (0, 1)), part("ready", (1, count + 2)))

    kept = events_of(world, FIRST_PART) + events_of(world, SECOND_PART)
    assert kept == (own + aliens if push == "lpush" else aliens + own)
    found = world.snapshot()
    assert (found.accepted, found.events("dead"), found.events("ready")) == (
        count + 4,
        1,
        count + 1,
    )
    assert found.balanced


def test_such_events_hide_no_single_push(world: World) -> None:
    """What producers stored singly before is counted once; the list stays an ordinary one."""
    leased(world, 4)
    world.push(Mark("m", 1), b"1")
    assert world.shard.append(next_mark(2), b"2")
    world.client.lpush(world.shard.keys.batch("b"), b"alien")

    assert split(world, part("ready", (0, 5)))
    world.sweep()

    found = world.snapshot()
    assert (found.accepted, found.open_events, found.balanced) == (9, 2, True)
    assert world.client.hget(world.shard.keys.meta, "mixed") is None


# -- programming mistakes


@pytest.mark.parametrize(
    ("parts", "delivered"),
    [
        ([((0, 2),), ((2, 3),)], 0),
        ([((0, 2),), ((1, 4),)], 0),
        ([((0, 2),), ((2, 4),)], 1),
        ([], 3),
        ([], 0),
    ],
    ids=["too few", "too many", "too many with the delivered", "too few delivered", "nothing"],
)
def test_parts_that_are_not_the_batch_are_refused(
    world: World, parts: Sequence[tuple[Range, ...]], delivered: int
) -> None:
    """Parts that do not add up to the batch are refused: no event is lost or duplicated."""
    leased(world, 4)

    with pytest.raises(QueueUnavailable, match="the parts are not the batch"):
        split(world, *[part("ready", *ranges) for ranges in parts], delivered=delivered)

    assert world.changes() == {}


@pytest.mark.parametrize("left", [0, 3])
def test_a_batch_that_is_not_whole_is_refused(world: World, left: int) -> None:
    """A batch from which events were deleted is not split; the next claim finds the deletion."""
    leased(world, 4)
    world.client.ltrim(world.shard.keys.batch("b"), 4 - left, 3)

    with pytest.raises(QueueUnavailable, match=re.escape(f"{4 - left} events of it are gone")):
        split(world, part("ready", (0, 2)), part("ready", (2, 4)))

    assert world.changes() == {}
