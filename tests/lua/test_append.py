"""append.lua: store a single event the shortest way; leave everything else to enqueue.lua."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.pushing import MARK, NINE, given_mark, mark, next_mark
from lua.world import LIFE, LIMITS, ROOM_UNIT, World, room_of
from vwo_celery.queue.words.answers import CLONED, DUPLICATE, STORED
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.marks import YOUNG_TTL_SECONDS, Mark


def begun(world: World, events: int = 1, size: int = 20, **changes: Any) -> dict[str, Any]:
    """A shard with a mark, one event of ten bytes in its open list, and room for so many more."""
    counts = {"open_events": 1, "open_bytes": 10, "events": 1, "bytes": 10, "accepted": 1}
    given_mark(world, "0")
    room = room_of(events, size, accepted=1)
    return {"watched": 1, **counts, **room, "first_ms": world.at(-9_000), **changes}


def room_left(world: World) -> tuple[int, int]:
    """Events and bytes of the room for appends."""
    return divmod(int(world.client.hget(world.shard.keys.meta, "room") or 0), ROOM_UNIT)


def test_an_event_between_others_is_stored(world: World) -> None:
    """An appended event is stored last, counted and remembered by its mark; the timer goes on."""
    world.given(meta=begun(world), open=[NINE])

    stored = world.call(world.shard.append, next_mark(1), b"2")

    assert stored is True
    assert world.changes() == {
        "open": [NINE, b"2"],
        "meta": {"open_events": 2, "open_bytes": 12, "events": 2, "bytes": 12, "accepted": 2},
        MARK: b"1",
    }
    assert 60_000 < world.client.pttl(world.shard.keys.mark("m")) <= 3_600_000


@pytest.mark.parametrize(
    ("events", "size"), [(0, 20), (1, 9)], ids=["no room for an event", "too few bytes"]
)
def test_without_room_nothing_is_stored(world: World, events: int, size: int) -> None:
    """Without room nothing is stored: enqueue.lua decides about a seal or a refusal."""
    world.given(meta=begun(world, events, size), open=[NINE])

    stored = world.call(world.shard.append, next_mark(1), NINE)

    assert stored is False
    assert world.changes() == {}


def test_an_appended_event_is_in_the_ledger_at_once(world: World) -> None:
    """The ledger counts an appended event at once, not only when the counters are next updated."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta={"watched": 1})
    world.push(mark(1), NINE)

    assert world.shard.append(next_mark(2), NINE)

    snapshot = world.snapshot()
    assert (snapshot.accepted, snapshot.counted_events, snapshot.counted_bytes) == (2, 2, 20)
    assert snapshot.open_events == 2
    assert snapshot.balanced


def test_room_may_be_used_to_the_last_byte(world: World) -> None:
    """The event that uses up the room is stored; the next one is not."""
    world.given(meta=begun(world, 5, 10), open=[NINE])

    answers = [world.shard.append(next_mark(number), NINE) for number in (1, 2)]

    assert answers == [True, False]
    assert room_left(world) == (4, 0)


def test_a_shard_that_was_granted_no_room_is_left_alone(world: World) -> None:
    """A shard that is not registered, or has no open list yet, grants no room."""
    world.given(open=[NINE])

    stored = world.call(world.shard.append, next_mark(1), NINE)

    assert stored is False
    assert world.changes() == {}


def test_a_list_that_is_gone_is_not_opened(world: World) -> None:
    """Room that is left for a list which somebody deleted stores nothing: enqueue.lua opens a new one."""
    world.given(meta=begun(world, 5))

    stored = world.call(world.shard.append, next_mark(1), NINE)

    assert stored is False
    assert world.changes() == {}


def test_a_shard_that_was_forgotten_gets_no_key(world: World) -> None:
    """An append to a shard without keys leaves none."""
    given_mark(world, "0")

    stored = world.call(world.shard.append, next_mark(1), NINE)

    assert stored is False
    assert world.changes() == {}
    assert world.client.keys() == [world.shard.keys.mark("m").encode()]


def test_bytes_that_do_not_fit_borrow_nothing_from_the_events(world: World) -> None:
    """The room for bytes ends by itself, however many events there is room for."""
    world.given(meta=begun(world, 1_000, 9), open=[NINE])

    stored = world.call(world.shard.append, next_mark(1), NINE)

    assert stored is False
    assert room_left(world) == (1_000, 9)
    assert world.changes() == {}


