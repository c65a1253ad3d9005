"""enqueue.lua: which pushes seal the open list, by number or by size, and which leave it to the sweep."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lua.pushing import KNOWN, MARK, NINE, mark, stored
from lua.world import LIMITS, Line, World
from vwo_celery.queue.words.marks import push_token
from vwo_celery.queue.work.pushes import names_needed

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
