"""make_room.lua: drop the oldest events until a push fits, and no more than that."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.pushing import NINE, next_mark
from lua.world import LIMITS, Line, World
from vwo_celery.queue.capacity import FITS, MAY_FIT, NEVER_FITS, Room, make_room
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.marks import Mark


def room(world: World, *events: bytes) -> Room:
    """Make room for these events."""
    return world.call(make_room, world.shard, events or (NINE,))


def full(world: World, *, events: int = 6, size: int = 1_000, **more: Any) -> None:
    """A full queue: two ready batches of two events each and an open list of two."""
    batch = Line(events=2, bytes=20, first=world.at(-9), sealed=world.at(-9))
    world.given(
        limits=replace(LIMITS, capacity_events=events, capacity_bytes=size),
        meta={"watched": 1, "accepted": 6, "events": 6, "bytes": 60, "open_events": 2,
              "open_bytes": 20, "first_ms": world.at(-5), "refused": 1},
        open=[b"open-old1", b"open-new1"],
        ready={"older": world.at(-2), "newer": world.at(-1)},
        info={"older": batch, "newer": batch, **more.pop("info", {})},
        batches={"older": [NINE, NINE], "newer": [NINE, NINE], **more.pop("batches", {})},
        **more,
    )  # fmt: skip


def test_the_oldest_ready_batch_goes(world: World) -> None:
    """The oldest ready batch is dropped whole and counted; the push no longer counts as refused."""
    full(world)

    assert room(world) == Room(2, FITS)

    assert world.changes() == {
        "ready": {"older": None},
        "info": {"older": None},
        "batch:older": None,
        "meta": {"events": 4, "bytes": 40, "dropped:oldest": 2, "refused": 0},
    }
    assert world.snapshot().balanced


def test_the_push_fits_then(world: World) -> None:
    """After the drop the push fits, under the same mark, since its refusal stored nothing."""
    full(world)
    refused = world.push(Mark("m", 1), NINE)

    room(world)
    pushed = world.push(Mark("m", 1), NINE)

    assert (refused.code, pushed.code) == (-1, 1)
    assert world.snapshot().refused == 1  # an earlier one, not this push
    assert world.snapshot().balanced


def test_no_more_goes_than_it_takes(world: World) -> None:
    """Nothing is dropped if there is room already, for example after a delivery."""
    full(world, events=7)

    assert room(world) == Room(0, FITS)

    assert world.changes() == {"meta": {"refused": 0}}


def test_as_many_batches_go_as_it_takes(world: World) -> None:
    """As many batches are dropped as necessary, oldest first, then the oldest open events."""
    full(world)

    assert room(world, *[NINE] * 5) == Room(5, FITS)

    assert world.changes()["open"] == [b"open-new1"]
    assert world.snapshot().batches == ()
    assert world.snapshot().dropped == {"oldest": 5}
    assert world.snapshot().counted_bytes == 10
    assert world.snapshot().balanced


def test_room_is_made_for_bytes_as_well(world: World) -> None:
    """Room is made for bytes as well, even if the number of events fits."""
    full(world, events=50, size=60)

    assert room(world, b"x" * 24) == Room(4, FITS)

    assert world.snapshot().counted_bytes == 20


def test_open_events_go_by_their_bytes(world: World) -> None:
    """Open events are dropped one by one, by their bytes."""
    full(world, events=50, size=60)

    assert room(world, b"x" * 44) == Room(5, FITS)

    assert world.changes()["open"] == [b"open-new1"]
    assert world.snapshot().counted_bytes == 10
    assert world.snapshot().balanced


def test_what_is_being_sent_stays(world: World) -> None:
    """A batch in flight is not dropped: VWO may have it already."""
    full(
        world, events=8, leases={"leased": world.at(60_000), "expired": world.at(-60_000)},
        info={"leased": Line(events=1), "expired": Line(events=1)},
        batches={"leased": [NINE], "expired": [NINE]},
    )  # fmt: skip
    world.client.hincrby(world.shard.keys.meta, "events", 2)

    assert room(world, *[NINE] * 6) == Room(6, FITS)

    assert [batch.id for batch in world.snapshot().batches] == ["expired", "leased"]


@pytest.mark.parametrize(
    ("capacity", "events"),
    [
        ({"events": 6}, [NINE] * 7),
        ({"events": 6}, [NINE] * 6),
        ({"size": 60, "events": 50}, [b"x" * 60]),
        ({"size": 60, "events": 50}, [b"x" * 50]),
    ],
    ids=["events", "events beside those in flight", "bytes", "bytes beside those in flight"],
)
def test_nothing_goes_for_what_never_fits(
    world: World, capacity: dict[str, int], events: list[bytes]
) -> None:
    """Nothing is dropped for a push that would not fit even afterwards."""
    full(
        world, leases={"leased": world.at(60_000)}, info={"leased": Line(events=1, bytes=10)},
        batches={"leased": [NINE]}, **capacity,
    )  # fmt: skip

    assert room(world, *events) == Room(0, NEVER_FITS)

    assert world.changes() == {}


def test_a_shard_that_is_not_registered_has_no_room(world: World) -> None:
    """A shard that is not registered makes no room: its capacity is unknown."""
    world.given(open=[NINE])
    world.client.delete(world.shard.keys.meta)

    assert room(world) == Room(0, NEVER_FITS)

    assert world.changes() == {}


def test_a_batch_that_was_claimed_meanwhile_stays(world: World) -> None:
    """A batch that was claimed after the caller listed the ready batches is not dropped."""
    full(world)
    k, script_keys = world.shard.keys, ("older", "newer")
    world.shard.claim(token="", lease_seconds=60)
    sets = (k.open, k.meta, k.ready, k.leases, k.info, k.settled, *k.indexes, *k.contexts)
    keys = (*sets, *map(k.batch, script_keys))

    dropped, fits = script("make_room").run(world.client, keys, (1, 10))

    assert (dropped, fits) == (2, FITS)
    assert [batch.id for batch in world.snapshot().batches] == ["older"]
    assert world.snapshot().balanced


def test_the_open_list_is_left_while_batches_are_older(world: World) -> None:
    """If more batches are ready than were named, the open list stays; the next call names the others."""
    full(world)
    k = world.shard.keys
    sets = (k.open, k.meta, k.ready, k.leases, k.info, k.settled, *k.indexes, *k.contexts)
    keys = (*sets, k.batch("older"))

    dropped, fits = script("make_room").run(world.client, keys, (5, 50))

    assert (dropped, fits) == (2, MAY_FIT)
    assert world.snapshot().open_events == 2
    assert world.snapshot().refused == 1


def test_what_was_appended_is_counted_first(world: World) -> None:
    """Appended events are counted before any is dropped, and the room for appends is withdrawn."""
    world.given(
        limits=replace(LIMITS, events_per_request=9, capacity_events=4), meta={"watched": 1}
    )
    world.push(Mark("m", 1), b"1")
    for number in (2, 3, 4):
        assert world.shard.append(next_mark(number), b"%d" % number)

    assert room(world, NINE) == Room(1, FITS)

    assert world.changes()["open"] == [b"2", b"3", b"4"]
    assert world.shard.append(next_mark(5), b"5") is False
    assert world.snapshot().balanced


def test_an_open_list_that_is_emptied_starts_anew(world: World) -> None:
    """After the open list was emptied, the next event opens a new one with its own timer."""
    full(world)

    assert room(world, *[NINE] * 6) == Room(6, FITS)
    world.push(Mark("m", 1), NINE)

    assert world.snapshot().open_first_ms == world.now()
    assert world.snapshot().balanced


def test_events_of_other_programs_take_up_room_once_the_sweep_has_seen_them(world: World) -> None:
    """Events of other programs count once the sweep has seen them; Redis refuses none, so the queue
    may be far over its capacity.
    """
    world.given(
        limits=replace(LIMITS, events_per_request=100, capacity_events=3), meta={"watched": 1}
    )
    world.push(Mark("m", 1), b"0")
    world.client.lpush(world.shard.keys.open, *[b"%d" % i for i in range(1, 8)])

    unseen = room(world)
    refused_unseen = world.push(Mark("m", 2), b"8").code
    world.sweep()
    refused_seen = world.push(Mark("m", 3), b"9").code
    seen = room(world)

    assert (unseen, refused_unseen) == (Room(0, FITS), 1)
    assert (refused_seen, seen) == (-1, Room(7, FITS))
    assert world.changes()["open"] == [b"7", b"8"]
    assert world.snapshot().accepted == 9
    assert world.snapshot().balanced


def test_what_came_since_the_sweep_is_counted_before_it_goes(world: World) -> None:
    """Foreign events that arrived after the sweep are counted before they are dropped; the rest
    keeps the timer.
    """
    world.given(
        limits=replace(LIMITS, events_per_request=100, capacity_events=4), open=[NINE] * 5,
        meta={"watched": 1, "accepted": 4, "events": 4, "bytes": 40, "open_events": 2,
              "open_bytes": 20, "first_ms": world.at(-5)},
        leases={"leased": world.at(60_000)}, info={"leased": Line(events=2, bytes=20)},
        batches={"leased": [NINE, NINE]},
    )  # fmt: skip

    assert room(world) == Room(4, FITS)

    assert world.changes() == {
        "open": [NINE],
        "meta": {"accepted": 7, "events": 3, "bytes": 20, "open_events": 1, "open_bytes": 0,
                 "mixed": 1, "dropped:oldest": 4, "refused": 0},
    }  # fmt: skip
    assert world.snapshot().balanced


def test_a_mixed_list_that_is_emptied_is_ours_again(world: World) -> None:
    """After a mixed list was emptied, the next events are sealed by number and need no sweep."""
    world.given(
        limits=replace(LIMITS, events_per_request=3, capacity_events=3), meta={"watched": 1}
    )
    world.client.lpush(world.shard.keys.open, b"1", b"2")
    world.sweep()

    assert room(world, b"3", b"4", b"5") == Room(2, FITS)

    assert world.push(Mark("m", 3), b"3", b"4", b"5").sealed == 1


def test_one_call_drops_a_bounded_number_of_open_events(world: World) -> None:
    """One call drops a bounded number of open events, to block Redis briefly; the next one goes on."""
    world.given(
        limits=replace(LIMITS, events_per_request=5_000, capacity_events=100), meta={"watched": 1}
    )
    world.client.lpush(world.shard.keys.open, *[b"1"] * 700)
    world.sweep()

    answers = [room(world, NINE) for _ in range(3)]

    assert answers == [Room(250, MAY_FIT), Room(250, MAY_FIT), Room(101, FITS)]
    assert world.snapshot().balanced
