"""enqueue.lua: store events once, seal full batches, and wake workers for them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.world import LIFE, LIMITS, Line, World
from vwo_celery.queue.answers import (
    CLONED,
    DUPLICATE,
    NOT_REGISTERED,
    STORED,
    TOO_FEW_NAMES,
    TOO_MANY_BYTES,
    TOO_MANY_EVENTS,
    Pushed,
)
from vwo_celery.queue.batches import Limits
from vwo_celery.queue.marks import OLD_FROM_SEQUENCE, Mark, push_token
from vwo_celery.queue.work.pushes import names_needed

MARK = "mark:m"
#: A shard that the sweep already watches: a push announces nothing.
KNOWN = {"watched": 1}
NINE = b"123456789"  # ten bytes with its separator


def mark(sequence: int = 1) -> Mark:
    """A producer's mark, raised for its next push."""
    return Mark("m", sequence, life=LIFE)


def stored(sealed: int = 0, wakeups: int = 0, watch: int = 0) -> Pushed:
    """The answer to a push that was stored."""
    return Pushed(STORED, sealed, wakeups, watch)


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
    enqueue, append and the producer use the same time.
    """
    world.given(limits=replace(LIMITS, events_per_request=9), meta=KNOWN)
    ttl_ms = 1_000 * mark(sequence).ttl_seconds
    key = world.shard.keys.mark("m")

    world.push(mark(sequence), b"1")
    after_push = world.client.pttl(key)
    world.client.set(key, sequence - 1)
    stored = world.shard.append(mark(sequence), b"2")

    assert 0.9 * ttl_ms < after_push <= ttl_ms
    assert stored
    assert 0.9 * ttl_ms < world.client.pttl(key) <= ttl_ms


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


# -- sealing by number


def test_the_nth_event_seals(world: World) -> None:
    """The n-th event seals the whole list: same key type, same bytes, timed by its first event."""
    world.given(
        meta={**KNOWN, "open_events": 2, "open_bytes": 4, "events": 2, "bytes": 4, "accepted": 2,
              "first_ms": world.at(-9_000)},
        open=[b"1", b"2"],
    )  # fmt: skip
    batch = push_token(mark())

    pushed = world.push(mark(), b"3")

    assert pushed == stored(sealed=1, wakeups=1)
    assert world.changes() == {
        "open": None,
        f"batch:{batch}": [b"1", b"2", b"3"],
        "ready": {batch: world.now()},
        "info": {batch: Line(events=3, bytes=6, first=world.at(-9_000), sealed=world.now())},
        "slots": {f"{batch}:1": world.now(LIMITS.slot_ttl_ms)},
        "meta": {"open_events": 0, "open_bytes": 0, "events": 3, "bytes": 6, "accepted": 3},
        MARK: b"1",
    }


def test_many_events_seal_several_batches_in_order(world: World) -> None:
    """Seven events become two batches of three and one open event with its own timer."""
    world.given(meta=KNOWN)
    events = [b"%d" % i for i in range(7)]
    first, second = push_token(mark()), f"{push_token(mark())}.0001"

    pushed = world.push(mark(), *events)

    line = Line(events=3, bytes=6, first=world.now(), sealed=world.now())
    assert pushed == stored(sealed=2, wakeups=2)
    assert world.changes() == {
        f"batch:{first}": events[:3],
        f"batch:{second}": events[3:6],
        "open": events[6:],
        "ready": {first: world.now(), second: world.now()},
        "info": {first: line, second: line},
        "slots": {
            f"{first}:1": world.now(LIMITS.slot_ttl_ms),
            f"{first}:2": world.now(LIMITS.slot_ttl_ms),
        },
        "meta": {
            "open_events": 1, "open_bytes": 2, "events": 7, "bytes": 14, "accepted": 7,
            "first_ms": world.now(),
        },
        MARK: b"1",
    }  # fmt: skip


def test_batches_of_one_push_are_claimed_in_order(world: World) -> None:
    """Batches that one push seals in the same millisecond are claimed in the order of their events."""
    world.given(limits=replace(LIMITS, events_per_request=1, parallel=20), meta=KNOWN)
    events = [b"%d" % i for i in range(12)]

    world.push(mark(), *events)

    claimed = [world.claim() for _ in events]
    assert [world.shard.read(batch) for batch in claimed if batch] == [[e] for e in events]


def test_real_time_seals_every_event(world: World) -> None:
    """With one event per request, each event leaves at once and the open list stays empty."""
    world.given(limits=replace(LIMITS, events_per_request=1), meta=KNOWN)
    batch = push_token(mark())

    pushed = world.push(mark(), b"1")

    assert pushed == stored(sealed=1, wakeups=1)
    assert world.changes()[f"batch:{batch}"] == [b"1"]
    assert "open" not in world.dump()


@pytest.mark.parametrize("limit", [700, 1_000, 1_001, 2_500, 5_000])
def test_a_large_push_is_stored_whole(world: World, limit: int) -> None:
    """A push of more events than Lua can unpack is stored whole, in order, in full batches."""
    limits = replace(
        LIMITS,
        events_per_request=limit,
        batch_bytes=10**6,
        capacity_events=10**4,
        capacity_bytes=10**6,
    )
    world.given(limits=limits, meta=KNOWN)
    events = [b"%d" % i for i in range(2_500)]

    pushed = world.push(mark(), *events, names=names_needed(limits, events))

    dump = world.dump()
    batches = [dump[name] for name in sorted(dump) if name.startswith("batch:")]
    assert pushed.sealed == len(batches) == 2_500 // limit
    assert [len(batch) for batch in batches] == [limit] * (2_500 // limit)
    assert [event for batch in [*batches, dump.get("open", [])] for event in batch] == events


def test_more_than_lua_can_unpack_is_stored_whole(world: World) -> None:
    """A push of more events than Lua can unpack is stored whole even if nothing may be sealed."""
    limits = replace(LIMITS, events_per_request=5_000, capacity_events=10**5, capacity_bytes=10**6)
    world.given(limits=replace(limits, batch_bytes=10**6), meta={**KNOWN, "mixed": 1})
    events = [b"%d" % i for i in range(9_000)]

    world.push(mark(), *events, names=3)

    assert world.changes()["open"] == events


# -- sealing by size


def test_a_batch_never_passes_its_bytes(world: World) -> None:
    """A list is sealed before the event that would exceed the batch's bytes."""
    world.given(limits=replace(LIMITS, events_per_request=100, batch_bytes=29), meta=KNOWN)
    batch = push_token(mark())

    pushed = world.push(mark(), NINE, NINE, NINE)

    assert pushed == stored(sealed=1, wakeups=1)
    assert world.changes()[f"batch:{batch}"] == [NINE, NINE]
    assert world.changes()["open"] == [NINE]
    assert world.changes()["info"][batch].bytes == 20
    assert world.changes()["meta"]["open_bytes"] == 10


