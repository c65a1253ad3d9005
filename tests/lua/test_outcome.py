"""shared/outcome.lua: while a flush waits, each script that makes a batch go leaves a note how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lua.world import LIMITS, Line, World
from vwo_celery.queue.capacity import make_room, trim_dead
from vwo_celery.queue.words.batches import Part
from vwo_celery.queue.work.settlements import Note, ask_for_notes, look

#: Time from which the age of the batch counts.
SEALED = 5
ENDS: list[tuple[str, str, Callable[[World], Any], Note]] = [
    ("ack", "leases", lambda world: world.shard.ack("b"), Note("b", "delivered", 3, SEALED)),
    ("purge", "dead", lambda world: world.shard.purge("b"), Note("b", "purged", 3, -1)),
    (
        "trim", "dead", lambda world: trim_dead([world.shard], 0),
        Note("b", "dead_letters_full", 3, -1),
    ),
    (
        "make room", "ready", lambda world: make_room(world.shard, [b"n"] * 50),
        Note("b", "oldest", 3, SEALED),
    ),
    (
        "split", "leases",
        lambda world: world.shard.split(
            world.batch("b"), [Part("ready", ((2, 3),), 2)], delivered=2
        ),
        Note("b", "delivered", 2, SEALED),
    ),
    ("late ack", "dead", lambda world: world.shard.ack("b"), Note("b", "delivered", 3, -1)),
    (
        "dead letter", "leases",
        lambda world: world.shard.dead_letter(world.batch("b"), error="too old"),
        Note("b", "dead", 3, SEALED),
    ),
    (
        "set aside", "ready", lambda world: world.shard.set_aside("b", reason="bad"),
        Note("b", "dead", 3, SEALED),
    ),
    (
        "split off", "leases",
        lambda world: world.shard.split(
            world.batch("b"), [Part("ready", ((0, 2),), 4), Part("dead", ((2, 3),), 2)]
        ),
        Note("b+2", "dead", 1, SEALED),
    ),
]  # fmt: skip


def read_notes(world: World, since_ms: int) -> list[tuple[int, Note]]:
    """The notes from a time on, each with its own."""
    return look(world.shard, since_ms, 0).notes


def given(world: World, state: str) -> None:
    """One batch of three events in some state."""
    world.given(
        limits=LIMITS,
        meta={"accepted": 3, "events": 0 if state == "dead" else 3, "dead": 3, "bytes": 6},
        info={"b": Line(attempt=1, events=3, bytes=6, sealed=SEALED)},
        batches={"b": [b"1", b"2", b"3"]},
        members={state: {"b": world.at(60_000 if state == "leases" else -1)}},
    )


@pytest.mark.parametrize(("state", "end", "note"), [e[1:] for e in ENDS], ids=[e[0] for e in ENDS])
def test_a_note_tells_how_a_batch_went(
    world: World, state: str, end: Callable[[World], Any], note: Note
) -> None:
    """A note names the batch, its fate and its events, and is forgotten a minute after the last."""
    given(world, state)
    ask_for_notes(world.shard, world.at(0))

    assert world.call(end, world)

    assert read_notes(world, 0) == [(world.now(), note)]
    assert 0 < world.client.pttl(world.shard.keys.settled) <= 60_000


@pytest.mark.parametrize(("state", "end"), [e[1:3] for e in ENDS], ids=[e[0] for e in ENDS])
@pytest.mark.parametrize("until", [None, -1])
def test_nobody_waits_for_a_note(
    world: World, state: str, end: Callable[[World], Any], until: int | None
) -> None:
    """Without a flush, or after it, no note is left."""
    given(world, state)
    if until is not None:
        world.client.hset(world.shard.keys.meta, "flush_until", world.at(until))

    assert world.call(end, world)

    assert read_notes(world, 0) == []
    assert not world.client.exists(world.shard.keys.settled)


def test_a_split_that_delivered_nothing_needs_no_note(world: World) -> None:
    """All its events are in its parts, which are awaited in its place."""
    given(world, "leases")
    ask_for_notes(world.shard, world.at(0))

    assert world.shard.split(world.batch("b"), [Part("ready", ((0, 3),), 6)])

    assert read_notes(world, 0) == []


def test_old_notes_go_when_new_ones_come(world: World) -> None:
    """Only the notes of the last minute are kept, however long flushes wait."""
    given(world, "dead")
    ask_for_notes(world.shard, world.at(0))
    world.client.zadd(
        world.shard.keys.settled,
        {"delivered:1:old:5": world.at(-61_000), "oldest:1:new:5": world.at(-1)},
    )

    world.call(world.shard.purge, "b")

    batches = [note.batch for _, note in read_notes(world, 0)]
    assert batches == ["new", "b"]


def test_only_notes_since_a_time_are_read(world: World) -> None:
    """A reader that comes again gets what is new; what is no note is skipped."""
    world.client.zadd(
        world.shard.keys.settled,
        {"delivered:1:a:5": 1, "delivered:2:b:6": 2, "garbage": 3, "a:b:c:d": 4, "oldest:1:c": 5},
    )

    assert read_notes(world, 2) == [(2, Note("b", "delivered", 2, 6))]