@pytest.mark.parametrize(
    ("limits", "pushed", "room"),
    [
        (LIMITS, 1, (1, 90)),  # the last of three events seals
        (LIMITS, 2, (0, 80)),
        (LIMITS, 3, (0, 0)),  # sealed: no open list
        (replace(LIMITS, events_per_request=9, capacity_events=4), 2, (2, 80)),
        (replace(LIMITS, events_per_request=9, capacity_bytes=35), 2, (6, 15)),
        (replace(LIMITS, events_per_request=1), 1, (0, 0)),
    ],
)
def test_room_ends_where_something_unusual_begins(
    world: World, limits: Limits, pushed: int, room: tuple[int, int]
) -> None:
    """enqueue.lua grants room only up to the event that fills the batch, its bytes or the queue."""
    world.given(limits=limits, meta={"watched": 1})

    world.push(mark(), *[NINE] * pushed)

    assert room_left(world) == room


def test_no_room_is_granted_beside_another_program(world: World) -> None:
    """No room is granted while another program pushes as well: only the sweep may seal then."""
    world.given(limits=replace(LIMITS, events_per_request=9), open=[b"foreign"])

    world.push(mark(), NINE)

    assert room_left(world) == (0, 0)


def test_the_sweep_takes_room_back(world: World) -> None:
    """A sweep withdraws the room: nothing is appended to a list that may have been sealed."""
    world.given(meta=begun(world), open=[NINE])

    world.sweep(force=True)

    assert world.shard.append(next_mark(1), NINE) is False
    assert world.snapshot().balanced


@pytest.mark.parametrize("sequence", [6, 7])
def test_a_repeat_stores_nothing(world: World, sequence: int) -> None:
    """A repeated append stores nothing; enqueue.lua recognises the repeat as well."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta=begun(world, 5), open=[NINE])
    given_mark(world, "6")
    world.shard.append(next_mark(7), b"2")

    stored = world.call(world.shard.append, next_mark(sequence), b"2")
    changes = world.changes()
    pushed = world.push(mark(sequence), b"2")

    assert stored is False
    assert changes == {}
    assert pushed.code == DUPLICATE
    assert world.changes() == {}


@pytest.mark.parametrize("seen", [None, 5], ids=["Redis forgot the mark", "or its last event"])
def test_an_event_before_which_redis_lost_others_is_left_alone(
    world: World, seen: int | None
) -> None:
    """An append that reveals lost events is left to enqueue.lua, which counts them and stores once."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta=begun(world, 5), open=[NINE])
    world.client.delete(world.shard.keys.mark("m"))
    if seen is not None:
        given_mark(world, str(seen))

    stored = world.call(world.shard.append, next_mark(7), b"2")
    changes = world.changes()
    pushed = world.push(mark(7), b"2")

    assert (stored, changes) == (False, {})
    assert pushed.code == STORED
    lost = 6 - (seen or 0)
    assert world.snapshot().dropped == {"redis_lost": lost}
    assert world.snapshot().accepted == 1 + 1 + lost
    assert world.snapshot().balanced


def test_a_mark_that_was_put_back_does_not_stay_for_ever(world: World) -> None:
    """A mark that is written again gets an expiry, also by an event that was left to enqueue.lua."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta=begun(world, 5), open=[NINE])
    given_mark(world, "5")

    world.shard.append(next_mark(7), b"2")

    assert 0 < world.client.pttl(world.shard.keys.mark("m")) <= 1_000 * YOUNG_TTL_SECONDS


def test_a_clone_stores_nothing(world: World) -> None:
    """The same number with other digits behind it is a clone's; enqueue.lua tells it so."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta=begun(world, 5), open=[NINE])
    given_mark(world, "6.0001")
    ours, theirs = (
        Mark("m", 7, life=LIFE, stored="6.0001", appends=True, nonce=nonce) for nonce in "12"
    )
    assert world.shard.append(ours, b"ours")

    stored = world.call(world.shard.append, theirs, b"theirs")

    assert stored is False
    assert world.changes() == {}
    assert world.push(theirs, b"theirs").code == CLONED


def test_both_ways_share_their_marks(world: World) -> None:
    """append.lua recognises a push that enqueue.lua stored, and does not store it again."""
    world.given(limits=replace(LIMITS, events_per_request=9), meta=begun(world, 5), open=[NINE])
    world.shard.push(world.shard.push_command(mark(1), [b"2"], 2))

    stored = world.call(world.shard.append, next_mark(1), b"2")

    assert stored is False
    assert world.changes() == {}
