"""enqueue.lua and a producer's mark: it tells repeats, clones, and events that Redis lost."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lua.pushing import KNOWN, MARK, NINE, mark, stored
from lua.world import LIFE, LIMITS, World
from vwo_celery.queue.words.answers import (
    CLONED,
    DUPLICATE,
    NOT_REGISTERED,
    STORED,
    TOO_MANY_EVENTS,
)
from vwo_celery.queue.words.marks import Mark

# -- events that Redis lost


@pytest.mark.parametrize(
    ("seen", "sequence", "lost"),
    [
        (4, 6, 0),  # as it should be
        (3, 6, 1),
        (0, 6, 4),
        (5, 6, 0),  # more than expected: nothing is missing
    ],
)
def test_what_redis_lost_is_counted(world: World, seen: int, sequence: int, lost: int) -> None:
    """Lost events are counted: of this mark's six, two arrive now, so Redis should have seen four."""
    world.given(meta=KNOWN)
    world.client.set(world.shard.keys.mark("m"), seen)

    pushed = world.push(mark(sequence), b"1", b"2")

    noted = {"dropped:redis_lost": lost, "redis_lost_ms": world.now()} if lost else {}
    assert pushed == stored()
    assert world.changes() == {
        "open": [b"1", b"2"],
        "meta": {"accepted": 2 + lost, "events": 2, "bytes": 4, "open_events": 2, "open_bytes": 4,
                 "first_ms": world.now(), **noted},
        MARK: b"%d" % sequence,
    }  # fmt: skip
    assert world.snapshot().balanced


def test_a_mark_that_redis_lost_is_a_loss(world: World) -> None:
    """If Redis lost a mark, all events stored under it are counted as lost; the shard's state is
    older than the mark.
    """
    world.given(meta=KNOWN)

    pushed = world.push(mark(9), b"1", b"2")

    assert pushed == stored()
    assert world.snapshot().dropped == {"redis_lost": 7}
    assert world.snapshot().redis_lost_ms == world.now()


def test_losses_add_up(world: World) -> None:
    """Losses add up: each producer reports its own part at its next push."""
    world.given(meta=KNOWN)

    world.push(mark(9), b"1")
    world.push(Mark("other", 4, life=LIFE), b"1")

    assert world.snapshot().dropped == {"redis_lost": 8 + 3}
    assert world.snapshot().balanced


def test_a_refused_push_counts_no_loss(world: World) -> None:
    """A refused push counts no loss; it leaves the mark unchanged, and the next push still reports it."""
    world.given(limits=replace(LIMITS, capacity_events=1), meta=KNOWN)

    refused = world.push(mark(9), b"1", b"2")
    changes = world.changes()
    pushed = world.push(mark(8), b"1")

    assert refused.code == TOO_MANY_EVENTS
    assert changes == {"meta": {"refused": 2}}
    assert pushed == stored()
    assert world.snapshot().dropped == {"redis_lost": 7}


def test_a_producer_of_another_life_is_told(world: World) -> None:
    """A push with a mark of an earlier life stores nothing and tells its producer.

    Redis forgot the shard and another producer has registered it since: otherwise all events ever
    pushed under the old mark would count as lost.
    """
    world.given(meta=KNOWN)

    pushed = world.push(Mark("m", 9, life="before"), b"1")

    assert pushed.code == NOT_REGISTERED
    assert world.changes() == {}


@pytest.mark.parametrize(
    ("seen", "sequence"), [(None, 1), (3, 6)], ids=["a new mark", "a mark that Redis knows"]
)
def test_another_life_is_no_matter_where_the_mark_tells_enough(
    world: World, seen: int | None, sequence: int
) -> None:
    """An earlier life does not matter if the mark is in Redis, or if nothing was ever stored under it."""
    world.given(meta=KNOWN)
    if seen is not None:
        world.client.set(world.shard.keys.mark("m"), seen)

    pushed = world.push(Mark("m", sequence), b"1")

    assert pushed == stored()


