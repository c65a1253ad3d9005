"""enqueue.lua where the limit is the least of a batch: all that is open leaves at that number."""

from __future__ import annotations

import pytest

from lua.pushing import KNOWN, mark, next_mark
from lua.world import LEAST, LIFE, World
from vwo_celery.queue.words.answers import STORED
from vwo_celery.queue.words.marks import Mark
from vwo_celery.queue.work.pushes import names_needed


def sizes(world: World) -> list[int]:
    """Events of each sealed batch, and last those of the open list."""
    dump = world.dump()
    batches = [dump[name] for name in sorted(dump) if name.startswith("batch:")]
    return [len(each) for each in [*batches, dump.get("open", [])]]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [1]), (2, [2]), (3, [3, 0]), (4, [4, 0]), (5, [5, 0]), (7, [5, 2, 0]), (13, [5, 5, 3, 0])],
)
def test_all_that_is_open_leaves_at_the_least_number(
    world: World, count: int, expected: list[int]
) -> None:
    """A push that reaches it seals everything, in batches of the most; fewer wait for others."""
    world.given(limits=LEAST, meta=KNOWN)
    events = [b"%d" % i for i in range(count)]

    pushed = world.push(mark(count), *events, names=names_needed(LEAST, events))

    assert pushed.sealed == len(expected) - 1
    assert sizes(world) == expected
    assert world.snapshot().balanced


def test_single_events_leave_at_exactly_the_least_number(world: World) -> None:
    """The third of three seals, by whichever script the others came."""
    world.given(limits=LEAST, meta=KNOWN)

    answers = [world.push(mark(1), b"1").sealed]
    answers += [
        int(world.shard.append(next_mark(2), b"2")),
        int(world.shard.append(next_mark(3), b"3")),
    ]
    answers += [world.push(mark(3), b"3", names=2).sealed]

    assert answers == [0, 1, 0, 1]
    assert sizes(world) == [3, 0]


def test_pages_of_one_call_leave_together(world: World) -> None:
    """Only the last of them seals at the least number; the most is sealed on the way."""
    world.given(limits=LEAST, meta=KNOWN)

    first = world.push(mark(4), *[b"1"] * 4, more_follow=True)
    second = world.push(mark(8), *[b"2"] * 4, more_follow=True)
    last = world.push(mark(9), b"3")

    assert [each.sealed for each in (first, second, last)] == [0, 1, 1]
    assert sizes(world) == [5, 4, 0]


def test_the_last_of_a_call_leaves_with_it(world: World) -> None:
    """Fewer than the least number do not wait for others if the pages before them did not."""
    world.given(limits=LEAST, meta=KNOWN)
    world.push(mark(5), *[b"1"] * 5, more_follow=True)

    last = world.push(mark(6), b"2")
    later = world.push(mark(7), b"3")

    assert (last.sealed, later.sealed) == (1, 0)
    assert sizes(world) == [5, 1, 1]


def test_nothing_is_appended_in_the_middle_of_a_call(world: World) -> None:
    """What is left open leaves with the next push, so the fast way, which seals nothing, is closed."""
    world.given(limits=LEAST, meta=KNOWN)
    world.push(mark(6), *[b"1"] * 6, more_follow=True)

    assert not world.shard.append(next_mark(7), b"2")
    assert world.push(mark(7), b"2").sealed == 1
    assert sizes(world) == [5, 2, 0]


def test_what_a_call_left_long_ago_is_not_gone_on_with(world: World) -> None:
    """After a producer died between two pages, later events wait for the least number as ever."""
    followed = {"followed_ms": world.at(-2000)}
    world.given(limits=LEAST, meta={**KNOWN, **followed})

    assert world.push(mark(1), b"1").sealed == 0


def test_pages_of_a_call_without_a_least_number_seal_as_ever(world: World) -> None:
    """What follows makes no difference where no batch may hold more; nothing is noted of it."""
    world.given(meta=KNOWN)

    pushed = world.push(mark(7), *[b"1"] * 7, more_follow=True)

    assert pushed.sealed == 2
    assert sizes(world) == [3, 3, 1]
    assert "followed_ms" not in world.dump()["meta"]


def test_the_next_event_takes_along_what_a_dead_producer_left(world: World) -> None:
    """A list beyond the least number is not foreign: the next event seals it."""
    world.given(limits=LEAST, meta=KNOWN)
    world.push(mark(4), *[b"1"] * 4, more_follow=True)

    pushed = world.push(Mark("other", 1, life=LIFE), b"2")

    assert pushed.sealed == 1
    assert sizes(world) == [5, 0]


@pytest.mark.parametrize("padding", [0, 30, 60, 98, 120])
def test_as_many_names_as_are_needed(world: World, padding: int) -> None:
    """Whatever the sizes are, the script asks for no more names than Python counts."""
    world.given(limits=LEAST, meta=KNOWN)
    world.push(mark(1), b"1")
    events = [b"x" * (padding if i % 2 else 1) for i in range(11)]

    pushed = world.push(mark(12), *events, names=names_needed(LEAST, events))

    assert pushed.code == STORED
    assert "open" not in world.dump() or len(world.dump()["open"]) < LEAST.events_per_request
