"""trip.lua and tell.lua: failures in a row open a circuit for a while, and one worker tells of it."""

from __future__ import annotations

import pytest

from lua.circuits import (
    FAILURES,
    FIRST_MS,
    HOUR,
    SECOND,
    SETTINGS,
    circuit,
    fail,
    let_time_pass,
    opened,
    probing,
)
from lua.world import World
from vwo_celery import Settings
from vwo_celery.queue.holding.circuit import LONGEST_PAUSE_SECONDS, Circuit, Permit, refusal_waits

# -- from closed to open


def test_an_unknown_circuit_is_closed(world: World) -> None:
    """An unknown circuit is closed: asking costs one script call and leaves nothing in Redis."""
    permit = world.call(circuit(world).ask)

    assert permit == Permit("closed", 0, "")
    assert world.changes() == {}


def test_fewer_failures_keep_it_closed(world: World) -> None:
    """Failures below the limit are counted and leave the circuit closed."""
    seen = circuit(world)
    waits = [fail(world, seen) for _ in range(FAILURES - 1)]

    permit = seen.ask()

    assert waits == [None] * (FAILURES - 1)
    assert permit == Permit("closed", 0, "")
    assert world.changes() == {"circuit": {"failures": FAILURES - 1}}


def test_one_more_opens_it(world: World) -> None:
    """The failure that reaches the limit opens the circuit: until the wait is over nothing is sent."""
    seen = circuit(world)
    for _ in range(FAILURES - 1):
        fail(world, seen)

    wait = fail(world, seen)

    assert wait == FIRST_MS / SECOND
    assert world.changes() == {
        "circuit": {
            "failures": FAILURES, "until_ms": world.now(FIRST_MS), "opened_ms": world.now(),
            "openings": 1,
        },
        "tally": {"opened": 1},
    }  # fmt: skip
    permit = seen.ask()
    assert (permit.answer, permit.token) == ("open", "")
    assert permit.until_ms == world.dump()["circuit"]["until_ms"]


def test_all_workers_count_together(world: World) -> None:
    """Failures of all workers count together: it is the destination that fails."""
    waits = [fail(world, circuit(world)) for _ in range(FAILURES)]

    assert waits == [None, None, FIRST_MS / SECOND]


def test_a_single_failure_opens_it_where_one_is_enough(world: World) -> None:
    """With `circuit_failures` 1, a single failure opens the circuit."""
    assert fail(world, circuit(world, circuit_failures=1)) == FIRST_MS / SECOND


def test_an_acceptance_in_between_begins_a_new_row(world: World) -> None:
    """An acceptance between failures starts the count again: scattered failures open nothing."""
    seen = circuit(world)
    fail(world, seen)
    let_time_pass(world, 10 * SECOND)
    fail(world, seen)

    wait = fail(world, seen, delivered_ms=world.at(-1 * SECOND))

    assert wait is None
    assert world.changes() == {"circuit": {"failures": 1, "since_ms": world.now()}}


def test_an_acceptance_before_the_row_does_not_end_it(world: World) -> None:
    """An acceptance before the first failure does not reset the count."""
    seen = circuit(world)

    waits = [fail(world, seen, delivered_ms=world.at(-1)) for _ in range(FAILURES)]

    assert waits[-1] == FIRST_MS / SECOND


def test_circuits_of_two_queues_are_two(world: World) -> None:
    """The circuits of two queues are independent."""
    opened(world)

    other = Circuit(world.client, "fme-2-other", Settings(**SETTINGS), lambda: 1.0)

    assert other.ask().answer == "closed"


# -- the length of a wait


@pytest.mark.parametrize(("random", "wait_ms"), [(0.0, 1_000), (0.25, 1_250), (1.0, 2_000)])
def test_the_second_half_of_a_wait_is_random(world: World, random: float, wait_ms: int) -> None:
    """Half of a wait is random: queues do not probe the same destination at the same moment."""
    seen = circuit(world, random=random)

    waits = [fail(world, seen) for _ in range(FAILURES)]

    assert waits[-1] == wait_ms / SECOND


@pytest.mark.parametrize(("random", "share"), [(0.0, 0.5), (1.0, 1.0)])
def test_the_wait_doubles_with_every_failed_probe(
    world: World, random: float, share: float
) -> None:
    """Each failed probe doubles the wait, up to a bound: a recovered destination is found soon."""
    seen = opened(world, random=random)
    waits = [fail(world, seen, probe=probing(world, seen).token) for _ in range(6)]

    assert waits == [share * wait for wait in (4, 8, 16, *3 * [LONGEST_PAUSE_SECONDS])]


def test_a_long_outage_overflows_nothing(world: World) -> None:
    """After any number of openings the wait is the longest one; nothing overflows."""
    seen = opened(world)
    world.client.hset(world.shard.keys.circuit, "openings", 5_000)

    wait = fail(world, seen, probe=probing(world, seen).token)

    assert wait == LONGEST_PAUSE_SECONDS
    assert world.changes()["circuit"]["openings"] == 5_001


def test_the_longest_backoff_bounds_a_wait(world: World) -> None:
    """A shorter longest backoff, set by the operator, bounds the wait."""
    seen = opened(world, backoff_max_seconds=3)

    waits = [fail(world, seen, probe=probing(world, seen).token) for _ in range(3)]

    assert waits == [3, 3, 3]


