"""One shard's life, as Hypothesis makes it up: every kind of step that anybody may take.

Producers repeat pushes, other programs push and delete, limits change under way, workers die, come
late and settle twice, the clock runs on and steps back. Each step is taken in Redis and in the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from lua.comparison import Comparison
from lua.reference import Model, ModelBatch
from lua.world import NAMESPACE, QUEUE
from msgspec.structs import replace

from vwo_celery import store
from vwo_celery.marks import Mark, push_token
from vwo_celery.snapshots import take_snapshot
from vwo_celery.store import Batch, Limits, Shard

STEPS = 40

# Every span ends in five seconds and every step of the clock in none, so that no comparison of two
# times hangs on the milliseconds that the test itself takes.
SECOND = 1_000
LEASE_SECONDS = 25
DELAYS_SECONDS = (0, 15, 45)
INTERVAL_MS = 35 * SECOND
SLOT_TTL_MS = 15 * SECOND
HORIZON_MS = 205 * SECOND
IDLE_MS = 55 * SECOND
PASSES_SECONDS = (10, 20, 40, 300)
STEP_BACK_SECONDS = -1_000

BATCH_BYTES = 60
#: Rounds of sweep and delivery within which whatever a shard holds must be gone.
MOST_ROUNDS = 20

event_sizes = st.lists(st.sampled_from([6, 6, 6, 9, 20, 45, 59, 60, 75]), min_size=1, max_size=9)
producers = st.integers(0, 2)
chances = st.integers(0, 2**16)
limits = st.builds(
    Limits,
    events_per_request=st.integers(1, 6),
    interval_ms=st.sampled_from([INTERVAL_MS, 25 * SECOND]),
    batch_bytes=st.just(BATCH_BYTES),
    capacity_events=st.sampled_from([12, 40, 1_000]),
    capacity_bytes=st.sampled_from([400, 100_000]),
    parallel=st.integers(1, 3),
    slot_ttl_ms=st.just(SLOT_TTL_MS),
)


class ShardLife(RuleBasedStateMachine):
    """One shard's life, in Redis and in the model."""

    client: Any

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.shard = Shard(self.client, NAMESPACE, QUEUE, 0)
        self.shard.load_push()
        self.marks = [Mark(f"mark{i}") for i in range(3)]
        self.knows: list[Limits] = []
        self.last_pushes: list[tuple[int, int, list[bytes], int]] = []
        self.claims: list[tuple[Batch, str]] = []
        self.tokens = [""]
        self.pushed: Counter[bytes] = Counter()
        self.delivered: Counter[bytes] = Counter()
        self.gone: Counter[bytes] = Counter()
        self.made = 0
        self.watched = False

    @initialize(given=limits)
    def register_first(self, given: Limits) -> None:
        """A producer registers the queue."""
        self.model = Model(given)
        self.pair = Comparison(self.shard, self.model)
        self.knows = [given] * 3
        self.shard.set_limits(given)

    # -- producers

    @rule(who=producers, sizes=event_sizes)
    def push(self, who: int, sizes: list[int]) -> None:
        """A producer pushes with as many names as its own limits call for."""
        self._push_new(who, sizes, lambda events: store.names_needed(self.knows[who], events))

    @rule(who=producers, sizes=event_sizes)
    def push_with_names_to_spare(self, who: int, sizes: list[int]) -> None:
        """A producer pushes as it does after it was told that it gave too few names."""
        self._push_new(who, sizes, lambda events: len(events) + 1)

    @rule(who=producers, size=st.sampled_from([6, 9, 20, 60]), answered=st.booleans())
    def append(self, who: int, size: int, answered: bool) -> None:
        """A producer stores one event the short way, and the general way where it must.

        It must also where the answer to the short way was lost.
        """
        events = self._events([size])
        self.marks[who].sequence += 1
        mark = self.marks[who]
        if self.shard.append(mark, events[0]):
            now, names = self.pair.now(), [push_token(mark), "unused"]
            expected = self.model.push(mark.id, mark.sequence, events, names, now)
            assert (expected.code, expected.sealed, expected.wakeups) == (store.STORED, 0, 0)
            assert self.watched
            self.pushed.update(events)
            if answered:
                return
        self.last_pushes = [*self.last_pushes[-4:], (who, mark.sequence, events, 2)]
        self._push(who, mark.sequence, events, 2)

    @precondition(lambda self: self.last_pushes)
    @rule(chance=chances)
    def push_again(self, chance: int) -> None:
        """A producer whose answer was lost repeats its push."""
        who, sequence, events, names = self.last_pushes[chance % len(self.last_pushes)]
        self._push(who, sequence, events, names)

    @rule(who=producers, given=limits)
    def register(self, who: int, given: Limits) -> None:
        """A producer that starts anew registers its own limits; the others keep what they knew."""
        self.knows[who] = given
        self.model.limits = given
        self.shard.set_limits(given)

    # -- other programs

    @rule(sizes=event_sizes)
    def push_foreign(self, sizes: list[int]) -> None:
        """A program in another language pushes onto the open list."""
        events = self._events(sizes)
        self.client.lpush(self.shard.keys.open, *events)
        self.model.open += events
        self.pushed.update(events)

    @precondition(lambda self: self.model.open)
    @rule(everything=st.booleans())
    def take_out(self, everything: bool) -> None:
        """Somebody pops an event, or deletes the list."""
        if everything:
            self.client.delete(self.shard.keys.open)
        else:
            self.client.rpop(self.shard.keys.open)
        count = len(self.model.open) if everything else 1
        taken, self.model.open = self.model.open[:count], self.model.open[count:]
        self.gone.update(taken)

    @rule()
    def flush_scripts(self) -> None:
        """The server forgets its scripts."""
        self.client.script_flush()
        self.shard.load_push()

    # -- triggers

    @rule(force=st.booleans())
    def sweep_once(self, force: bool) -> None:
        """Somebody sweeps."""
        self.sweep(force=force)

    def sweep(self, *, force: bool) -> bool:
        """Sweep both; whether another sweep would seal more."""
        now = self.pair.now()
        swept = self.shard.sweep(force=force, horizon_ms=HORIZON_MS, idle_ms=IDLE_MS)
        expected = self.model.sweep(swept.token, now, force=force, horizon=HORIZON_MS)
        assert swept.sealed == expected.sealed
        assert swept.wakeups == expected.wakeups
        assert swept.more == expected.more
        if self.model.open or self.model.of("ready") or self.model.of("leases"):
            assert not swept.idle
        self._note_tokens(swept.token, swept.wakeups)
        return bool(swept.more)

    @rule()
    def unwatch(self) -> None:
        """A sweep forgets the shard."""
        held = self.model.open or self.model.of("ready") or self.model.of("leases")
        assert self.shard.unwatch() is not bool(held)
        self.watched = self.watched and bool(held)

    # -- workers

    @rule(chance=chances)
    def claim_one(self, chance: int) -> None:
        """A worker claims, with a wake-up that may be old, or without any."""
        self.claim(chance)

    def claim(self, chance: int) -> bool:
        """Claim in both; False if there was nothing to claim."""
        token = self.tokens[chance % len(self.tokens)]
        now, order = self.pair.now(), self.pair.claim_order()
        before = self.model.in_flight(now)
        batch = self.shard.claim(token=token, lease_seconds=LEASE_SECONDS)
        help_token = batch.help_token if batch else ""
        expected, wakeups = self.model.claim(order, token, help_token, now, LEASE_SECONDS * SECOND)
        assert (batch.id if batch else None) == (expected.id if expected else None)
        if batch is None or expected is None:
            return False
        assert before < self.model.limits.parallel
        assert batch.wakeups == wakeups
        assert (batch.attempt, batch.lost_leases) == (expected.attempt, expected.lost)
        assert self.shard.read(batch) == list(expected.events)
        self._check_order(expected)
        self._note_tokens(batch.help_token, batch.wakeups)
        self.claims.append((batch, token))
        return True

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def ack(self, chance: int) -> None:
        """A worker, current or not, learns that VWO accepted."""
        batch, _ = self.claims[chance % len(self.claims)]
        held = self.model.batches.get(batch.id)
        assert self.shard.ack(batch.id) is self.model.ack(batch.id)
        if held:
            self.delivered.update(held.events)

    @precondition(lambda self: self.claims)
    @rule(chance=chances, delay=st.sampled_from(DELAYS_SECONDS))
    def release(self, chance: int, delay: int) -> None:
        """A worker, current or not, gives its batch back."""
        batch, _ = self.claims[chance % len(self.claims)]
        error, at = f"HTTP 503: later\n{chance}", self.pair.now() + delay * SECOND
        released = self.shard.release(batch, delay_seconds=delay, error=error)
        assert released is self.model.release(batch.id, batch.attempt, at, error)

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def extend(self, chance: int) -> None:
        """A worker, current or not, asks for more time."""
        batch, token = self.claims[chance % len(self.claims)]
        until = self.pair.now() + LEASE_SECONDS * SECOND
        extended = self.shard.extend(batch, lease_seconds=LEASE_SECONDS, token=token)
        assert extended is self.model.extend(batch.id, batch.attempt, token, until)

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def dead_letter(self, chance: int) -> None:
        """A worker, current or not, gives its batch up."""
        batch, _ = self.claims[chance % len(self.claims)]
        now = self.pair.now()
        died = self.shard.dead_letter(batch, error="too old")
        assert died is self.model.dead_letter(batch.id, batch.attempt, now, "too old")

    # -- the operator, and time

    @precondition(lambda self: self.pair.frozen)
    @rule(chance=chances)
    def redrive(self, chance: int) -> None:
        """An operator redrives a batch that may be dead, or not."""
        name, now = self._some_batch(chance), self.pair.now()
        assert self.shard.redrive(name) == self.model.redrive(name, now)

    @precondition(lambda self: self.pair.frozen)
    @rule(chance=chances)
    def purge(self, chance: int) -> None:
        """An operator purges a batch that may be dead, or not."""
        name = self._some_batch(chance)
        held = self.model.batches.get(name)
        purged = self.model.purge(name)
        assert self.shard.purge(name) == purged
        if purged and held:
            self.gone.update(held.events)

    @rule()
    def pause_or_resume(self) -> None:
        """An operator pauses the queue, or ends the pause."""
        if self.model.paused:
            assert self.shard.resume()
        else:
            self.shard.pause("401")
        self.model.paused = not self.model.paused

    @rule(seconds=st.sampled_from([*PASSES_SECONDS, STEP_BACK_SECONDS]))
    def let_time_pass(self, seconds: int) -> None:
        """Time passes, or Redis' clock steps back: every stored time moves the other way."""
        self.pair.let_time_pass(seconds * SECOND)

    # -- what must hold after every step

    @invariant()
    def redis_is_what_the_model_says(self) -> None:
        """Every key of the database, but for the mark's time to live."""
        self.pair.check()

    @invariant()
    def every_event_is_in_one_place(self) -> None:
        """Open, in one batch, delivered, or taken away by somebody: never nowhere, never twice."""
        placed = Counter(self.model.open)
        for batch in self.model.batches.values():
            placed.update(batch.events)
        assert placed + self.delivered + self.gone == self.pushed
        assert set(self.pushed.values()) <= {1}

    @invariant()
    def the_ledger_balances(self) -> None:
        """At every moment, but where events were taken out and no sweep has seen it yet."""
        snapshot = take_snapshot(self.shard)
        if len(self.model.open) >= self.model.counted:
            assert snapshot.balanced
        assert snapshot.events("dead") == self.model.counters.get("dead", 0)
        assert snapshot.delivered == sum(self.delivered.values())

    def teardown(self) -> None:
        """At the end of every life all that is left can be delivered, in bounded steps."""
        if not hasattr(self, "model"):
            return
        if self.model.paused:
            self.pause_or_resume()
        self.register(0, replace(self.model.limits, parallel=3))
        for name in [batch.id for batch in self.model.of("dead")]:
            assert self.shard.redrive(name) == self.model.redrive(name, self.pair.now())
        rounds = 0
        while self.model.open or self.model.batches:
            self.let_time_pass(PASSES_SECONDS[-1])
            while self.sweep(force=False):
                pass
            while self.claim(0):
                self.ack(len(self.claims) - 1)
            rounds += 1
            assert rounds < MOST_ROUNDS
        self.sweep(force=False)
        self.redis_is_what_the_model_says()
        self.every_event_is_in_one_place()
        self.the_ledger_balances()

    # -- arms

    def _push_new(self, who: int, sizes: list[int], names: Callable[[list[bytes]], int]) -> None:
        events = self._events(sizes)
        self.marks[who].sequence += 1
        sequence, count = self.marks[who].sequence, names(events)
        self.last_pushes = [*self.last_pushes[-4:], (who, sequence, events, count)]
        self._push(who, sequence, events, count)

    def _push(self, who: int, sequence: int, events: list[bytes], names: int) -> None:
        mark = Mark(self.marks[who].id, sequence)
        command, now = self.shard.push_command(mark, events, names), self.pair.now()
        pushed = self.shard.push(command)
        stem = push_token(mark)
        batches = [stem, *(f"{stem}.{i:04d}" for i in range(1, names))]
        expected = self.model.push(mark.id, sequence, events, batches, now)
        assert pushed.code == expected.code
        assert (pushed.sealed, pushed.wakeups) == (expected.sealed, expected.wakeups)
        if pushed.code == store.STORED:
            self.pushed.update(events)
            assert pushed.watch == (not self.watched)
        if pushed.watch:  # the producer makes the shard known, and leaves a note of that
            self.client.hsetnx(self.shard.keys.meta, "watched", 1)
            self.watched = True
        self._note_tokens(push_token(mark), pushed.wakeups)

    def _events(self, sizes: list[int]) -> list[bytes]:
        """Events of these sizes, each with a number of its own."""
        made = []
        for size in sizes:
            self.made += 1
            made.append(b"%05d" % self.made + b"x" * (size - 6))
        return made

    def _note_tokens(self, stem: str, count: int) -> None:
        self.tokens += [f"{stem}:{i + 1}" for i in range(count)]
        self.tokens = ["", *self.tokens[-5:]]

    def _some_batch(self, chance: int) -> str:
        names = [batch.id for batch in self.model.of("dead")] or sorted(self.pair.frozen)
        return names[chance % len(names)]

    def _check_order(self, claimed: ModelBatch) -> None:
        """Batches that never were given back leave in the order in which they were sealed."""
        if claimed.returned or claimed.attempt > 1:
            return
        for other in self.model.of("ready"):
            if not other.returned and other.at <= claimed.sealed - SECOND:
                assert other.order > claimed.order


def live(client: Any, examples: int) -> None:
    """Run so many random lives, and shrink the first that goes wrong to its shortest form."""

    class Life(ShardLife):
        pass

    Life.client = client
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
