"""permit.lua, trip.lua, mend.lua: after several failures in a row, one probe at a time may send."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from lua.world import NAMESPACE, QUEUE, World
from vwo_celery import Settings
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.holding.circuit import LONGEST_PAUSE_SECONDS, Circuit, Permit, refusal_waits

SECOND = 1_000
HOUR = 3_600 * SECOND
#: Failures in a row that open a circuit in these tests.
FAILURES = 3
#: Longest first wait: twice the base of the backoff.
FIRST_MS = 2 * SECOND
#: Longest duration of a probe: the request timeout and a margin.
PROBE_MS = 25 * SECOND
#: Later than any time that is ever stored.
FAR = 24 * HOUR

SETTINGS: dict[str, Any] = {
    "namespace": NAMESPACE,
    "circuit_failures": FAILURES,
    "backoff_base_seconds": 1,
    "backoff_max_seconds": 300,
    "request_timeout_seconds": 20,
}


def circuit(world: World, *, random: float = 1.0, **settings: Any) -> Circuit:
    """The circuit as one worker sees it."""
    return Circuit(world.client, QUEUE, Settings(**{**SETTINGS, **settings}), lambda: random)


def fail(
    world: World,
    seen: Circuit,
    *,
    delivered_ms: int = 0,
    floor_seconds: float | None = None,
    probe: str = "",
) -> float | None:
    """Call trip.lua."""
    return world.call(
        seen.note_failure, delivered_ms=delivered_ms, floor_seconds=floor_seconds, probe=probe
    )


def opened(world: World, **options: Any) -> Circuit:
    """A circuit that has just opened."""
    seen = circuit(world, **options)
    while fail(world, seen) is None:
        pass
    return seen


def let_time_pass(world: World, passed_ms: int) -> None:
    """Make the circuit older, or younger if Redis' clock steps back."""
    key = world.shard.keys.circuit
    for field in ("since_ms", "until_ms", "opened_ms", "probe_until_ms", "probed_ms", "told_ms"):
        at = world.client.hget(key, field)
        if at is not None:
            world.client.hset(key, field, int(at) - passed_ms)


def probing(world: World, seen: Circuit) -> Permit:
    """The permission to probe, once the circuit's wait is over."""
    let_time_pass(world, FAR)
    permit = seen.ask()
    assert permit.answer == "probe"
    return permit


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
        }
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


# -- probes


def test_one_probe_at_a_time(world: World) -> None:
    """After the wait, only the first worker that asks may probe, once."""
    opened(world)
    let_time_pass(world, FIRST_MS)

    probe = world.call(circuit(world).ask)
    changes = world.changes()
    others = [circuit(world).ask() for _ in range(9)]

    assert probe.answer == "probe"
    assert changes["circuit"].pop("probed_ms") == probe.until_ms - PROBE_MS
    assert changes == {"circuit": {"probe": probe.token, "probe_until_ms": probe.until_ms}}
    assert others == [Permit("open", probe.until_ms, "")] * 9


def test_a_probe_has_a_requests_time(world: World) -> None:
    """No second probe is allowed while the request of the first may still be running."""
    opened(world)
    let_time_pass(world, FIRST_MS)

    permit = world.call(circuit(world).ask)

    assert permit.until_ms == world.now(PROBE_MS)


def test_a_probe_that_passes_closes_it(world: World) -> None:
    """A successful probe closes the circuit and removes all that was stored about the outage."""
    seen = opened(world)
    probe = probing(world, seen)

    closed = world.call(seen.end_probe, probe.token, answered=True).closed

    assert closed is True
    assert world.changes() == {"circuit": None}
    assert seen.ask().answer == "closed"


def test_after_an_outage_waits_begin_short_again(world: World) -> None:
    """After an outage the next one starts with the short wait again."""
    seen = opened(world)
    fail(world, seen, probe=probing(world, seen).token)
    seen.end_probe(probing(world, seen).token, answered=True)

    waits = [fail(world, seen) for _ in range(FAILURES)]

    assert waits == [None, None, FIRST_MS / SECOND]