def test_bytes_that_fit_exactly_are_not_sealed(world: World) -> None:
    """A list may reach the byte limit exactly; the next event seals it first."""
    world.given(limits=replace(LIMITS, events_per_request=100, batch_bytes=30), meta=KNOWN)
    batch = push_token(mark(2))

    first = world.push(mark(1), NINE, NINE, NINE)
    second = world.push(mark(2), b"")

    assert first == stored()
    assert second == stored(sealed=1, wakeups=1)
    assert world.changes()[f"batch:{batch}"] == [NINE, NINE, NINE]
    assert world.changes()["open"] == [b""]


def test_the_open_list_is_sealed_before_a_push_that_does_not_fit(world: World) -> None:
    """The open list is sealed before a push that does not fit; the batch keeps its time, the new
    list starts its own.
    """
    world.given(
        limits=replace(LIMITS, events_per_request=100, batch_bytes=25),
        meta={**KNOWN, "open_events": 2, "open_bytes": 20, "events": 2, "bytes": 20,
              "accepted": 2, "first_ms": world.at(-9_000)},
        open=[NINE, NINE],
    )  # fmt: skip
    batch = push_token(mark())

    pushed = world.push(mark(), b"new")

    assert pushed == stored()
    pushed = world.push(mark(2), NINE)

    batch = push_token(mark(2))
    assert pushed == stored(sealed=1, wakeups=1)
    assert world.changes() == {
        f"batch:{batch}": [NINE, NINE, b"new"],
        "open": [NINE],
        "ready": {batch: world.now()},
        "info": {batch: Line(events=3, bytes=24, first=world.at(-9_000), sealed=world.now())},
        "slots": {f"{batch}:1": world.now(LIMITS.slot_ttl_ms)},
        "meta": {
            "open_events": 1, "open_bytes": 10, "events": 4, "bytes": 34, "accepted": 4,
            "first_ms": world.now(),
        },
        MARK: b"2",
    }  # fmt: skip


