"""permit.lua, trip.lua, mend.lua: after failures in a row one probe at a time asks, the rest waits."""

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
from vwo_celery.queue.circuit import LONGEST_PAUSE_SECONDS, Circuit, Permit

SECOND = 1_000
HOUR = 3_600 * SECOND
#: Failures in a row that open a circuit in these tests.
FAILURES = 3
#: First wait at its longest: twice the base of the backoff.
FIRST_MS = 2 * SECOND
#: How long a probe may take: a request's time, and a margin.
PROBE_MS = 25 * SECOND
#: Further ahead than any time that is ever stored.
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
    """A circuit that has just been opened."""
    seen = circuit(world, **options)
    while fail(world, seen) is None:
        pass
    return seen


def let_time_pass(world: World, passed_ms: int) -> None:
    """Make the circuit older; younger, where Redis' clock steps back."""
    key = world.shard.keys.circuit
    for field in ("since_ms", "until_ms", "probe_until_ms"):
        at = world.client.hget(key, field)
        if at is not None:
            world.client.hset(key, field, int(at) - passed_ms)


def probing(world: World, seen: Circuit) -> Permit:
    """The leave to probe, once the circuit's wait is over."""
    let_time_pass(world, FAR)
    permit = seen.ask()
    assert permit.answer == "probe"
    return permit


# -- from closed to open


def test_an_unknown_circuit_is_closed(world: World) -> None:
    """Asking costs one script, and leaves nothing in Redis."""
    permit = world.call(circuit(world).ask)

    assert permit == Permit("closed", 0, "")
    assert world.changes() == {}


def test_fewer_failures_keep_it_closed(world: World) -> None:
    """They are counted, from the first one on, and everything may still be sent."""
    seen = circuit(world)
    waits = [fail(world, seen) for _ in range(FAILURES - 1)]

    permit = seen.ask()

    assert waits == [None] * (FAILURES - 1)
    assert permit == Permit("closed", 0, "")
    assert world.changes() == {"circuit": {"failures": FAILURES - 1}}


def test_one_more_opens_it(world: World) -> None:
    """Until the wait is over nobody may ask the destination."""
    seen = circuit(world)
    for _ in range(FAILURES - 1):
        fail(world, seen)

    wait = fail(world, seen)

    assert wait == FIRST_MS / SECOND
    assert world.changes() == {
        "circuit": {"failures": FAILURES, "until_ms": world.now(FIRST_MS), "openings": 1}
    }
    permit = seen.ask()
    assert (permit.answer, permit.token) == ("open", "")
    assert permit.until_ms == world.dump()["circuit"]["until_ms"]


def test_all_workers_count_together(world: World) -> None:
    """It is the destination that fails, whoever notices."""
    waits = [fail(world, circuit(world)) for _ in range(FAILURES)]

    assert waits == [None, None, FIRST_MS / SECOND]


def test_a_single_failure_opens_it_where_one_is_enough(world: World) -> None:
    """`circuit_failures` may be 1."""
    assert fail(world, circuit(world, circuit_failures=1)) == FIRST_MS / SECOND


def test_an_acceptance_in_between_begins_a_new_row(world: World) -> None:
    """A destination that fails now and then is not taken for one that is down."""
    seen = circuit(world)
    fail(world, seen)
    let_time_pass(world, 10 * SECOND)
    fail(world, seen)

    wait = fail(world, seen, delivered_ms=world.at(-1 * SECOND))

    assert wait is None
    assert world.changes() == {"circuit": {"failures": 1, "since_ms": world.now()}}


def test_an_acceptance_before_the_row_does_not_end_it(world: World) -> None:
    """That it worked yesterday says nothing about now."""
    seen = circuit(world)

    waits = [fail(world, seen, delivered_ms=world.at(-1)) for _ in range(FAILURES)]

    assert waits[-1] == FIRST_MS / SECOND


def test_circuits_of_two_queues_are_two(world: World) -> None:
    """One destination's outage is not another's."""
    opened(world)

    other = Circuit(world.client, "fme-2-other", Settings(**SETTINGS), lambda: 1.0)

    assert other.ask().answer == "closed"


# -- how long it waits


@pytest.mark.parametrize(("random", "wait_ms"), [(0.0, 1_000), (0.25, 1_250), (1.0, 2_000)])
def test_the_second_half_of_a_wait_is_random(world: World, random: float, wait_ms: int) -> None:
    """So that the destination is not asked at the same moment for all queues."""
    seen = circuit(world, random=random)

    waits = [fail(world, seen) for _ in range(FAILURES)]

    assert waits[-1] == wait_ms / SECOND


@pytest.mark.parametrize(("random", "share"), [(0.0, 0.5), (1.0, 1.0)])
def test_the_wait_doubles_with_every_failed_probe(
    world: World, random: float, share: float
) -> None:
    """Up to a bound, so that a destination which is well again is found soon."""
    seen = opened(world, random=random)
    waits = [fail(world, seen, probe=probing(world, seen).token) for _ in range(6)]

    assert waits == [share * wait for wait in (4, 8, 16, *3 * [LONGEST_PAUSE_SECONDS])]


