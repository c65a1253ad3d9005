"""sweep.lua: seal old open lists, adopt events of other programs, wake workers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.world import HORIZON_MS, IDLE_MS, LEASE_MS, LIMITS, Line, World
from vwo_celery.queue.answers import Swept
from vwo_celery.queue.batches import HELD
from vwo_celery.queue.marks import Mark

SECOND = 1_000
YOUNG = -10 * SECOND
DUE = -LIMITS.interval_ms


def watched(world: World) -> dict[str, int | str]:
    """The `watched` time of a shard that was swept a moment ago."""
    return {"watched": world.at(0)}


def own(world: World, first_ms: int, *events: bytes) -> dict[str, Any]:
    """A state whose open list holds these events, all enqueued by our producers."""
    size = sum(map(len, events)) + len(events)
    counts = {"open_events": len(events), "events": len(events), "accepted": len(events)}
    sizes = {"open_bytes": size, "bytes": size}
    meta = {**watched(world), **counts, **sizes, "first_ms": world.at(first_ms)}
    return {"meta": meta, "open": events}


def name_of(swept: Swept, number: int = 0) -> str:
    """The id of a batch that this sweep sealed."""
    return f"{swept.token}.{number:04d}"


# -- sealing by age


def test_a_young_list_is_left_to_fill(world: World) -> None:
    """Below the interval, and with fewer than n events, nothing is sealed and nobody is woken."""
    world.given(**own(world, YOUNG, b"1", b"2"))

    swept = world.sweep()

    assert (swept.registered, swept.sealed, swept.wakeups, swept.more, swept.idle) == (
        1,
        0,
        0,
        0,
        0,
    )
    assert world.changes() == {}


def test_an_old_list_is_sealed_whole(world: World) -> None:
    """When the interval is over, the whole list becomes a batch, and a worker is woken for it."""
    world.given(**own(world, DUE, b"1", b"2"))

    swept = world.sweep()

    batch = name_of(swept)
    assert (swept.sealed, swept.wakeups, swept.more) == (1, 1, 0)
    assert world.changes() == {
        "open": None,
        f"batch:{batch}": [b"1", b"2"],
        "ready": {batch: world.now()},
        "info": {batch: Line(events=2, bytes=4, first=world.at(DUE), sealed=world.now())},
        "slots": {f"{swept.token}:1": world.now(LIMITS.slot_ttl_ms)},
        "meta": {"open_events": 0, "open_bytes": 0},
    }


def test_a_forced_sweep_does_not_wait_for_age(world: World) -> None:
    """A forced sweep, as in a flush, seals the open list whatever its age."""
    world.given(**own(world, -1, b"1"))

    swept = world.sweep(force=True)

    assert (swept.sealed, swept.wakeups) == (1, 1)
    assert world.changes()["open"] is None


def test_nothing_is_made_of_nothing(world: World) -> None:
    """An empty queue seals no batch, not even by force."""
    world.given(meta=watched(world))

    swept = world.sweep(force=True)

    assert (swept.sealed, swept.wakeups) == (0, 0)
    assert world.changes() == {}


def test_a_full_list_is_sealed_whatever_its_age(world: World) -> None:
    """A list that became full through another process' smaller limit is sealed at the next sweep."""
    world.given(**own(world, YOUNG, b"1", b"2", b"3"))

    swept = world.sweep()

    assert swept.sealed == 1
    assert world.changes()[f"batch:{name_of(swept)}"] == [b"1", b"2", b"3"]


def test_a_clock_that_stepped_back_does_not_hide_a_list(world: World) -> None:
    """A first event from the future, after a clock stepped back, counts as enqueued now."""
    world.given(**own(world, 3_600 * SECOND, b"1"))

    swept = world.sweep(force=True)

    assert world.changes()["info"][name_of(swept)].first == world.now()


def test_a_list_waits_no_longer_than_its_interval_after_a_clock_stepped_back(world: World) -> None:
    """After a clock stepped back, a list's age counts from the first sweep after the step."""
    world.given(**own(world, 3_600 * SECOND, b"1"))

    assert world.sweep().sealed == 0
    assert world.changes() == {"meta": {"first_ms": world.now()}}

    world.client.hincrby(
        world.shard.keys.meta, "first_ms", -LIMITS.interval_ms
    )  # so much time passes
    assert world.sweep().sealed == 1


def test_a_second_sweep_finds_nothing_more(world: World) -> None:
    """A second sweeper neither seals nor wakes again: any number may run."""
    world.given(**own(world, DUE, b"1", b"2"))
    world.sweep()

    again = world.sweep()

    assert (again.sealed, again.wakeups) == (0, 0)
    assert world.changes() == {}


