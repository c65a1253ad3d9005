"""permit.lua and mend.lua: one probe at a time may send, and only it closes an open circuit."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from lua.circuits import (
    FAILURES,
    FAR,
    FIRST_MS,
    HOUR,
    PROBE_MS,
    SECOND,
    SETTINGS,
    circuit,
    fail,
    let_time_pass,
    opened,
    probing,
)
from lua.world import QUEUE, World
from vwo_celery import Settings
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.holding.circuit import Circuit, Permit

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