def test_a_probe_that_fails_opens_it_again(world: World) -> None:
    """A failed probe opens the circuit for twice as long and gives up the permission to probe."""
    seen = opened(world)
    probe = probing(world, seen)

    wait = fail(world, seen, probe=probe.token)

    assert wait == 2 * FIRST_MS / SECOND
    assert world.changes() == {
        "circuit": {
            "until_ms": world.now(2 * FIRST_MS), "opened_ms": world.now(), "openings": 2,
            "probe": None, "probe_until_ms": None, "probed_ms": None,
        }
    }  # fmt: skip
    assert seen.ask().answer == "open"


def test_an_acceptance_elsewhere_does_not_spare_a_probe(world: World) -> None:
    """While the circuit is open, only its probe decides: another acceptance does not close it."""
    seen = opened(world)

    wait = fail(world, seen, probe=probing(world, seen).token, delivered_ms=world.at(FAR))

    assert wait == 2 * FIRST_MS / SECOND


def test_a_probe_that_came_to_nothing_lets_the_next_one_through(world: World) -> None:
    """A probe that found nothing to send lets the next probe start at once."""
    seen = opened(world)
    probe = probing(world, seen)

    closed = world.call(seen.end_probe, probe.token, answered=False).closed

    assert closed is False
    assert world.changes() == {
        "circuit": {"probe": None, "probe_until_ms": None, "probed_ms": None}
    }
    assert seen.ask().answer == "probe"


def test_after_a_probe_that_died_comes_another(world: World) -> None:
    """After a worker died during its probe, the next probe starts once the first one has expired."""
    seen = opened(world)
    died = probing(world, seen)
    let_time_pass(world, PROBE_MS - 5 * SECOND)
    early = seen.ask()
    let_time_pass(world, 5 * SECOND)

    probe = seen.ask()

    assert early.answer == "open"
    assert probe.answer == "probe"
    assert probe.token != died.token


# -- late answers


def test_a_failure_of_before_changes_nothing(world: World) -> None:
    """A send that began before the circuit opened may fail afterwards without changing the circuit."""
    seen = opened(world)
    let_time_pass(world, SECOND)

    wait = fail(world, seen, floor_seconds=100)

    assert wait is not None
    assert 0 < wait <= 1
    assert world.changes() == {}


@pytest.mark.parametrize("probe", ["", "another"])
def test_a_late_failure_does_not_speak_for_the_probe(world: World, probe: str) -> None:
    """A late failure, of an ordinary send or of an expired probe, does not end the current probe."""
    seen = opened(world)
    probing(world, seen)

    wait = fail(world, seen, probe=probe)

    assert wait == 0.001  # the wait is over, the probe is running
    assert world.changes() == {}


@pytest.mark.parametrize("answered", [True, False])
def test_a_probe_whose_time_was_over_ends_nothing(world: World, answered: bool) -> None:
    """An expired probe changes nothing once another has started; it counts only for its own batch."""
    seen = opened(world)
    first = probing(world, seen)
    probing(world, seen)

    closed = world.call(seen.end_probe, first.token, answered=answered).closed

    assert closed is False
    assert world.changes() == {}


def test_a_slow_probe_that_nobody_replaced_counts(world: World) -> None:
    """The result of an expired probe counts if no other probe has started."""
    seen = opened(world)
    probe = probing(world, seen)
    let_time_pass(world, FAR)

    assert seen.end_probe(probe.token, answered=True)
    assert seen.ask().answer == "closed"


def test_ending_a_probe_of_a_closed_circuit_tells_that_it_is_closed(world: World) -> None:
    """A probe that ends after the circuit was closed finds it so, even if failures were counted since."""
    seen = circuit(world)
    assert seen.end_probe("late", answered=True)
    fail(world, seen)

    closed = world.call(seen.end_probe, "late", answered=True).closed

    assert closed is True
    assert world.changes() == {}


def test_a_probe_of_a_circuit_that_was_forgotten_is_an_ordinary_send(world: World) -> None:
    """The failure of a probe whose circuit was forgotten counts as the first ordinary failure."""
    seen = circuit(world)

    wait = fail(world, seen, probe="forgotten")

    assert wait is None
    assert world.changes() == {"circuit": {"failures": 1, "since_ms": world.now()}}