def test_an_unregistered_shard_is_left_alone(world: World) -> None:
    """Without limits, as after FLUSHALL, foreign events wait for a registration."""
    world.client.lpush(world.shard.keys.open, b"1")

    swept = world.sweep(force=True)

    assert swept.registered == 0
    assert world.changes() == {}


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
    appended = world.shard.append(Mark("m", 2), b"3")
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


# -- waking workers


@pytest.mark.parametrize(
    ("held", "wakeups"),
    [
        ({"ready": {"a": YOUNG}}, 1),
        ({"ready": {"a": YOUNG, "b": YOUNG, "c": YOUNG}}, 2),  # never more than may be sent at once
        ({"ready": {"a": 60 * SECOND}}, 0),  # in backoff
        ({"leases": {"a": YOUNG}}, 1),  # expired lease
        ({"leases": {"a": 60 * SECOND}}, 0),  # in flight
        ({"ready": {"a": YOUNG}, "leases": {"b": 60 * SECOND}}, 1),
        ({"ready": {"a": YOUNG}, "leases": {"b": 60 * SECOND}, "slots": {"v": 60 * SECOND}}, 0),
        ({"ready": {"a": YOUNG}, "slots": {"v": 60 * SECOND}}, 0),
        ({"ready": {"a": YOUNG}, "slots": {"v": -1}}, 1),  # that wake-up was lost
        ({"dead": {"a": YOUNG}}, 0),
    ],
)
def test_wakeups_follow_what_is_due(world: World, held: dict[str, Any], wakeups: int) -> None:
    """Taken slots never exceed the batches that are due, nor, with those in flight, `parallel`."""
    times = {name: {m: world.at(t) for m, t in members.items()} for name, members in held.items()}
    world.given(meta=watched(world), members=times)

    swept = world.sweep()

    assert swept.wakeups == wakeups
    live = {token for token, until in world.dump().get("slots", {}).items() if until > world.at(0)}
    assert swept.overdue == 0
    assert {f"{swept.token}:{i + 1}" for i in range(wakeups)} <= live
    assert len(live) <= LIMITS.parallel


@pytest.mark.parametrize(
    ("given_ms", "wakeups"),
    [(-9_000, 1), (-5_001, 1), (-4_000, 0), (-2_000, 0)],  # a slot's time is three seconds
)
def test_a_wakeup_is_lost_only_if_later_ones_have_come(
    world: World, given_ms: int, wakeups: int
) -> None:
    """A slot given before the time that messages have passed is free again; a later one still waits.

    A message may wait in the broker for as long as every lane is busy: another would only pile up.
    """
    slot = world.at(given_ms + LIMITS.slot_ttl_ms)
    world.given(meta=watched(world), ready={"a": world.at(YOUNG)}, slots={"v": slot})

    swept = world.sweep(lost_until_ms=world.at(-5_000))

    assert swept.wakeups == wakeups
    assert ("v" in world.dump()["slots"]) is not bool(wakeups)
    # A message that has waited for its time may be lost, if nothing else shows that it is not.
    assert swept.overdue == (given_ms == -4_000)


def test_a_wakeup_without_work_is_not_missed(world: World) -> None:
    """No message is looked for whose batches others have sent."""
    world.given(meta=watched(world), slots={"v": world.at(-9_000)})

    assert world.sweep(lost_until_ms=0).overdue == 0


def test_a_paused_queue_is_sealed_and_left_asleep(world: World) -> None:
    """A paused queue is sealed by age as usual, and nobody is woken for it."""
    state = own(world, DUE, b"1")
    world.given(meta={**state["meta"], "paused": "401 Unauthorized"}, open=[b"1"])

    swept = world.sweep()

    assert (swept.sealed, swept.wakeups) == (1, 0)
    assert "slots" not in world.dump()


def test_what_a_moment_of_a_wrong_clock_hid_is_visible_again(world: World) -> None:
    """A batch due later than any settings allow becomes visible: the clock was ahead for a moment."""
    hidden, normal = world.at(HORIZON_MS + 60 * SECOND), world.at(HORIZON_MS - 60 * SECOND)
    world.given(
        meta=watched(world),
        ready={"a": hidden, "b": normal},
        leases={"c": hidden, "d": normal},
        slots={"v": hidden, "w": normal},
    )

    world.sweep()

    changes = world.changes()
    assert changes["ready"] == {"a": world.now()}
    assert changes["leases"] == {"c": world.now()}
    assert changes["slots"]["v"] is None  # lost, for all we know
    assert "w" not in changes["slots"]


# -- a shard that is held, since its destination's circuit is open


