"""A circuit compared with its model: workers ask, fail, probe, die and come late, in any order.

After every step Redis must hold what the model says, and at most one probe may be running.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import redis as redis_py
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lua.clock import Clock, own_clock
from lua.lives import lives_of_a_model
from lua.world import NAMESPACE, QUEUE
from vwo_celery import Settings
from vwo_celery.queue.holding.circuit import LONGEST_PAUSE_SECONDS, Circuit
from vwo_celery.queue.words.keys import shard_keys

LIVES = 60
STEPS = 30

SECOND = 1_000
#: Longest time by which a wait may have been given in the future and is believed.
SLIP_MS = 1_000
FAILURES, PROBE_SECONDS, MOST_FLOOR_SECONDS = 2, 25, 100

SETTINGS: dict[str, Any] = {
    "namespace": NAMESPACE, "circuit_failures": FAILURES, "backoff_base_seconds": 1,
    "backoff_max_seconds": MOST_FLOOR_SECONDS, "request_timeout_seconds": PROBE_SECONDS - 5,
}  # fmt: skip

chances = st.integers(0, 20)


@dataclass
class Known:
    """The state of a destination; times in ms by the model's clock, 0 for none."""

    failures: int = 0
    since: int = 0
    until: int = 0
    opened: int = 0
    openings: int = 0
    probe: str = ""
    probe_until: int = 0
    probed: int = 0