def test_a_repeat_seals_under_names_of_its_own(world: World) -> None:
    """A repeated push seals under new batch names.

    Redis may have lost the first push while a batch of that name is being sent with other events;
    its ack must forget no other batch.
    """
    world.given(meta=KNOWN)
    first = mark(3)
    world.push(first, b"1", b"2", b"3")
    before = set(world.snapshot().batches)
    world.client.flushall()
    world.given(meta=KNOWN)
    world.shard.load_push()

    first.doubt()
    pushed = world.push(first, b"1", b"2", b"3")

    assert pushed.sealed == 1
    assert {batch.id for batch in before}.isdisjoint(b.id for b in world.snapshot().batches)


@pytest.mark.parametrize("sequence", [6, 7])
def test_a_repeated_push_stores_nothing(world: World, sequence: int) -> None:
    """A repeat of a push, or of an earlier one, changes nothing at all."""
    world.given(meta=KNOWN)
    world.shard.push(world.shard.push_command(mark(7), [b"1", b"2"], 3))

    pushed = world.push(mark(sequence), b"1", b"2")

    assert pushed.code == DUPLICATE
    assert world.changes() == {}


def test_a_repeat_of_a_push_that_sealed_stores_nothing(world: World) -> None:
    """A repeat of a push that sealed a batch leaves that batch alone."""
    world.given(meta=KNOWN)
    world.shard.push(world.shard.push_command(mark(7), [b"1", b"2", b"3"], 4))

    pushed = world.push(mark(7), b"1", b"2", b"3")

    assert (pushed.code, pushed.sealed, pushed.wakeups) == (DUPLICATE, 0, 0)
    assert world.changes() == {}


def test_marks_are_apart(world: World) -> None:
    """The push of another producer is not taken for a repeat."""
    world.given(meta=KNOWN)
    world.shard.push(world.shard.push_command(mark(1), [b"1"], 2))

    pushed = world.push(Mark("other", 1), b"2")

    assert pushed == stored()
    assert world.changes()["open"] == [b"1", b"2"]


# -- clones


OURS, THEIRS = "000000000000001", "999999999999999"


def numbered(sequence: int, nonce: str) -> str:
    """A mark's value after a push with that nonce, "" for one without."""
    return Mark("m", sequence, nonce=nonce).number


@pytest.mark.parametrize(
    ("kept", "sequence", "nonce", "code"),
    [
        (numbered(5, OURS), 5, OURS, DUPLICATE),
        (numbered(5, THEIRS), 5, OURS, CLONED),
        (numbered(9, THEIRS), 5, OURS, CLONED),
        (numbered(5, ""), 5, OURS, DUPLICATE),
        (numbered(5, THEIRS), 5, "", DUPLICATE),
        (numbered(9, THEIRS), 5, "", DUPLICATE),
    ],
    ids=[
        "our own push again", "a clone's push", "later pushes of a clone",
        "stored without nonce", "spooled by an earlier release",
        "spooled by an earlier release, and later pushes",
    ],
)  # fmt: skip
def test_a_number_that_is_seen_stores_nothing(
    world: World, kept: str, sequence: int, nonce: str, code: int
) -> None:
    """A clone's push under the same number is told from a repeat, and neither changes anything."""
    world.given(meta=KNOWN | {"events": 9, "open_events": 9, "accepted": 9})
    world.client.set(world.shard.keys.mark("m"), kept)

    pushed = world.push(Mark("m", sequence, life=LIFE, nonce=nonce), NINE)

    assert pushed.code == code
    assert world.changes() == {}


def test_clones_that_take_turns_lose_nothing(world: World) -> None:
    """A push of which a clone has used some numbers is stored, and none counts as lost."""
    world.given(meta=KNOWN | {"accepted": 6})
    world.client.set(world.shard.keys.mark("m"), numbered(6, THEIRS))

    pushed = world.push(Mark("m", 8, life=LIFE, nonce=OURS), b"1", b"2", b"3")

    assert pushed.code == STORED
    assert world.changes()[MARK] == numbered(8, OURS).encode()
    assert world.changes()["meta"]["accepted"] == 9