def held(world: World, until_ms: int, **meta: int | str) -> None:
    """A held shard with ready batches."""
    world.given(
        limits=replace(LIMITS, parallel=4),
        meta={**watched(world), "held_until": world.at(until_ms), **meta},
        ready={name: world.at(YOUNG) for name in "abc"},
    )


def test_nobody_is_woken_while_a_shard_is_held(world: World) -> None:
    """While a shard is held nobody is woken: a worker could claim nothing."""
    held(world, 60 * SECOND)

    swept = world.sweep()

    assert swept.wakeups == 0
    assert world.changes() == {}


def test_a_held_shard_is_sealed(world: World) -> None:
    """A held shard is sealed by age as usual."""
    state = own(world, DUE, b"1")
    world.given(meta={**state["meta"], "held_until": world.at(60 * SECOND)}, open=[b"1"])

    swept = world.sweep()

    assert (swept.sealed, swept.wakeups) == (1, 0)


def test_after_a_hold_one_worker_is_woken(world: World) -> None:
    """After a hold one worker is woken to ask the circuit, however many batches are ready."""
    held(world, -1)

    swept = world.sweep()

    assert swept.wakeups == 1
    assert world.changes() == {"slots": {f"{swept.token}:1": world.now(LIMITS.slot_ttl_ms)}}
    assert world.sweep().wakeups == 0
    assert world.changes() == {}


def test_after_a_hold_nobody_is_woken_for_nothing(world: World) -> None:
    """After a hold nobody is woken if no batch is due: a probe needs one."""
    world.given(
        meta={**watched(world), "held_until": world.at(-1)},
        ready={"a": world.at(60 * SECOND)},
        leases={"b": world.at(60 * SECOND)},
    )

    assert world.sweep().wakeups == 0


def test_a_worker_that_is_awake_is_enough_after_a_hold(world: World) -> None:
    """After a hold nobody is woken if a worker already has a slot: it will ask the circuit."""
    held(world, -1)
    world.client.zadd(world.shard.keys.slots, {"v": world.at(60 * SECOND)})

    assert world.sweep().wakeups == 0


@pytest.mark.parametrize("until_ms", [-1, 60 * SECOND, HORIZON_MS + 60 * SECOND])
def test_a_pause_beats_a_hold(world: World, until_ms: int) -> None:
    """Nobody is woken for a paused queue, whatever its circuit."""
    held(world, until_ms, paused="401 Unauthorized")

    assert world.sweep().wakeups == 0


def test_a_hold_that_the_clock_made_endless_is_over(world: World) -> None:
    """A hold longer than any settings allow is ended: the clock was ahead when it was set."""
    held(world, HORIZON_MS + 60 * SECOND)

    swept = world.sweep()

    assert swept.wakeups == 1
    assert world.changes() == {
        "meta": {"held_until": world.now()},
        "slots": {f"{swept.token}:1": world.now(LIMITS.slot_ttl_ms)},
    }
    assert world.ask(f"{swept.token}:1") is HELD


def test_a_long_hold_is_kept(world: World) -> None:
    """The longest valid hold is kept."""
    held(world, HORIZON_MS - 60 * SECOND)

    assert world.sweep().wakeups == 0
    assert world.changes() == {}


def test_a_shard_whose_hold_was_let_go_is_woken_as_ever(world: World) -> None:
    """After a hold is lifted, the sweep wakes workers for all lanes."""
    held(world, 60 * SECOND)
    world.shard.let_go()

    assert world.sweep().wakeups == 3


# -- which shards stay watched


def test_a_shard_that_nobody_announced_is_not_noted(world: World) -> None:
    """A flush does not start watching a shard: otherwise its producers would not announce it."""
    world.given(open=[b"1"])

    swept = world.sweep(force=True)

    assert swept.sealed == 1
    assert "watched" not in world.changes()["meta"]


def test_an_empty_shard_without_a_note_is_idle(world: World) -> None:
    """An empty shard that is not watched is idle: its next event is announced anyway."""
    world.given()

    swept = world.sweep()

    assert swept.idle == 1
    assert world.changes() == {}


@pytest.mark.parametrize(
    "held",
    [{"open": [b"1"]}, {"ready": {"a": 2**45}}, {"leases": {"a": 2**45}}],
    ids=["open", "ready", "leases"],
)
def test_a_shard_that_holds_something_is_never_idle(world: World, held: dict[str, Any]) -> None:
    """A shard that holds something is never idle, and its old `watched` time is renewed."""
    world.given(meta={"watched": world.at(-10 * IDLE_MS)}, **held)

    swept = world.sweep()

    assert swept.idle == 0
    assert world.changes()["meta"]["watched"] == world.now()