def test_a_long_outage_overflows_nothing(world: World) -> None:
    """After any number of openings the wait is the longest one."""
    seen = opened(world)
    world.client.hset(world.shard.keys.circuit, "openings", 5_000)

    wait = fail(world, seen, probe=probing(world, seen).token)

    assert wait == LONGEST_PAUSE_SECONDS
    assert world.changes()["circuit"]["openings"] == 5_001


def test_the_longest_backoff_bounds_a_wait(world: World) -> None:
    """Where an operator wants shorter ones than we would."""
    seen = opened(world, backoff_max_seconds=3)

    waits = [fail(world, seen, probe=probing(world, seen).token) for _ in range(3)]

    assert waits == [3, 3, 3]


@pytest.mark.parametrize(
    ("floor_seconds", "wait"),
    [(0.0, 2.0), (1.5, 2.0), (17.5, 17.5), (LONGEST_PAUSE_SECONDS + 60, 90.0), (10_000.0, 300.0)],
)
def test_what_vwo_asks_for_is_waited_for(world: World, floor_seconds: float, wait: float) -> None:
    """`Retry-After` is a floor, also above our own bound, up to the longest backoff."""
    seen = circuit(world)
    for _ in range(FAILURES - 1):
        fail(world, seen, floor_seconds=floor_seconds)

    assert fail(world, seen, floor_seconds=floor_seconds) == wait
    assert world.changes()["circuit"]["until_ms"] == world.now(round(SECOND * wait))


# -- probes


def test_one_probe_at_a_time(world: World) -> None:
    """Of any number of workers that ask after the wait, the first may send, once."""
    opened(world)
    let_time_pass(world, FIRST_MS)

    probe = world.call(circuit(world).ask)
    changes = world.changes()
    others = [circuit(world).ask() for _ in range(9)]

    assert probe.answer == "probe"
    assert changes == {"circuit": {"probe": probe.token, "probe_until_ms": probe.until_ms}}
    assert others == [Permit("open", probe.until_ms, "")] * 9


def test_a_probe_has_a_requests_time(world: World) -> None:
    """No other probe is let through while the first one's request may still be under way."""
    opened(world)
    let_time_pass(world, FIRST_MS)

    permit = world.call(circuit(world).ask)

    assert permit.until_ms == world.now(PROBE_MS)


def test_a_probe_that_passes_closes_it(world: World) -> None:
    """All that was known of the outage is forgotten."""
    seen = opened(world)
    probe = probing(world, seen)

    closed = world.call(seen.end_probe, probe.token, answered=True)

    assert closed is True
    assert world.changes() == {"circuit": None}
    assert seen.ask().answer == "closed"


def test_after_an_outage_waits_begin_short_again(world: World) -> None:
    """The next outage is another one."""
    seen = opened(world)
    fail(world, seen, probe=probing(world, seen).token)
    seen.end_probe(probing(world, seen).token, answered=True)

    waits = [fail(world, seen) for _ in range(FAILURES)]

    assert waits == [None, None, FIRST_MS / SECOND]


def test_a_probe_that_fails_opens_it_again(world: World) -> None:
    """For twice as long, and the leave to probe is given back."""
    seen = opened(world)
    probe = probing(world, seen)

    wait = fail(world, seen, probe=probe.token)

    assert wait == 2 * FIRST_MS / SECOND
    assert world.changes() == {
        "circuit": {
            "until_ms": world.now(2 * FIRST_MS), "openings": 2, "probe": None, "probe_until_ms": None,
        }
    }  # fmt: skip
    assert seen.ask().answer == "open"


def test_an_acceptance_elsewhere_does_not_spare_a_probe(world: World) -> None:
    """While the circuit is open its probe alone decides."""
    seen = opened(world)

    wait = fail(world, seen, probe=probing(world, seen).token, delivered_ms=world.at(FAR))

    assert wait == 2 * FIRST_MS / SECOND


def test_a_probe_that_came_to_nothing_lets_the_next_one_through(world: World) -> None:
    """Nothing was there to be sent, so nothing is known, and nobody need wait for it."""
    seen = opened(world)
    probe = probing(world, seen)

    closed = world.call(seen.end_probe, probe.token, answered=False)

    assert closed is False
    assert world.changes() == {"circuit": {"probe": None, "probe_until_ms": None}}
    assert seen.ask().answer == "probe"


def test_after_a_probe_that_died_comes_another(world: World) -> None:
    """A worker that is killed while it probes delays the next probe by a request's time."""
    seen = opened(world)
    died = probing(world, seen)
    let_time_pass(world, PROBE_MS - 5 * SECOND)
    early = seen.ask()
    let_time_pass(world, 5 * SECOND)

    probe = seen.ask()

    assert early.answer == "open"
    assert probe.answer == "probe"
    assert probe.token != died.token