def test_an_event_larger_than_a_batch_is_a_batch_alone(world: World) -> None:
    """An event larger than a batch becomes a batch alone; VWO decides about it."""
    world.given(limits=replace(LIMITS, events_per_request=100, batch_bytes=15), meta=KNOWN)
    large = b"x" * 20

    pushed = world.push(mark(), b"1", large, b"2")

    dump = world.dump()
    batches = [dump[name] for name in sorted(dump) if name.startswith("batch:")]
    assert pushed.sealed == 2
    assert batches == [[b"1"], [large]]
    assert dump["open"] == [b"2"]


def test_a_last_event_larger_than_a_batch_is_sealed_at_once(world: World) -> None:
    """A last event larger than a batch is sealed at once, not by the next event."""
    world.given(limits=replace(LIMITS, events_per_request=100, batch_bytes=15), meta=KNOWN)

    pushed = world.push(mark(), b"x" * 20)

    assert pushed.sealed == 1
    assert "open" not in world.dump()


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


# -- other programs and the open list


def test_foreign_events_are_left_to_the_sweep(world: World) -> None:
    """Behind events of another program a push is stored, and nothing is sealed."""
    world.given(meta=KNOWN, open=[b"f1", b"f2", b"f3", b"f4"])

    pushed = world.push(mark(), b"1", b"2", b"3")

    assert pushed == stored()
    assert world.changes() == {
        "open": [b"f1", b"f2", b"f3", b"f4", b"1", b"2", b"3"],
        "meta": {
            "open_events": 3, "open_bytes": 6, "events": 3, "bytes": 6, "accepted": 3,
            "first_ms": world.now(),
        },
        MARK: b"1",
    }  # fmt: skip


def test_a_list_with_foreign_events_is_not_sealed_by_size(world: World) -> None:
    """A list with foreign events is not sealed by size, since their bytes are not known."""
    world.given(
        limits=replace(LIMITS, events_per_request=100, batch_bytes=15),
        meta={**KNOWN, "open_events": 1, "open_bytes": 10, "events": 1, "bytes": 10, "accepted": 1,
              "first_ms": world.at(-9_000)},
        open=[NINE, b"foreign"],
    )  # fmt: skip

    pushed = world.push(mark(), NINE)

    assert pushed == stored()
    assert world.changes()["open"] == [NINE, b"foreign", NINE]


def test_an_adopted_list_is_left_to_the_sweep(world: World) -> None:
    """While the sweep slices a list, pushes only append to it."""
    world.given(
        meta={**KNOWN, "mixed": 1, "open_events": 2, "open_bytes": 0, "events": 2, "bytes": 0,
              "accepted": 2, "first_ms": world.at(-9_000)},
        open=[b"f1", b"f2"],
    )  # fmt: skip

    pushed = world.push(mark(), b"1")

    assert pushed == stored()
    assert world.changes()["open"] == [b"f1", b"f2", b"1"]


def test_a_list_over_a_lowered_limit_is_left_to_the_sweep(world: World) -> None:
    """A list longer than a lowered limit is left to the sweep: as one batch it would be too large."""
    world.given(
        meta={**KNOWN, "open_events": 4, "open_bytes": 8, "events": 4, "bytes": 8, "accepted": 4,
              "first_ms": world.at(-9_000)},
        open=[b"1", b"2", b"3", b"4"],
    )  # fmt: skip

    pushed = world.push(mark(), b"5")

    assert pushed == stored()
    assert world.changes()["open"] == [b"1", b"2", b"3", b"4", b"5"]


def test_a_list_over_the_bytes_of_a_batch_is_left_to_the_sweep(world: World) -> None:
    """A list that grew beyond a batch's bytes under a lower limit is left to the sweep, also after
    the limit was raised.
    """
    world.given(
        limits=replace(LIMITS, events_per_request=5, batch_bytes=25),
        meta={**KNOWN, "open_events": 4, "open_bytes": 40, "events": 4, "bytes": 40,
              "accepted": 4, "first_ms": world.at(-9_000)},
        open=[NINE] * 4,
    )  # fmt: skip

    pushed = world.push(mark(), NINE)

    assert pushed == stored()
    assert world.changes()["open"] == [NINE] * 5


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


# -- where the limit is the least of a batch


LEAST = replace(LIMITS, batch_events=5)


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
    answers += [int(world.shard.append(mark(2), b"2")), int(world.shard.append(mark(3), b"3"))]
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

    assert not world.shard.append(mark(7), b"2")
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