# -- clocks, and what is left behind


@pytest.mark.parametrize("step_ms", [60 * SECOND, FAR])
def test_a_clock_that_stepped_back_lets_a_probe_through(world: World, step_ms: int) -> None:
    """A wait that was given in the future is over (the clock stepped back), for one probe at a time."""
    seen = opened(world)
    let_time_pass(world, -step_ms)

    permits = [seen.ask() for _ in range(3)]

    assert [permit.answer for permit in permits] == ["probe", "open", "open"]


def test_a_clock_that_stepped_back_does_not_keep_a_dead_probes_leave(world: World) -> None:
    """A permission to probe that ends later than any possible one is over."""
    seen = opened(world)
    died = probing(world, seen)
    let_time_pass(world, -2 * FAR)

    permits = [seen.ask() for _ in range(3)]

    assert [permit.answer for permit in permits] == ["probe", "open", "open"]
    assert permits[0].token != died.token


def test_a_late_failure_after_a_step_of_the_clock_waits_no_longer(world: World) -> None:
    """After a clock stepped back, a late failure waits as long as the circuit was opened for."""
    seen = opened(world)
    let_time_pass(world, -FAR)

    wait = fail(world, seen)

    assert wait == FIRST_MS / SECOND


def test_the_wait_of_another_workers_settings_is_no_step_of_the_clock(world: World) -> None:
    """A worker with a short `backoff_max_seconds` believes a wait that one with a long gave."""
    patient = circuit(world, circuit_failures=1, backoff_max_seconds=86_400)
    wait = fail(world, patient, floor_seconds=86_400)
    hasty = circuit(world, backoff_max_seconds=1)
    let_time_pass(world, HOUR)

    assert wait == 86_400
    assert hasty.ask().answer == "open"


def test_a_circuit_that_a_worker_of_0_1_opened_is_believed(world: World) -> None:
    """Without the time at which it was given, a wait is believed if the settings allow it."""
    opened(world)
    key = world.shard.keys.circuit
    world.client.hdel(key, "opened_ms")
    world.client.hset(key, "until_ms", world.at(23 * HOUR))

    believed = circuit(world).ask()
    world.client.hset(key, "until_ms", world.at(25 * HOUR))

    assert believed.answer == "open"
    assert circuit(world).ask().answer == "probe"


@pytest.mark.parametrize("floor_seconds", [None, 10_000.0])
def test_the_longest_wait_is_no_step_of_the_clock(
    world: World, floor_seconds: float | None
) -> None:
    """The longest wait that the settings allow is waited in full."""
    seen = circuit(world, circuit_failures=1)
    fail(world, seen, floor_seconds=floor_seconds)

    assert seen.ask().answer == "open"


def test_what_is_known_of_a_destination_is_forgotten(world: World) -> None:
    """Failures are forgotten after an hour, an open circuit some time after its wait."""
    seen, key = circuit(world), world.shard.keys.circuit
    waits = count(1)
    while fail(world, seen, floor_seconds=200) is None:
        assert 0 < world.client.pttl(key) <= HOUR
        assert next(waits) < FAILURES
    assert 200 * SECOND < world.client.pttl(key) <= HOUR + 200 * SECOND

    world.client.pexpire(key, SECOND)  # long after its end, and a worker still asks
    probing(world, seen)

    assert HOUR < world.client.pttl(key) <= HOUR + PROBE_MS


def test_redis_that_does_not_answer_is_told_as_such(world: World) -> None:
    """If Redis does not answer, the error of every method says what was tried."""
    gone: Any = redis_py.Redis(port=1, retry=Retry(NoBackoff(), 0))
    seen = Circuit(gone, QUEUE, Settings(**SETTINGS), lambda: 1.0)

    with pytest.raises(QueueUnavailable, match=QUEUE):
        seen.ask()
    with pytest.raises(QueueUnavailable, match=QUEUE):
        seen.note_failure(delivered_ms=0, floor_seconds=None, probe="")
    with pytest.raises(QueueUnavailable, match=QUEUE):
        seen.end_probe("probe", answered=True)


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
