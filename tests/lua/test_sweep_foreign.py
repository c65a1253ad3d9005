"""sweep.lua: adopt, slice and count what other programs pushed or took away."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lua.pushing import next_mark
from lua.sweeping import DUE, YOUNG, name_of, own, watched
from lua.world import LEAST, LIMITS, Line, World
from vwo_celery.queue.words.marks import Mark

# -- events that other programs pushed


def test_foreign_events_are_adopted(world: World) -> None:
    """Foreign events enter the ledger and start the timer when the sweep first sees them."""
    world.given(meta=watched(world), open=[b"f1", b"f2"])

    swept = world.sweep()

    assert swept.sealed == 0
    assert world.changes() == {
        "meta": {
            "accepted": 2, "events": 2, "bytes": 6, "open_events": 2, "open_bytes": 6,
            "first_ms": world.now(),
        }
    }  # fmt: skip
    assert world.snapshot().balanced


def test_foreign_events_behind_ours_keep_our_timer(world: World) -> None:
    """Foreign events behind ours keep the timer of our oldest event."""
    state = own(world, YOUNG, b"1")
    world.given(meta=state["meta"], open=[b"1", b"f1"])

    world.sweep()

    assert world.changes() == {
        "meta": {
            "accepted": 2,
            "events": 2,
            "bytes": 5,
            "open_events": 2,
            "open_bytes": 5,
        }
    }


def test_a_list_with_foreign_events_is_ours_again(world: World) -> None:
    """Once a sweep has seen them, the next events take one script, and fill a batch, as ever."""
    state = own(world, YOUNG, b"1")
    limits = replace(LIMITS, events_per_request=5)
    world.given(limits=limits, meta=state["meta"], open=[b"1", b"f1"])
    world.sweep()

    opened = world.push(Mark("m", 1), b"2")
    appended = world.shard.append(next_mark(2), b"3")
    sealed = world.push(Mark("m", 3), b"4")

    assert (opened.sealed, appended, sealed.sealed) == (0, True, 1)
    assert [batch.events for batch in world.snapshot().batches] == [5]
    assert world.snapshot().balanced


def test_a_list_larger_than_a_batch_stays_foreign(world: World) -> None:
    """More bytes than a batch may have are only sliced, once they are due."""
    limits = replace(LIMITS, batch_bytes=15)
    world.given(limits=limits, meta=watched(world), open=[b"x" * 10, b"y" * 10])

    world.sweep()

    meta = world.changes()["meta"]
    assert (meta["mixed"], meta["open_bytes"], meta["bytes"]) == (1, 0, 0)


def test_adopted_events_are_sealed_at_their_age(world: World) -> None:
    """Adopted events are sealed at their age, with bytes counted; the next list is an ordinary one."""
    meta = {"mixed": 1, "open_events": 2, "events": 2, "accepted": 2, "bytes": 0, "open_bytes": 0}
    world.given(meta={**watched(world), **meta, "first_ms": world.at(DUE)}, open=[b"f1", b"f2"])

    swept = world.sweep()

    batch = name_of(swept)
    assert (swept.sealed, swept.wakeups, swept.more) == (1, 1, 0)
    assert world.changes() == {
        "open": None,
        f"batch:{batch}": [b"f1", b"f2"],
        "ready": {batch: world.now()},
        "info": {batch: Line(events=2, bytes=6, first=world.at(DUE), sealed=world.now())},
        "slots": {f"{swept.token}:1": world.now(LIMITS.slot_ttl_ms)},
        "meta": {"bytes": 6, "open_events": 0, "mixed": None},
    }


def test_many_foreign_events_are_sliced(world: World) -> None:
    """More than n foreign events become batches of n, oldest first; the rest waits for its age."""
    events = [b"f%d" % i for i in range(8)]
    world.given(meta=watched(world), open=events)

    swept = world.sweep()

    changes = world.changes()
    assert (swept.sealed, swept.more) == (2, 0)
    assert changes[f"batch:{name_of(swept, 0)}"] == events[:3]
    assert changes[f"batch:{name_of(swept, 1)}"] == events[3:6]
    assert changes["open"] == events[6:]
    assert changes["meta"] == {
        "accepted": 8, "events": 8, "bytes": 24, "open_events": 2, "open_bytes": 6,
        "first_ms": world.now(),
    }  # fmt: skip
    assert world.snapshot().balanced


def test_what_is_left_of_a_slice_keeps_its_timer(world: World) -> None:
    """The rest of a sliced list keeps its timer: it may hold events as old as the first."""
    state = own(world, YOUNG, *[b"%d" % i for i in range(4)])
    world.given(**state)

    swept = world.sweep()

    changes = world.changes()
    assert swept.sealed == 1
    assert changes[f"batch:{name_of(swept)}"] == [b"0", b"1", b"2"]
    assert changes["open"] == [b"3"]
    assert "first_ms" not in changes["meta"]


def test_every_slice_of_an_old_list_is_as_old(world: World) -> None:
    """All slices of an old list keep its age and leave at once."""
    world.given(**own(world, DUE, *[b"%d" % i for i in range(7)]))

    swept = world.sweep()

    changes = world.changes()
    assert (swept.sealed, swept.more) == (3, 0)
    assert [line.events for line in changes["info"].values()] == [3, 3, 1]
    assert {line.first for line in changes["info"].values()} == {world.at(DUE)}
    assert changes["meta"] == {"open_events": 0, "open_bytes": 0}


def test_slices_keep_within_the_bytes_of_a_batch(world: World) -> None:
    """Slices keep within a batch's bytes; a foreign event larger than that is a batch alone."""
    world.given(limits=replace(LIMITS, batch_bytes=15), meta=watched(world))
    events = [b"1234", b"12345678", b"12", b"x" * 40, b"1"]
    world.client.lpush(world.shard.keys.open, *events)

    swept = world.sweep(force=True)

    changes = world.changes()
    batches = [changes[f"batch:{name_of(swept, i)}"] for i in range(swept.sealed)]
    assert batches == [[b"1234", b"12345678"], [b"12"], [b"x" * 40], [b"1"]]
    assert [line.bytes for line in changes["info"].values()] == [14, 3, 41, 2]
    assert changes["meta"]["bytes"] == 60
    assert "open" not in world.dump()