@pytest.mark.parametrize(
    ("floor_seconds", "wait"),
    [(0.0, 2.0), (1.5, 2.0), (17.5, 17.5), (LONGEST_PAUSE_SECONDS + 60, 90.0), (10_000.0, 300.0)],
)
def test_what_vwo_asks_for_is_waited_for(world: World, floor_seconds: float, wait: float) -> None:
    """`Retry-After` is the shortest wait, also above our own bound, up to the longest backoff."""
    seen = circuit(world)
    for _ in range(FAILURES - 1):
        fail(world, seen, floor_seconds=floor_seconds)

    assert fail(world, seen, floor_seconds=floor_seconds) == wait
    assert world.changes()["circuit"]["until_ms"] == world.now(round(SECOND * wait))


# -- refusals


def refuse(
    world: World, seen: Circuit, batch_id: str, *, probe: str = "", key: bool = False
) -> float | None:
    """Call trip.lua for a batch that VWO refused."""
    return world.call(
        seen.note_failure,
        delivered_ms=0,
        floor_seconds=None,
        probe=probe,
        waits=refusal_waits(Settings(**SETTINGS), key=key),
        batch_id=batch_id,
    )


def test_a_batch_that_is_refused_again_counts_once(world: World) -> None:
    """However often one batch is refused, the circuit stays closed for the others."""
    seen = circuit(world)

    waits = [refuse(world, seen, "bad") for _ in range(3 * FAILURES)]

    assert waits == [None] * 3 * FAILURES
    assert world.client.hget(world.shard.keys.circuit, "failures") == b"1"


@pytest.mark.parametrize(("key", "first_seconds"), [(False, 60), (True, 600)])
def test_refusals_wait_longer_than_outages(world: World, key: bool, first_seconds: int) -> None:
    """Refused batches open the circuit for a minute, and ever longer, up to an hour."""
    seen = circuit(world)

    waits = [refuse(world, seen, f"b{number}", key=key) for number in range(FAILURES)]
    while waits[-1] != HOUR / SECOND:
        world.client.hset(world.shard.keys.circuit, "until_ms", world.at(-1))
        probe = seen.ask().token
        waits.append(refuse(world, seen, "b0", probe=probe, key=key))

    expected = [min(first_seconds * 2.0**number, 3600.0) for number in range(7)]
    assert waits[FAILURES - 1 :] == sorted(set(expected))


def test_an_outage_before_a_refusal_does_not_lengthen_its_wait(world: World) -> None:
    """Openings are counted apart: after a long outage a 404 waits for a minute, not for an hour."""
    seen = opened(world)
    for _ in range(6):
        world.client.hset(world.shard.keys.circuit, "until_ms", world.at(-1))
        fail(world, seen, probe=seen.ask().token)
    world.client.hset(world.shard.keys.circuit, "until_ms", world.at(-1))

    wait = refuse(world, seen, "b", probe=seen.ask().token)

    assert wait == 60.0


def test_an_acceptance_ends_the_count_of_refused_batches(world: World) -> None:
    """Batches refused before VWO accepted another one count no more."""
    seen = circuit(world)
    for number in range(FAILURES - 1):
        refuse(world, seen, f"b{number}")

    wait = world.call(
        seen.note_failure, delivered_ms=world.at(60_000), floor_seconds=None, probe="",
        waits=refusal_waits(Settings(**SETTINGS)), batch_id="b9",
    )  # fmt: skip

    assert wait is None
    assert world.client.hget(world.shard.keys.circuit, "failures") == b"1"


# -- tell.lua, and the end of what it told of


def test_trouble_is_told_when_it_begins_when_it_opens_and_ever_more_seldom(world: World) -> None:
    """Of all workers one is asked to tell, with the fleet's time since when VWO does not accept.

    It is told again after a minute, two, four, and once in ten minutes at last.
    """
    seen, others = circuit(world), circuit(world)
    told: list[int] = []

    def ask() -> None:
        found = [world.call(each.worth_telling) for each in (seen, others)]
        told.extend(trouble.since_ms for trouble in found if trouble)

    ask()
    assert told == []
    for _ in range(FAILURES):
        fail(world, seen)
        ask()
    begun = told[0]
    assert told == [begun, begun], "as it begins, and as it opens"
    let_time_pass(world, 5 * SECOND)
    ask()
    assert len(told) == 2
    let_time_pass(world, 60 * SECOND)
    ask()
    assert told[2:] == [begun - 65 * SECOND]
    passed = []
    for second in range(0, 3600, 30):
        let_time_pass(world, 30 * SECOND)
        before = len(told)
        ask()
        passed += [second + 30] if len(told) > before else []
    pauses = [later - sooner for sooner, later in zip([0, *passed], passed, strict=False)]
    assert pauses[:4] == [90, 180, 360, 600]
    assert set(pauses[4:]) == {600}


@pytest.mark.parametrize("opens", [True, False], ids=["open", "closed"])
def test_the_end_of_trouble_that_was_told_is_told_once(world: World, opens: bool) -> None:
    """The acceptance that ends it has the time since when VWO did not accept; a later one has none."""
    seen = opened(world) if opens else circuit(world)
    if not opens:
        fail(world, seen)
    probe = probing(world, seen).token if opens else ""
    trouble = world.call(seen.worth_telling)

    ended = world.call(seen.end_probe, probe, answered=True)
    again = world.call(seen.end_probe, probe, answered=True)

    assert trouble is not None
    assert ended.closed
    assert ended.trouble is not None
    assert ended.trouble.since_ms == trouble.since_ms
    assert again.trouble is None
    assert not world.client.exists(world.shard.keys.circuit)


def test_an_acceptance_that_was_no_probe_leaves_an_open_circuit_alone(world: World) -> None:
    """A batch that was in flight as the circuit opened may be accepted: that closes nothing."""
    seen = opened(world)
    world.call(seen.worth_telling)

    ended = world.call(seen.end_probe, "", answered=True)

    assert not ended.closed
    assert ended.trouble is None
    assert seen.ask().answer != "closed"