@pytest.mark.parametrize(
    ("age_ms", "idle"), [(IDLE_MS - 60 * SECOND, 0), (IDLE_MS + 60 * SECOND, 1)]
)
def test_a_shard_is_idle_after_a_while(world: World, age_ms: int, idle: int) -> None:
    """A shard is idle only after it was empty for long: a slow trickle is not announced each time."""
    world.given(meta={"watched": world.at(-age_ms)}, dead={"a": world.at(-age_ms)})

    swept = world.sweep()

    assert swept.idle == idle
    assert world.changes() == {}


def test_a_recent_note_is_not_rewritten(world: World) -> None:
    """The `watched` time of a busy shard is not rewritten at every sweep."""
    world.given(**own(world, YOUNG, b"1"))

    world.sweep()

    assert world.changes() == {}


def test_a_clock_that_stepped_back_is_noticed(world: World) -> None:
    """A note from the future shows the step: what was due is due again, each delay is as it was."""
    step = 600 * SECOND
    world.given(
        limits=replace(LIMITS, parallel=3),
        meta={"watched": world.at(step), "longest_lease_ms": LEASE_MS, "held_until": world.at(2**30)},
        ready={
            "due": world.at(-SECOND), "was due first": world.at(step - 9 * SECOND),
            "was due": world.at(step), "delayed": world.at(step + 300 * SECOND),
        },
        leases={
            "ended": world.at(-SECOND), "held": world.at(step + LEASE_MS // 2),
            "given since": world.at(LEASE_MS - 5 * SECOND),
        },
        slots={"v": world.at(step), "w": world.at(SECOND)},
    )  # fmt: skip

    swept = world.sweep()

    assert swept.wakeups == 1
    assert world.changes() == {
        "meta": {"watched": world.now(), "held_until": world.now()},
        "ready": {
            "was due first": world.now(-9 * SECOND), "was due": world.now(),
            "delayed": world.now(300 * SECOND),
        },
        "leases": {"held": world.now(LEASE_MS)},
        "slots": {"v": None, "w": None, f"{swept.token}:1": world.now(LIMITS.slot_ttl_ms)},
    }  # fmt: skip
    world.sweep()
    assert world.changes() == {}


def test_a_step_of_the_clock_is_undone_in_parts(world: World) -> None:
    """Where many batches were due, a step back is undone by several calls, and nothing twice."""
    step, many = 600 * SECOND, 2_500
    world.given(
        meta={"watched": world.at(step)},
        ready={
            **{f"{i:04d}": world.at(step - i) for i in range(many)},
            "delayed": world.at(step + 300 * SECOND),
        },
    )

    calls = [world.sweep().more for _ in range(3)]

    ready = world.dump()["ready"]
    assert calls == [1, 1, 0]
    assert max(at for name, at in ready.items() if name != "delayed") <= world.window[1]
    assert abs(ready["delayed"] - world.at(300 * SECOND)) <= world.window[1] - world.zero_ms


@pytest.mark.parametrize("family", ["ready", "leases", "slots"])
def test_no_setting_of_the_sweeper_ends_a_delay(world: World, family: str) -> None:
    """What was given for a day, as settings allow, stays: another worker may have given it."""
    world.given(meta=watched(world), members={family: {"a": world.at(86_400 * SECOND)}})

    world.sweep()

    assert family not in world.changes()


# -- where the limit is the least of a batch


LEAST = replace(LIMITS, batch_events=5)


@pytest.mark.parametrize(
    ("age_ms", "events", "sealed"),
    [
        (-60 * SECOND, 4, 1), (-2 * SECOND, 4, 1), (-SECOND, 4, 0), (60 * SECOND, 4, 1),
        (-SECOND, 5, 1), (-2 * SECOND, 2, 0),
    ],
)  # fmt: skip
def test_a_list_beyond_its_least_number_waits_a_moment_for_the_rest_of_a_call(
    world: World, age_ms: int, events: int, sealed: int
) -> None:
    """If the producer died between two pages, what it left is sealed whole two seconds later."""
    state = own(world, YOUNG, *[b"1"] * events)
    state["meta"]["followed_ms"] = world.at(age_ms)
    world.given(limits=LEAST, **state)

    swept = world.sweep()

    assert swept.sealed == sealed
    assert len(world.dump().get("open", [])) == (0 if sealed else events)


def test_foreign_events_are_sliced_by_the_most(world: World) -> None:
    """Twelve of another program's leave as five, five, and two wait: fewer than the least number."""
    world.given(limits=LEAST, meta=watched(world), open=[b"%d" % i for i in range(12)])

    swept = world.sweep()

    batches = [world.dump()[f"batch:{name_of(swept, i)}"] for i in range(swept.sealed)]
    assert [len(each) for each in batches] == [5, 5]
    assert world.dump()["open"] == [b"10", b"11"]