# -- whoever comes late


def test_a_failure_of_before_changes_nothing(world: World) -> None:
    """Sends that began before the circuit opened may fail after it: they wait for its probe."""
    seen = opened(world)
    let_time_pass(world, SECOND)

    wait = fail(world, seen, floor_seconds=100)

    assert wait is not None
    assert 0 < wait <= 1
    assert world.changes() == {}


@pytest.mark.parametrize("probe", ["", "another"])
def test_a_late_failure_does_not_speak_for_the_probe(world: World, probe: str) -> None:
    """Neither an ordinary send's, nor that of a probe whose time was over."""
    seen = opened(world)
    probing(world, seen)

    wait = fail(world, seen, probe=probe)

    assert wait == 0.001  # the wait is over, the probe is under way
    assert world.changes() == {}


@pytest.mark.parametrize("answered", [True, False])
def test_a_probe_whose_time_was_over_ends_nothing(world: World, answered: bool) -> None:
    """The circuit is the next one's; what the first one had to say was said of its own batch."""
    seen = opened(world)
    first = probing(world, seen)
    probing(world, seen)

    closed = world.call(seen.end_probe, first.token, answered=answered)

    assert closed is False
    assert world.changes() == {}


def test_a_slow_probe_that_nobody_replaced_counts(world: World) -> None:
    """Its time is over, but there is no other to believe."""
    seen = opened(world)
    probe = probing(world, seen)
    let_time_pass(world, FAR)

    assert seen.end_probe(probe.token, answered=True) is True
    assert seen.ask().answer == "closed"


def test_ending_a_probe_of_a_closed_circuit_tells_that_it_is_closed(world: World) -> None:
    """Somebody else has closed it meanwhile, and failures may even have been counted since."""
    seen = circuit(world)
    assert seen.end_probe("late", answered=True) is True
    fail(world, seen)

    closed = world.call(seen.end_probe, "late", answered=True)

    assert closed is True
    assert world.changes() == {}


def test_a_probe_of_a_circuit_that_was_forgotten_is_an_ordinary_send(world: World) -> None:
    """Its failure is the first of a new row."""
    seen = circuit(world)

    wait = fail(world, seen, probe="forgotten")

    assert wait is None
    assert world.changes() == {"circuit": {"failures": 1, "since_ms": world.now()}}


# -- clocks, and what is left behind


def test_a_clock_that_stepped_back_lets_a_probe_through(world: World) -> None:
    """A wait that ends further ahead than any wait lasts is over; and still one probe at a time."""
    seen = opened(world)
    let_time_pass(world, -FAR)

    permits = [seen.ask() for _ in range(3)]

    assert [permit.answer for permit in permits] == ["probe", "open", "open"]


def test_a_clock_that_stepped_back_does_not_keep_a_dead_probes_leave(world: World) -> None:
    """Nor does a leave to probe that ends further ahead than one lasts."""
    seen = opened(world)
    died = probing(world, seen)
    let_time_pass(world, -2 * FAR)

    permits = [seen.ask() for _ in range(3)]

    assert [permit.answer for permit in permits] == ["probe", "open", "open"]
    assert permits[0].token != died.token


@pytest.mark.parametrize("floor_seconds", [None, 10_000.0])
def test_the_longest_wait_is_no_step_of_the_clock(
    world: World, floor_seconds: float | None
) -> None:
    """As long as the settings allow to wait, it is waited."""
    seen = circuit(world, circuit_failures=1)
    fail(world, seen, floor_seconds=floor_seconds)

    assert seen.ask().answer == "open"


def test_what_is_known_of_a_destination_is_forgotten(world: World) -> None:
    """Failures after an hour, an open circuit later than its wait, so that no key is left for good."""
    seen, key = circuit(world), world.shard.keys.circuit
    waits = count(1)
    while fail(world, seen, floor_seconds=200) is None:
        assert 0 < world.client.pttl(key) <= HOUR
        assert next(waits) < FAILURES
    assert 200 * SECOND < world.client.pttl(key) <= HOUR + 200 * SECOND

    world.client.pexpire(key, SECOND)  # long after, and yet somebody comes
    probing(world, seen)

    assert PROBE_MS < world.client.pttl(key) <= HOUR


def test_redis_that_does_not_answer_is_told_as_such(world: World) -> None:
    """Every method says what was tried."""
    gone: Any = redis_py.Redis(port=1, retry=Retry(NoBackoff(), 0))
    seen = Circuit(gone, QUEUE, Settings(**SETTINGS), lambda: 1.0)

    with pytest.raises(QueueUnavailable, match=QUEUE):
        seen.ask()
    with pytest.raises(QueueUnavailable, match=QUEUE):
        seen.note_failure(delivered_ms=0, floor_seconds=None, probe="")
    with pytest.raises(QueueUnavailable, match=QUEUE):
        seen.end_probe("probe", answered=True)