@pytest.mark.parametrize("size", [0, 1, 2_000])
def test_slices_hold_any_event(world: World, size: int) -> None:
    """Events of any size pass through slicing unchanged and in order."""
    limits = replace(LIMITS, events_per_request=700, batch_bytes=10**7)
    world.given(limits=limits, meta=watched(world))
    events = [b"%d" % i + b"x" * size for i in range(1_500)]
    world.client.lpush(world.shard.keys.open, *events)

    batches = []
    more = 1
    while more:
        swept = world.sweep(force=True)
        dump, more = world.dump(), swept.more
        batches += [dump[f"batch:{name_of(swept, i)}"] for i in range(swept.sealed)]

    assert [len(batch) for batch in batches] == [700, 700, 100]
    assert [event for batch in batches for event in batch] == events
    assert world.snapshot().counted_events == 1_500


def test_a_long_foreign_list_takes_several_calls(world: World) -> None:
    """One call slices a bounded number of events and says that there are more."""
    events = [b"%d" % i for i in range(1_000)]
    world.given(meta=watched(world), open=events)

    sealed, calls, swept = 0, 0, None
    while swept is None or swept.more:
        swept = world.sweep(force=True)
        sealed, calls = sealed + swept.sealed, calls + 1

    assert sealed == 334
    assert calls > 1
    assert "open" not in world.dump()
    snapshot = world.snapshot()
    assert snapshot.balanced
    assert snapshot.events("ready") == snapshot.accepted == 1_000


def test_one_call_moves_a_bounded_number_of_events(world: World) -> None:
    """One call moves at most the events that complete one more batch, however large batches may be."""
    limits = replace(LIMITS, events_per_request=100, batch_bytes=10**6)
    world.given(limits=limits, meta=watched(world), open=[b"1"] * 2_000)

    swept = world.sweep(force=True)

    assert swept.more == 1
    assert 500 <= 100 * swept.sealed <= 600


def test_an_old_list_stays_due_between_calls(world: World) -> None:
    """The rest of an old list is sealed by the next call, even without force."""
    events = [b"%d" % i for i in range(1_000)]
    world.given(limits=replace(LIMITS, capacity_events=10**6), **own(world, DUE, *events))

    swept = world.sweep()
    while swept.more:
        swept = world.sweep()

    assert "open" not in world.dump()
    assert {batch.first_ms for batch in world.snapshot().batches} == {world.at(DUE)}


def test_a_list_over_the_bytes_of_a_batch_is_sliced(world: World) -> None:
    """A list that grew beyond a batch's bytes under a lower limit is sliced."""
    state = own(world, DUE, *[b"123456789"] * 3)
    world.given(limits=replace(LIMITS, events_per_request=9, batch_bytes=25), **state)

    swept = world.sweep()

    assert swept.sealed == 2
    assert [line.bytes for line in world.changes()["info"].values()] == [20, 10]
    assert world.snapshot().balanced


def test_foreign_events_are_sliced_by_the_most(world: World) -> None:
    """Twelve of another program's leave as five, five, and two wait: fewer than the least number."""
    world.given(limits=LEAST, meta=watched(world), open=[b"%d" % i for i in range(12)])

    swept = world.sweep()

    batches = [world.dump()[f"batch:{name_of(swept, i)}"] for i in range(swept.sealed)]
    assert [len(each) for each in batches] == [5, 5]
    assert world.dump()["open"] == [b"10", b"11"]


# -- events that other programs took away


def test_a_deleted_list_is_counted_as_vanished(world: World) -> None:
    """A deleted list counts as dropped with the reason `vanished`: the ledger balances."""
    state = own(world, YOUNG, b"1", b"2")
    world.given(meta=state["meta"])

    world.sweep()

    assert world.changes() == {
        "meta": {
            "dropped:vanished": 2, "events": 0, "bytes": 0, "open_events": 0, "open_bytes": 0,
        }
    }  # fmt: skip
    assert world.snapshot().balanced


def test_a_deleted_list_that_was_adopted_is_forgotten(world: World) -> None:
    """After an adopted list was deleted, the next open list is an ordinary one."""
    state = own(world, YOUNG, b"1", b"2")
    world.given(meta={**state["meta"], "mixed": 1, "open_bytes": 0, "bytes": 0})

    world.sweep()

    assert world.changes()["meta"] == {
        "dropped:vanished": 2, "events": 0, "open_events": 0, "mixed": None,
    }  # fmt: skip


def test_events_taken_out_are_counted_as_vanished(world: World) -> None:
    """Events taken out, for example by RPOP, count as vanished; the rest is adopted."""
    state = own(world, YOUNG, b"1", b"2", b"3")
    world.given(meta=state["meta"], open=[b"2", b"3"])

    world.sweep()

    assert world.changes()["meta"] == {
        "dropped:vanished": 1, "events": 2, "bytes": 4, "open_events": 2, "open_bytes": 4,
    }  # fmt: skip
    assert world.snapshot().balanced
