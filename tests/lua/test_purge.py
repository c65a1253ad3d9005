"""purge.lua: an operator drops a dead-lettered batch for good."""

from __future__ import annotations

import pytest

from lua.world import Line, World

META = {"accepted": 9, "events": 2, "bytes": 20, "dead": 5, "dropped:purged": 2}


def test_a_dead_letter_is_dropped_and_counted(world: World) -> None:
    """A purged batch leaves Redis and is counted in the ledger as dropped."""
    world.given(
        meta=META,
        dead={"b": world.at(-1), "c": world.at(-1)},
        info={"b": Line(events=3), "c": Line(events=2)},
        batches={"b": [b"1", b"2", b"3"], "c": [b"4", b"5"]},
    )

    events = world.call(world.shard.purge, "b")

    assert events == 3
    assert world.changes() == {
        "dead": {"b": None},
        "info": {"b": None},
        "batch:b": None,
        "meta": {"dead": 2, "dropped:purged": 5},
    }


@pytest.mark.parametrize("state", ["ready", "leases"])
def test_what_is_not_dead_is_left_alone(world: World, state: str) -> None:
    """A batch that is not dead cannot be purged."""
    world.given(
        meta=META,
        info={"b": Line(events=3)},
        batches={"b": [b"1"]},
        members={state: {"b": world.at(-1)}},
    )

    events = world.call(world.shard.purge, "b")

    assert events == 0
    assert world.changes() == {}


@pytest.mark.parametrize(
    ("most_events", "dropped"),
    [(4, 3), (5, -1), (9, -1), (0, 3)],
    ids=["over", "at", "under", "none"],
)
def test_dead_letters_are_kept_up_to_a_bound(world: World, most_events: int, dropped: int) -> None:
    """Five dead events are kept; beyond the bound a batch is dropped, under the given reason."""
    world.given(
        meta=META, dead={"b": world.at(-1)}, info={"b": Line(events=3)}, batches={"b": [b"1"]}
    )

    answer = world.call(world.shard.purge, "b", reason="dead_letters_full", most_events=most_events)

    assert answer == dropped
    counted = {"dead": 2, "dropped:dead_letters_full": 3}
    assert world.changes().get("meta", {}) == (counted if dropped > 0 else {})


@pytest.mark.parametrize(
    ("days", "kept"), [(30, False), (36_500, True)], ids=["an import", "a move under way"]
)
def test_what_is_moving_is_not_put_back_after_its_purge(
    world: World, days: int, kept: bool
) -> None:
    """The trace of an import goes; that of a move stays until its old queue has forgotten the batch."""
    trace = world.at(days * 86_400_000)
    world.given(
        meta=META, info={"b": Line(events=3)}, batches={"b": [b"1"] * 3}, dead={"b": world.at(-1)},
        arrived={"b": trace},
    )  # fmt: skip

    assert world.call(world.shard.purge, "b") == 3

    assert ("arrived" in world.dump()) is kept


def test_a_second_purge_counts_nothing(world: World) -> None:
    """A second purge, as after a lost answer, counts nothing."""
    world.given(
        meta=META, dead={"b": world.at(-1)}, info={"b": Line(events=3)}, batches={"b": [b"1"]}
    )
    world.shard.purge("b")

    events = world.call(world.shard.purge, "b")

    assert events == 0
    assert world.changes() == {}
