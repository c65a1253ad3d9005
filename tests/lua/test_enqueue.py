"""enqueue.lua: store a push or refuse all of it, and wake workers for what it sealed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.pushing import KNOWN, MARK, NINE, mark, next_mark, stored
from lua.world import LIMITS, World
from vwo_celery.queue.words.answers import (
    DUPLICATE,
    NOT_REGISTERED,
    TOO_FEW_NAMES,
    TOO_MANY_BYTES,
    TOO_MANY_EVENTS,
    Pushed,
)
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.marks import OLD_FROM_SEQUENCE, push_token
from vwo_celery.queue.work.pushes import names_needed

# -- storing


def test_the_first_event_starts_the_timer(world: World) -> None:
    """The first event is in the open list, starts the timer, is counted, and its push is remembered."""
    world.given(meta=KNOWN)

    pushed = world.push(mark(), NINE)

    assert pushed == stored()
    assert world.changes() == {
        "open": [NINE],
        "meta": {
            "open_events": 1, "open_bytes": 10, "events": 1, "bytes": 10, "accepted": 1,
            "first_ms": world.now(),
        },
        MARK: b"1",
    }  # fmt: skip


def test_a_later_event_leaves_the_timer_alone(world: World) -> None:
    """A later event leaves the timer alone: the age of an open list is that of its oldest event."""
    world.given(meta=KNOWN)
    world.shard.push(world.shard.push_command(mark(1), [b"1"], 2))

    world.push(mark(2), b"2")

    assert world.changes() == {
        "open": [b"1", b"2"],
        "meta": {"open_events": 2, "open_bytes": 4, "events": 2, "bytes": 4, "accepted": 2},
        MARK: b"2",
    }


def test_an_unregistered_shard_takes_nothing(world: World) -> None:
    """A shard without limits stores nothing; the producer has to register first."""
    pushed = world.push(mark(), b"1")

    assert pushed.code == NOT_REGISTERED
    assert world.changes() == {}


def test_a_shard_the_sweep_does_not_know_is_announced(world: World) -> None:
    """The first push to an idle shard has its producer announce the shard to the sweep."""
    world.given()

    first = world.push(mark(1), b"1")
    noted = world.changes()["meta"]["watched"] == world.now()
    second = world.push(mark(2), b"2")

    assert first == stored(watch=1)
    assert noted
    assert second == stored()


def test_a_repeat_announces_the_shard_again(world: World) -> None:
    """A repeated push announces the shard again, since the answer that asked for it may be lost."""
    world.given()
    world.push(mark(1), b"1")

    pushed = world.push(mark(1), b"1")

    assert pushed == Pushed(DUPLICATE, 0, 0, 1)


@pytest.mark.parametrize("sequence", [OLD_FROM_SEQUENCE - 1, OLD_FROM_SEQUENCE])
def test_the_mark_goes_by_itself(world: World, sequence: int) -> None:
    """A mark outlives every repeat of its push but expires soon after its producer's death;
    enqueue.lua and the producer use the same time, and append.lua leaves the mark what it has.
    """
    world.given(limits=replace(LIMITS, events_per_request=9), meta=KNOWN)
    ttl_ms = 1_000 * mark(sequence).ttl_seconds
    key = world.shard.keys.mark("m")

    world.push(mark(sequence), b"1")
    after_push = world.client.pttl(key)
    world.client.pexpire(key, 1_000_000)
    appended = world.shard.append(next_mark(sequence + 1), b"2")

    assert 0.9 * ttl_ms < after_push <= ttl_ms
    assert appended
    assert 900_000 < world.client.pttl(key) <= 1_000_000


# -- refusing


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (replace(LIMITS, capacity_events=6), TOO_MANY_EVENTS),
        (replace(LIMITS, capacity_bytes=69), TOO_MANY_BYTES),
    ],
)
def test_a_full_queue_refuses_all_of_a_push(world: World, limits: Limits, code: int) -> None:
    """A push that does not fit completely stores nothing; the refused events are counted."""
    world.given(
        limits=limits, meta={**KNOWN, "events": 5, "bytes": 50, "accepted": 9, "refused": 1}
    )

    pushed = world.push(mark(), NINE, NINE)

    assert pushed.code == code
    assert world.changes() == {"meta": {"refused": 3}}


def test_a_push_from_a_spool_is_not_counted_as_refused(world: World) -> None:
    """Events that wait elsewhere and come again do not count as refused, however often they come."""
    limits = replace(LIMITS, capacity_events=6)
    world.given(limits=limits, meta={**KNOWN, "events": 5, "bytes": 50, "accepted": 9})
    command = world.shard.push_command(mark(), [NINE, NINE], 3, count_refusal=False)

    pushed = world.call(world.shard.push, command)

    assert pushed.code == TOO_MANY_EVENTS
    assert world.changes() == {}


def test_a_queue_may_be_filled_to_its_capacity(world: World) -> None:
    """The last event that fits into the queue is stored."""
    limits = replace(LIMITS, capacity_events=7, capacity_bytes=70)
    world.given(limits=limits, meta={**KNOWN, "events": 5, "bytes": 50, "accepted": 9})

    pushed = world.push(mark(), NINE, NINE)

    assert pushed == stored()


def test_a_refused_push_may_be_tried_again(world: World) -> None:
    """A refused push leaves no mark: the same push is stored once there is room."""
    world.given(limits=replace(LIMITS, capacity_events=1), meta=KNOWN)
    world.push(mark(), b"1", b"2")
    world.shard.set_limits(LIMITS)

    pushed = world.push(mark(), b"1", b"2")

    assert pushed == stored()
    assert world.changes()["open"] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        (replace(LIMITS, events_per_request=1), 4),  # every event is a batch
        (replace(LIMITS, events_per_request=100, batch_bytes=12), 4),  # by size
    ],
)
def test_too_few_names_are_refused(world: World, limits: Limits, count: int) -> None:
    """A push that could run out of batch names stores nothing: names are keys, which must be declared."""
    world.given(limits=limits, meta=KNOWN)

    pushed = world.push(mark(), *[NINE] * count, names=2)

    assert pushed.code == TOO_FEW_NAMES
    assert world.changes() == {}


def test_one_event_needs_two_names(world: World) -> None:
    """One event needs two names: it may seal the open list and then itself, whatever the limits are."""
    limits = replace(LIMITS, events_per_request=100, batch_bytes=15)
    world.given(limits=limits, meta=KNOWN)
    world.push(mark(1), b"1")

    pushed = world.push(mark(2), b"x" * 50, names=names_needed(limits, [b"x" * 50]))

    assert pushed.sealed == 2
    assert world.changes()["ready"] == {
        push_token(mark(2)): world.now(),
        f"{push_token(mark(2))}.0001": world.now(),
    }


# -- waking workers


def seal_one(world: World) -> Pushed:
    """A push that seals one batch."""
    return world.push(mark(), b"1", b"2", b"3")


@pytest.mark.parametrize("until_ms", [-1, 60_000])
def test_a_held_shard_seals_and_wakes_nobody(world: World, until_ms: int) -> None:
    """A push to a held shard seals but wakes nobody: the sweep wakes one worker to ask the circuit."""
    world.given(meta={**KNOWN, "held_until": world.at(until_ms)})

    pushed = world.push(mark(), b"1", b"2", b"3")

    assert (pushed.sealed, pushed.wakeups) == (1, 0)
    assert "slots" not in world.dump()


def test_a_paused_queue_seals_and_wakes_nobody(world: World) -> None:
    """A push to a paused queue is stored and sealed as usual, and wakes nobody."""
    world.given(meta={**KNOWN, "paused": "401 Unauthorized"})

    pushed = seal_one(world)

    assert pushed == stored(sealed=1)
    assert "slots" not in world.changes()


@pytest.mark.parametrize(
    ("held", "wakeups"),
    [
        ({"slots": {"v": 9_000}}, 0),  # one wake-up is out for the one batch
        ({"slots": {"v": 9_000, "w": 9_000}}, 0),
        ({"slots": {"v": -9_000}}, 0),  # however long it has been out
        ({"leases": {"a": 9_000}}, 1),  # a lane is busy, another may take the batch
        ({"leases": {"a": 9_000}, "slots": {"v": 9_000}}, 0),
        ({"leases": {"a": 9_000, "b": 9_000}}, 0),  # as many as may be sent at once
        ({"leases": {"a": -9_000}}, 2),  # an expired lease is work as well
        ({"ready": {"a": -9_000, "b": -9_000}}, 2),  # never more than may be sent at once
        ({"ready": {"a": 9_000}}, 1),  # not due yet
    ],
)
def test_wakeups_are_bounded_by_work_and_lanes(
    world: World, held: dict[str, Any], wakeups: int
) -> None:
    """Taken slots never exceed the batches that are due, nor, with those in flight, `parallel`."""
    times = {name: {m: world.at(t) for m, t in members.items()} for name, members in held.items()}
    world.given(meta=KNOWN, members=times)

    pushed = seal_one(world)

    assert pushed.wakeups == wakeups


def test_a_push_that_seals_nothing_wakes_nobody(world: World) -> None:
    """A push that seals nothing wakes nobody: wake-ups are per batch, not per event."""
    world.given(meta=KNOWN, ready={"a": world.at(-9_000)})

    pushed = world.push(mark(), b"1")

    assert pushed == stored()
    assert "slots" not in world.changes()