class CircuitLife(RuleBasedStateMachine):
    """One circuit's life, in Redis and in the model."""

    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.client = self.clock.client
        self.clock.empty()
        self.key = shard_keys(NAMESPACE, QUEUE, 0).circuit
        self.known: Known | None = None
        self.tokens = ["never a probe"]
        self.out: dict[str, int] = {}

    def circuit(self, random: float = 0.0) -> Circuit:
        """The circuit as any worker uses it."""
        return Circuit(self.client, QUEUE, Settings(**SETTINGS), lambda: random)

    # -- steps

    @rule()
    def ask(self) -> None:
        """A worker asks whether it may send."""
        now, known = self.clock.tick(), self.known
        permit = self.circuit().ask()
        if known is None or not known.until:
            assert (permit.answer, permit.token) == ("closed", "")
            return
        waits = ((known.until, known.opened), (known.probe_until, known.probed))
        wait_until = max((until for until, given in waits if given <= now + SLIP_MS), default=0)
        if wait_until > now:
            assert (permit.answer, permit.token) == ("open", "")
            assert permit.until_ms == wait_until
            return
        assert permit.answer == "probe"
        known.probe, known.probed = permit.token, now
        known.probe_until = now + PROBE_SECONDS * SECOND
        self.tokens = [*self.tokens[-3:], permit.token]
        self.out[permit.token] = known.probe_until

    @rule(
        random=st.sampled_from([0.0, 1.0]),
        delivered_seconds=st.sampled_from([None, 7, 500]),
        floor_seconds=st.sampled_from([None, 17.0, 1_000.0]),
    )
    def fail(
        self, random: float, delivered_seconds: int | None, floor_seconds: float | None
    ) -> None:
        """An ordinary send fails; VWO may have accepted another one since."""
        self._fail(random, delivered_seconds, floor_seconds, "")

    @precondition(lambda self: len(self.tokens) > 1)
    @rule(random=st.sampled_from([0.0, 1.0]), chance=chances)
    def fail_probing(self, random: float, chance: int) -> None:
        """A probe fails, in time or late."""
        self._fail(random, None, None, self.tokens[-1 - chance % len(self.tokens)])

    def _fail(
        self, random: float, delivered_seconds: int | None, floor_seconds: float | None, probe: str
    ) -> None:
        now = self.clock.tick()
        delivered = 0 if delivered_seconds is None else now - delivered_seconds * SECOND
        wait = self.circuit(random).note_failure(
            delivered_ms=delivered, floor_seconds=floor_seconds, probe=probe
        )
        expected = self._expected_wait(now, delivered, probe, random, floor_seconds)
        assert wait == expected
        self.out.pop(probe, None)

    def _expected_wait(
        self, now: int, delivered: int, probe: str, random: float, floor_seconds: float | None
    ) -> float | None:
        """Seconds until the next probe; changes the model accordingly."""
        known = self.known = self.known or Known(since=now)
        if known.until and (not probe or probe != known.probe):
            return max(0.001, (known.until - max(now, known.opened)) / SECOND)
        if not known.until:
            known.failures += 1
            if delivered > known.since:
                known.failures, known.since = 1, now
            if known.failures < FAILURES:
                return None
        longest = min(LONGEST_PAUSE_SECONDS, math.ldexp(2.0, known.openings))
        wait = max(longest * (0.5 + random / 2), min(floor_seconds or 0.0, MOST_FLOOR_SECONDS))
        known.opened, known.until = now, now + int(SECOND * wait)
        known.openings += 1
        self._forget_probe(known)
        return wait

    @rule(chance=chances, answered=st.booleans())
    def end_probe(self, chance: int, answered: bool) -> None:
        """A probe succeeds or finds nothing to send, in time or late."""
        probe = self.tokens[-1 - chance % len(self.tokens)]
        closed = self.circuit().end_probe(probe, answered=answered).closed
        self.out.pop(probe, None)
        if self.known and self.known.probe == probe:
            if answered:
                self.known = None
            else:
                self._forget_probe(self.known)
        assert closed is (self.known is None or not self.known.until)

    @rule(seconds=st.sampled_from([1, 5, 30, 200, -10_000]))
    def let_time_pass(self, seconds: int) -> None:
        """Time passes, or Redis' clock steps back."""
        self.clock.move(seconds * SECOND)
        if seconds < 0:
            self.out.clear()  # every earlier probe has expired, by any clock

    @rule(past_ms=st.sampled_from([-1, 0, 1]))
    def reach(self, past_ms: int) -> None:
        """Time passes until the circuit's next wait ends, or just before or after."""
        ends = (self.known.until, self.known.probe_until) if self.known else ()
        ahead = [at - self.clock.ms for at in ends if at > self.clock.ms + 1]
        if ahead:
            self.clock.move(min(ahead) + past_ms - 1)  # and a step's tick

    @rule()
    def flush_scripts(self) -> None:
        """The server forgets its scripts."""
        self.client.script_flush()

    # -- invariants after every step

    @invariant()
    def redis_is_what_the_model_says(self) -> None:
        """Every field of the circuit's key equals the model's."""
        stored = {
            name.decode(): text.decode() for name, text in self.client.hgetall(self.key).items()
        }
        known = self.known or Known()
        numbers = (int(stored.pop("failures", 0)), int(stored.pop("openings", 0)))
        assert numbers == (known.failures, known.openings)
        assert stored.pop("probe", "") == known.probe
        times = [("since_ms", known.since), ("until_ms", known.until)]
        times += [("opened_ms", known.opened), ("probed_ms", known.probed)]
        for name, at in [*times, ("probe_until_ms", known.probe_until)]:
            assert (name in stored) is bool(at)
            assert int(stored.pop(name, 0)) == at
        assert stored == {}

    @invariant()
    def one_probe_at_a_time(self) -> None:
        """At most one of all allowed probes is neither ended nor expired."""
        now = self.clock.ms
        assert sum(until > now for until in self.out.values()) <= 1

    def _forget_probe(self, known: Known) -> None:
        known.probe, known.probe_until, known.probed = "", 0, 0


def test_a_circuit_does_what_the_model_says(redis: redis_py.Redis) -> None:
    """A circuit equals its model, whatever workers and the clock do, in any order."""

    class Life(CircuitLife):
        pass

    with own_clock(redis) as Life.clock:
        examples = lives_of_a_model(LIVES)
        run_state_machine_as_test(
            Life, settings=settings(max_examples=examples, stateful_step_count=STEPS, deadline=None)
        )

    redis.flushdb()
