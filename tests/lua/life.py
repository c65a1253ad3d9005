"""One shard's life, as Hypothesis makes it up: every kind of step that anybody may take.

Producers repeat pushes, other programs push and delete, limits change under way, workers die, come
late and settle twice, the clock runs on and steps back. Each step is taken in Redis and in the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

from lua.comparison import Comparison
from lua.reference import Model, ModelBatch
from lua.world import NAMESPACE, QUEUE
from vwo_celery.queue.answers import DUPLICATE, NOT_REGISTERED, STORED
from vwo_celery.queue.batches import Batch, Limits
from vwo_celery.queue.marks import Mark, push_token
from vwo_celery.queue.pushes import names_needed
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.snapshots import take_snapshot

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
    capacity_bytes=st.sampled_from([400, 5_000]),
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
        self.marks: list[Mark] = []
        self.marks_made = 0
        self.acknowledged: Counter[str] = Counter()
        self.knows: list[Limits] = []
        self.last_pushes: list[tuple[Mark, list[bytes], int]] = []
        self.claims: list[tuple[Batch, str]] = []
        self.leases_end: dict[str, int] = {}
        self.tokens = [""]
        self.pushed: Counter[bytes] = Counter()
        self.delivered: Counter[bytes] = Counter()
        self.gone: Counter[bytes] = Counter()
        self.made = 0
        self.redis_lost = 0
        self.watched = False

    @initialize(given=limits)
    def register_first(self, given: Limits) -> None:
        """A producer registers the queue."""
        self.model = Model(given, self.shard.set_limits(given))
        self.pair = Comparison(self.shard, self.model)
        self.knows = [given] * 3
        self.marks = [self._new_mark() for _ in range(3)]

    # -- producers

    @rule(who=producers, sizes=event_sizes)
    def push(self, who: int, sizes: list[int]) -> None:
        """A producer pushes with as many names as its own limits call for."""
        self._push_new(who, sizes, lambda events: names_needed(self.knows[who], events))

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
        mark = self._take_mark(who, 1)
        stored = self.shard.append(mark, events[0])
        if stored:
            expected = self.model.push(mark, events, [push_token(mark), "unused"], self.pair.now())
            assert (expected.code, expected.sealed, expected.wakeups) == (STORED, 0, 0)
            assert self.watched
            self._note_stored(mark, events)
        if not (stored and answered):
            self._push(who, mark, events, 2)

    @precondition(lambda self: self.last_pushes)
    @rule(chance=chances)
    def push_again(self, chance: int) -> None:
        """A producer whose answer was lost repeats its push; or what it repeated long ago arrives."""
        mark, events, names = self.last_pushes[chance % len(self.last_pushes)]
        mark.doubt()
        self._send(mark, events, names)

    @rule(who=producers, given=limits)
    def register(self, who: int, given: Limits) -> None:
        """A producer registers limits of its own; the others keep what they knew."""
        self.knows[who] = given
        self.register_again(who)

    def register_again(self, who: int) -> None:
        """A producer writes its limits, and begins with a new mark where Redis forgot it."""
        self.model.limits = self.knows[who]
        known = self.marks[who].life
        assert self.shard.set_limits(self.knows[who], known_life=known) == self.model.life
        if known != self.model.life:
            self.model.forgotten = True
            self.marks[who] = self._new_mark()

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

    def claim(self, chance: int, *, probe: bool = False) -> bool:
        """Claim in both; False if there was nothing to claim."""
        token = self.tokens[chance % len(self.tokens)]
        now, order = self.pair.now(), self.pair.claim_order()
        before = self.model.in_flight(now)
        batch = self.shard.claim(token=token, lease_seconds=LEASE_SECONDS, probe=probe)
        help_token = batch.help_token if isinstance(batch, Batch) else ""
        expected, wakeups = self.model.claim(
            order, token, help_token, now, LEASE_SECONDS * SECOND, probe=probe
        )
        if not isinstance(batch, Batch) or not isinstance(expected, ModelBatch):
            assert batch is expected  # nothing, or held
            return False
        assert batch.id == expected.id
        assert before < self.model.limits.parallel
        assert batch.wakeups == wakeups
        assert (batch.attempt, batch.lost_leases) == (expected.attempt, expected.lost)
        assert self.shard.read(batch) == list(expected.events)
        self._check_order(expected)
        self._note_tokens(batch.help_token, batch.wakeups)
        self._note_lease(expected, batch, batch.lease_until_ms)
        self.claims.append((batch, token))
        return True

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def ack(self, chance: int) -> None:
        """A worker, current or not, learns that VWO accepted."""
        self._ack(self._some_claim(chance)[0])

    def _ack(self, batch: Batch) -> None:
        held = self.model.batches.get(batch.id)
        assert self.shard.ack(batch.id) is self.model.ack(batch.id)
        if held:
            self.delivered.update(held.events)

    @precondition(lambda self: self.claims)
    @rule(chance=chances, delay=st.sampled_from(DELAYS_SECONDS))
    def release(self, chance: int, delay: int) -> None:
        """A worker, current or not, gives its batch back."""
        batch, _ = self._some_claim(chance)
        error, at = f"HTTP 503: later\n{chance}", self.pair.now() + delay * SECOND
        released = self.shard.release(batch, delay_seconds=delay, error=error)
        assert released is self.model.release(batch.id, batch.attempt, at, error)

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def extend(self, chance: int) -> None:
        """A worker, current or not, asks for more time."""
        batch, token = self._some_claim(chance)
        until = self.pair.now() + LEASE_SECONDS * SECOND
        extended = self.shard.extend(batch, lease_seconds=LEASE_SECONDS, token=token)
        assert bool(extended) is self.model.extend(batch.id, batch.attempt, token, until)
        if extended:
            self._note_lease(self.model.batches[batch.id], batch, extended)

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def dead_letter(self, chance: int) -> None:
        """A worker, current or not, gives its batch up."""
        batch, _ = self._some_claim(chance)
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
        self.shard.let_go()
        self.model.held_until = None
        self.register(0, replace(self.model.limits, parallel=3))
        for name in [batch.id for batch in self.model.of("dead")]:
            assert self.shard.redrive(name) == self.model.redrive(name, self.pair.now())
        rounds = 0
        while self.model.open or self.model.batches:
            self.let_time_pass(PASSES_SECONDS[-1])
            while self.sweep(force=False):
                pass
            while self.claim(0):
                self._ack(self.claims[-1][0])
            rounds += 1
            assert rounds < MOST_ROUNDS
        self.sweep(force=False)
        self.redis_is_what_the_model_says()
        self.every_event_is_in_one_place()
        self.the_ledger_balances()

    # -- arms

    def _push_new(self, who: int, sizes: list[int], names: Callable[[list[bytes]], int]) -> None:
        events = self._events(sizes)
        self._push(who, self._take_mark(who, len(events)), events, names(events))

    def _new_mark(self) -> Mark:
        self.marks_made += 1
        return Mark(f"mark{self.marks_made}", life=self.model.life)

    def _take_mark(self, who: int, events: int) -> Mark:
        self.marks[who].sequence += events
        self.marks[who].events = events
        return deepcopy(self.marks[who])

    def _push(self, who: int, mark: Mark, events: list[bytes], names: int) -> None:
        """Push, and do with the mark what the answer asks for."""
        code = self._send(mark, events, names)
        if code in (STORED, DUPLICATE):
            self.last_pushes = [*self.last_pushes[-4:], (mark, events, names)]
        else:
            self.marks[who].sequence -= len(events)
        if code == NOT_REGISTERED:
            self.register_again(who)

    def _send(self, mark: Mark, events: list[bytes], names: int) -> int:
        command, now = self.shard.push_command(mark, events, names), self.pair.now()
        seen = int(self.client.get(self.shard.keys.mark(mark.id)) or 0)
        pushed = self.shard.push(command)
        stem = push_token(mark)
        batches = [stem, *(f"{stem}.{i:04d}" for i in range(1, names))]
        expected = self.model.push(mark, events, batches, now)
        assert pushed.code == expected.code
        assert (pushed.sealed, pushed.wakeups) == (expected.sealed, expected.wakeups)
        if pushed.code == STORED:
            lost_before = self.redis_lost
            self._note_stored(mark, events)
            assert self.redis_lost - lost_before == self.acknowledged[mark.id] - len(events) - seen
            assert pushed.watch == (not self.watched)
        if pushed.watch:  # the producer makes the shard known, and leaves a note of that
            self.client.hsetnx(self.shard.keys.meta, "watched", 1)
            self.watched = True
        self._note_tokens(push_token(mark), pushed.wakeups)
        return pushed.code

    def _note_stored(self, mark: Mark, events: list[bytes]) -> None:
        """What the producer is told: that all it pushed under the mark so far is stored."""
        self.pushed.update(events)
        self.acknowledged[mark.id] = max(self.acknowledged[mark.id], mark.sequence)
        self.redis_lost = int(self.client.hget(self.shard.keys.meta, "dropped:redis_lost") or 0)

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

    def _some_claim(self, chance: int) -> tuple[Batch, str]:
        """What one worker has claimed, and its wake-up; mostly somebody still holds that batch."""
        leased = {batch.id for batch in self.model.of("leases")}
        held = [each for each in self.claims if each[0].id in leased]
        claims = held if held and chance % 4 else self.claims
        return claims[chance // 4 % len(claims)]

    def _note_lease(self, leased: ModelBatch, batch: Batch, until_ms: int) -> None:
        """Remember when a worker's lease ends, to the millisecond, by the clock of the model."""
        leased.lease = self.leases_end[batch.help_token] = until_ms + self.pair.passed_ms

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
