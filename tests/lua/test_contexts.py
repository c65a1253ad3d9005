"""Trace contexts beside the events: which batch gets which, how many are kept, and when they go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from lua.contexts import DAY_MS, MANY, context, kept, left, push
from lua.pushing import mark, next_mark
from lua.release_before import ShardBefore
from lua.world import LIMITS, World
from vwo_celery.queue.words.batches import Part
from vwo_celery.tracing.carried import MOST_STATE_BYTES, Span


def commands_of(world: World, act: Callable[[], Any]) -> int:
    """How many commands Redis runs while *act* runs, those of scripts too."""
    before = _commands_run(world)
    act()
    return _commands_run(world) - before


def _commands_run(world: World) -> int:
    return sum(each["calls"] for each in world.client.info("commandstats").values())


def test_each_batch_of_a_push_gets_its_own(world: World) -> None:
    """A push that fills two batches and begins a third: each gets the calls of its events alone."""
    world.given()

    push(world, mark(7), *[b"%d" % n for n in range(1, 8)])
    world.sweep(force=True)

    assert kept(world) == {
        (b"1", b"2", b"3"): ([1, 2, 3], 3), (b"4", b"5", b"6"): ([4, 5, 6], 3), (b"7",): ([7], 1),
    }  # fmt: skip
    assert left(world) == ["traced"]


def test_a_call_over_several_batches_is_linked_to_by_each(world: World) -> None:
    """One call of four events, and one event without a call."""
    world.given()

    push(world, mark(5), b"1", b"2", b"3", b"4", b"5", spans=[Span(0, 4, context(9))])
    world.sweep(force=True)

    assert kept(world) == {(b"1", b"2", b"3"): ([9], 1), (b"4", b"5"): ([9], 1)}


def test_many_traced_calls_cost_what_their_number_says(world: World) -> None:
    """Each of many events is a batch and a call of its own: no batch is looked at anew for each."""
    events = [b"%d" % n for n in range(900)]
    world.given(
        limits=replace(MANY, events_per_request=1, capacity_events=1800, capacity_bytes=20_000)
    )
    plain = commands_of(world, lambda: world.push(mark(900), *events))

    traced = commands_of(world, lambda: push(world, mark(1800), *events))

    assert world.client.hlen(world.shard.keys.traced) == 900
    assert (traced - plain) / 900 < 12


def test_a_traced_call_costs_two_commands_more(world: World) -> None:
    """Beside those of the same push without a context: a look at the last one, and the new one."""
    world.given(limits=MANY)
    push(world, mark(1), b"1")
    plain = commands_of(world, lambda: world.push(mark(2), b"2"))

    traced = commands_of(world, lambda: push(world, mark(3), b"3"))

    assert traced - plain == 2


@pytest.mark.parametrize(("per_request", "most_bytes"), [(1, 150), (128, 80)])
@pytest.mark.parametrize("state", ["", "s=" + "x" * (MOST_STATE_BYTES - 2)], ids=["short", "long"])
def test_redis_takes_what_the_page_says(
    world: World, per_request: int, most_bytes: int, state: str
) -> None:
    """docs/how-to/trace.md has figures of the memory that each context takes; see how much memory."""
    world.given(limits=replace(MANY, events_per_request=per_request, capacity_bytes=10**6))
    events = [b"%d" % n for n in range(640)]

    spans = [Span(n, n + 1, f"{context(n)} {state}".strip()) for n in range(640)]
    push(world, mark(640), *events, spans=spans)

    used = world.client.memory_usage(world.shard.keys.traced, samples=0) / 640
    assert used <= most_bytes + (MOST_STATE_BYTES if state else 0)


def test_pushes_without_contexts_seal_those_that_are_there(world: World) -> None:
    """A batch that an untraced push, or append.lua and the sweep, complete keeps what came before."""
    world.given(limits=MANY)
    push(world, mark(1), b"1")
    assert world.shard.append(next_mark(2), b"2")
    push(world, mark(3), b"3")

    world.sweep(force=True)

    assert kept(world) == {(b"1", b"2", b"3"): ([1, 3], 2)}


def test_a_batch_that_its_size_seals_keeps_its_own(world: World) -> None:
    """The event that does not fit any more belongs to the next batch, and so does its call."""
    world.given(limits=replace(MANY, batch_bytes=20))
    push(world, mark(1), b"%015d" % 1)

    push(world, mark(2), b"%015d" % 2)
    world.sweep(force=True)

    assert kept(world) == {(b"%015d" % 1,): ([1], 1), (b"%015d" % 2,): ([2], 1)}


def test_a_repeat_keeps_nothing_twice(world: World) -> None:
    """A push whose answer was lost: its events are stored once, and its contexts are kept once."""
    world.given(limits=MANY)
    push(world, mark(1), b"1")

    assert push(world, mark(1), b"1").code == 0
    world.sweep(force=True)

    assert kept(world) == {(b"1",): ([1], 1)}


def test_a_refused_push_keeps_nothing(world: World) -> None:
    """What a full queue refuses leaves no context."""
    world.given(limits=replace(LIMITS, capacity_events=1))

    assert push(world, mark(2), b"1", b"2").code == -1

    assert left(world) == []


@pytest.mark.parametrize("pushes", [1, 20], ids=["one push", "many"])
def test_the_last_128_are_kept(world: World, pushes: int) -> None:
    """Of 200 calls whose events make one batch the last 128, and their number; they expire in a day."""
    world.given(limits=MANY)
    size = 200 // pushes
    for start in range(0, 200, size):
        push(world, mark(start + size), *[b"%d" % n for n in range(start, start + size)])
    assert 128 <= world.client.llen(world.shard.keys.traces) < 256
    assert 0 < world.client.pttl(world.shard.keys.traces) <= DAY_MS

    world.sweep(force=True)

    assert list(kept(world).values()) == [(list(range(72, 200)), 200)]
    (lines,) = world.client.hvals(world.shard.keys.traced)
    assert lines.count(b"\n") == 128
    assert 0 < world.client.pttl(world.shard.keys.traced) <= DAY_MS


def test_events_of_another_program_get_none(world: World) -> None:
    """A list that only another program filled; and one that it filled beside a traced call."""
    world.given()
    world.client.lpush(world.shard.keys.open, b"alien")
    world.sweep(force=True)
    assert kept(world) == {(b"alien",): ([], 0)}

    push(world, mark(1), b"1")
    world.client.lpush(world.shard.keys.open, *[b"a%d" % n for n in range(4)])
    world.sweep(force=True)

    found = kept(world)
    assert found[b"1", b"a0", b"a1"] == found[b"a2", b"a3"] == ([1], 1)
    assert left(world) == ["traced"]


# -- the release before, which knows nothing of them


@pytest.mark.parametrize("is_traced", [True, False], ids=["a traced call", "none"])
def test_a_list_that_the_release_before_seals_leaves_no_link(world: World, is_traced: bool) -> None:
    """Its sweep seals a list and leaves the contexts; the next list is not linked to them."""
    world.given(limits=MANY)
    push(world, mark(1), b"1")
    first_ms = world.client.hget(world.shard.keys.meta, "first_ms")
    ShardBefore(world.shard).sweep("w", force=True)
    assert left(world) == ["traces"]
    while world.client.time()[0] * 1000 + world.client.time()[1] // 1000 <= int(first_ms):
        pass  # the next list begins in another millisecond

    if is_traced:
        push(world, mark(2), b"2")
    else:
        world.push(mark(2), b"2")
    world.sweep(force=True)

    assert kept(world) == {(b"1",): ([], 0), (b"2",): ([2], 1) if is_traced else ([], 0)}
    assert left(world) == (["traced"] if is_traced else [])


def test_what_it_leaves_behind_goes_as_others_come(world: World) -> None:
    """Contexts of batches that are gone go by and by, and those of the others stay."""
    world.given(limits=MANY, info={}, meta={"watched": 1})
    gone = {f"gone{n}": f"1\n{context(n)}" for n in range(20)}
    world.client.hset(world.shard.keys.traced, mapping=gone)

    for number in range(1, 31):
        push(world, mark(number), b"%d" % number)
        world.sweep(force=True)

    assert len(kept(world)) == 30
    assert all(seen == 1 for _, seen in kept(world).values())
    assert world.client.hlen(world.shard.keys.traced) < 30 + 20


def test_a_key_that_another_program_made_stops_nothing(world: World) -> None:
    """Where the keys are something else, events are stored, sealed and settled as without contexts."""
    world.given()
    for key in world.shard.keys.contexts:
        world.client.set(key, "else")

    push(world, mark(3), b"1", b"2", b"3")
    batch = world.claim()
    assert batch is not None
    assert world.shard.split(batch, [Part("ready", ((0, 2),), 4), Part("ready", ((2, 3),), 2)])
    while batch := world.claim():
        assert world.shard.ack(batch.id)

    assert world.snapshot().balanced
    assert world.snapshot().delivered == 3
