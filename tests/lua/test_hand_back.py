"""hand_back.lua: undo the claim of a worker that stops."""

from __future__ import annotations

import pytest

from lua.world import LEASE_SECONDS, Line, World
from vwo_celery.queue.words.batches import Batch

META = {"accepted": 3, "events": 3, "bytes": 30}
SEALED = -8_000


def ready(world: World, **line: int | str) -> Line:
    """A shard with one ready batch of 3 events."""
    times = {"first": world.at(-9_000), "sealed": world.at(SEALED)}
    shown = Line(events=3, bytes=30, **{**times, **line})  # type: ignore[arg-type]
    world.given(
        meta=META,
        ready={"b": world.at(SEALED)},
        info={"b": shown},
        batches={"b": [b"1", b"2", b"3"]},
        slots={"w": world.at(9_000)},
    )
    return shown


def claimed(world: World, *, lease_seconds: float = LEASE_SECONDS) -> Batch:
    """The lease of a worker that claims now."""
    batch = world.shard.claim(token="", lease_seconds=lease_seconds)
    assert isinstance(batch, Batch)
    return batch


def hand_back(world: World, batch: Batch, *, until_ms: int | None = None) -> bool:
    """Call the script, with the lease as it was claimed unless given otherwise."""
    until = batch.lease_until_ms if until_ms is None else until_ms
    return world.call(world.shard.hand_back, batch, lease_until_ms=until)


def test_a_claim_is_undone(world: World) -> None:
    """A hand-back does not count the attempt and puts the batch in its old place, ready at once."""
    line = ready(world)
    before = world.dump()
    batch = claimed(world)

    done = hand_back(world, batch)

    assert done is True
    assert world.changes() == {
        "leases": None,
        "ready": {"b": world.at(SEALED)},
        "info": {"b": line},
    }
    assert world.dump() == before


def test_it_goes_before_what_was_sealed_later(world: World) -> None:
    """A batch that was handed back goes before later batches: a restart of workers keeps the order."""
    ready(world)
    batch = claimed(world)
    world.client.zadd(world.shard.keys.ready, {"c": world.at(SEALED + 1)})
    world.client.hset(world.shard.keys.info, "c", "0:0:1:10:0:0:")

    hand_back(world, batch)

    again = world.claim()
    assert again is not None
    assert (again.id, again.attempt, again.lost_leases) == ("b", 1, 0)


def test_a_clock_that_stepped_back_does_not_hide_it(world: World) -> None:
    """After a clock that stepped back, the batch is visible although its old place is in the future."""
    ready(world, sealed=world.at(60_000))
    batch = claimed(world)

    hand_back(world, batch)

    assert world.changes()["ready"] == {"b": world.now()}


def test_a_batch_that_failed_before_keeps_its_failures(world: World) -> None:
    """A hand-back undoes only this claim: older attempts, lost leases and the last error stay."""
    line = ready(world, attempt=4, lost=2, error="HTTP 503: busy:\nlater")
    batch = claimed(world)
    assert batch.attempt == 5

    hand_back(world, batch)

    assert world.changes()["info"] == {"b": line}


def test_a_lost_lease_stays_counted(world: World) -> None:
    """An earlier lost lease stays counted."""
    ready(world)
    first = claimed(world, lease_seconds=-1)
    second = claimed(world)
    assert (first.attempt, second.attempt, second.lost_leases) == (1, 2, 1)

    hand_back(world, second)

    line = world.changes()["info"]["b"]
    assert (line.attempt, line.lost) == (1, 1)


def test_a_second_time_changes_nothing(world: World) -> None:
    """A second hand-back, as after a lost answer, changes nothing."""
    ready(world)
    batch = claimed(world)
    hand_back(world, batch)

    again = hand_back(world, batch)

    assert again is False
    assert world.changes() == {}


def test_the_next_holder_is_safe_though_its_attempt_has_the_same_number(world: World) -> None:
    """A hand-back repeated after another worker's claim leaves that lease alone (equal attempts)."""
    ready(world)
    mine = claimed(world)
    hand_back(world, mine)
    theirs = claimed(world, lease_seconds=LEASE_SECONDS + 1)
    assert theirs.attempt == mine.attempt

    again = hand_back(world, mine)

    assert again is False
    assert world.changes() == {}
    assert hand_back(world, theirs) is True


@pytest.mark.parametrize("offset_ms", [-1, 1])
def test_the_very_lease_is_meant(world: World, offset_ms: int) -> None:
    """A lease that ends a millisecond earlier or later is another worker's and is not handed back."""
    ready(world)
    batch = claimed(world)

    done = hand_back(world, batch, until_ms=batch.lease_until_ms + offset_ms)

    assert done is False
    assert world.changes() == {}


def test_a_lease_that_was_extended_is_handed_back_by_its_new_end(world: World) -> None:
    """An extended lease is handed back by its new end; by the old end it is not found."""
    ready(world)
    batch = claimed(world)
    until = world.shard.extend(batch, lease_seconds=2 * LEASE_SECONDS)

    assert hand_back(world, batch) is False
    assert world.changes() == {}
    assert hand_back(world, batch, until_ms=until) is True
    assert world.changes()["leases"] is None


def test_an_expired_lease_that_nobody_took_may_be_handed_back(world: World) -> None:
    """The holder of an expired lease may hand its batch back while no other worker has it; no lost
    lease is counted.
    """
    line = ready(world)
    batch = claimed(world, lease_seconds=-5)

    done = hand_back(world, batch)

    assert done is True
    assert world.changes()["info"] == {"b": line}


@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_another_attempt_is_refused(world: World, attempt: int) -> None:
    """The holder of an older lease cannot hand back the batch of the new holder."""
    until = world.at(9_000)
    world.given(leases={"b": until}, info={"b": Line(attempt=2)}, batches={"b": [b"1"]})

    done = hand_back(world, world.batch("b", attempt=attempt), until_ms=until)

    assert done is False
    assert world.changes() == {}


@pytest.mark.parametrize("state", ["ready", "dead"])
@pytest.mark.parametrize("until_ms", [0, 9_000])
def test_what_is_not_leased_is_refused(world: World, state: str, until_ms: int) -> None:
    """A batch that was settled meanwhile stays settled, whatever time the caller names."""
    world.given(
        info={"b": Line(attempt=1)}, batches={"b": [b"1"]}, members={state: {"b": until_ms}}
    )

    done = hand_back(world, world.batch("b"), until_ms=until_ms)

    assert done is False
    assert world.changes() == {}


def test_what_is_gone_is_refused(world: World) -> None:
    """A delivered batch stays delivered."""
    world.given(meta={"delivered": 3})

    assert hand_back(world, world.batch("b")) is False
    assert world.changes() == {}
