"""sweep.lua: seal open lists that are due, keep watch over a shard, and undo a step of the clock."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lua.sweeping import DUE, SECOND, YOUNG, name_of, own, watched
from lua.world import IDLE_MS, LEASE_MS, LEAST, LIMITS, Line, World

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


# -- a clock that stepped back


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
