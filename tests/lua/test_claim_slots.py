"""claim.lua and wake-ups: a claim gives its slot back, and calls for help where more is ready."""

from __future__ import annotations

from msgspec.structs import replace

from lua.world import LIMITS, Line, World


def test_an_empty_claim_gives_its_slot_back(world: World) -> None:
    """An empty claim frees its slot in the same step: no wake-up can be lost in between."""
    world.given(slots={"w": world.at(9_000), "v": world.at(9_000)})

    batch = world.claim("w")

    assert batch is None
    assert world.changes() == {"slots": {"w": None}}


def test_a_claim_frees_its_slot(world: World) -> None:
    """A slot stands for a message that waits; the batch in flight counts as a busy lane from now on."""
    world.given(
        ready={"b": world.at(-1)},
        info={"b": Line()},
        slots={"w": world.at(100), "v": world.at(9_000)},
    )

    world.claim("w")

    assert world.changes()["slots"] == {"w": None}


def test_a_slot_that_expired_is_not_taken_again(world: World) -> None:
    """A late task works without its slot, which may belong to another message by now."""
    world.given(ready={"b": world.at(-1)}, info={"b": Line()}, slots={"v": world.at(9_000)})

    batch = world.claim("w")

    assert batch is not None
    assert "slots" not in world.changes()


def test_a_backlog_calls_for_help(world: World) -> None:
    """If more batches are ready than lanes are busy, a claim takes further slots under the help token."""
    world.given(
        limits=replace(LIMITS, parallel=4),
        ready={name: world.at(-1) for name in "abc"},
        info={name: Line() for name in "abc"},
        slots={"w": world.at(9_000)},
    )

    batch = world.claim("w")

    assert batch is not None
    assert batch.wakeups == 2
    assert world.changes()["slots"] == {
        "w": None,
        f"{batch.help_token}:1": world.now(LIMITS.slot_ttl_ms),
        f"{batch.help_token}:2": world.now(LIMITS.slot_ttl_ms),
    }


def test_help_is_bounded_by_parallel(world: World) -> None:
    """A claim takes no more slots than `parallel` allows sends, however many batches are ready."""
    names = [f"b{i}" for i in range(10)]
    world.given(
        ready={name: world.at(-1) for name in names},
        info={name: Line() for name in names},
        slots={"w": world.at(9_000)},
    )

    batch = world.claim("w")

    assert batch is not None
    assert batch.wakeups == LIMITS.parallel - 1
