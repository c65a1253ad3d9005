"""The scripts against a model of them, over long random lives of one shard.

Producers repeat pushes, other programs push and delete, limits change under way, workers die, come
late and settle twice, the clock runs on and steps back. After every step all of Redis must be what
the model says, and what the design promises must hold of Redis alone.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import redis as redis_py
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
from lua.reference import Model, ModelBatch
from lua.world import NAMESPACE, QUEUE
from msgspec.structs import replace

from vwo_celery import store
from vwo_celery.snapshots import take_snapshot
from vwo_celery.store import Batch, Limits, Mark, Shard

#: More lives than the suite has time for: MODEL_EXAMPLES=5000 pytest tests/lua/test_model.py
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "150"))
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
TOLERANCE_MS = 4 * SECOND

BATCH_BYTES = 60
Result = TypeVar("Result")

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

    client: redis_py.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.shard = Shard(self.client, NAMESPACE, QUEUE, 0)
        self.shard.load_push()
        self.passed_ms = 0
        self.marks = [Mark(f"mark{i}") for i in range(3)]
        self.knows: list[Limits] = []
        self.last_pushes: list[tuple[int, int, list[bytes], int]] = []
        self.claims: list[tuple[Batch, str]] = []
        self.tokens = [""]
        self.pushed: Counter[bytes] = Counter()
        self.delivered: Counter[bytes] = Counter()
        self.gone: Counter[bytes] = Counter()
        self.names_seen: set[str] = set()
        self.frozen: dict[str, list[bytes]] = {}

    @initialize(given=limits)
    def register_first(self, given: Limits) -> None:
        """A producer registers the queue."""
        self.model = Model(given)
        self.knows = [given] * 3
        self.shard.set_limits(self.client, given)

    # -- producers

    @rule(who=producers, sizes=event_sizes)
    def push(self, who: int, sizes: list[int]) -> None:
        """A producer pushes with as many names as its own limits call for."""
        self._push_new(who, sizes, lambda events: store.names_needed(self.knows[who], events))

    @rule(who=producers, sizes=event_sizes)
    def push_with_names_to_spare(self, who: int, sizes: list[int]) -> None:
        """A producer pushes as it does after it was told that it gave too few names."""
        self._push_new(who, sizes, lambda events: len(events) + 1)

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
        self.shard.set_limits(self.client, given)

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
    def sweep(self, force: bool) -> None:
        """Somebody sweeps."""
        now = self._now()
        swept = self.shard.sweep(force=force, horizon_ms=HORIZON_MS, idle_ms=IDLE_MS)
        expected = self.model.sweep(swept.token, now, force=force, horizon=HORIZON_MS)
        assert swept.sealed == expected.sealed
        assert swept.wakeups == expected.wakeups
        assert swept.more == expected.more
        if self.model.open or self.model.of("ready") or self.model.of("leases"):
            assert not swept.idle
        self._note_tokens(swept.token, swept.wakeups)

    @rule()
    def unwatch(self) -> None:
        """A sweep forgets the shard."""
        held = self.model.open or self.model.of("ready") or self.model.of("leases")
        assert self.shard.unwatch() is not bool(held)

    # -- workers

    @rule(chance=chances)
    def claim(self, chance: int) -> None:
        """A worker claims, with a wake-up that may be old, or without any."""
        token = self.tokens[chance % len(self.tokens)]
        now, order = self._now(), self._claim_order()
        before = self.model.in_flight(now)
        batch = self.shard.claim(token=token, lease_seconds=LEASE_SECONDS)
        help_token = batch.help_token if batch else ""
        expected, wakeups = self.model.claim(order, token, help_token, now, LEASE_SECONDS * SECOND)
        assert (batch.id if batch else None) == (expected.id if expected else None)
        if batch is None or expected is None:
            return
        assert before < self.model.limits.parallel
        assert batch.wakeups == wakeups
        assert (batch.attempt, batch.lost_leases) == (expected.attempt, expected.lost)
        assert self.shard.read(batch) == list(expected.events)
        self._check_order(expected)
        self._note_tokens(batch.help_token, batch.wakeups)
        self.claims.append((batch, token))

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
        error, at = f"HTTP 503: later\n{chance}", self._now() + delay * SECOND
        released = self.shard.release(batch, delay_seconds=delay, error=error)
        assert released is self.model.release(batch.id, batch.attempt, at, error)

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def extend(self, chance: int) -> None:
        """A worker, current or not, asks for more time."""
        batch, token = self.claims[chance % len(self.claims)]
        until = self._now() + LEASE_SECONDS * SECOND
        extended = self.shard.extend(batch, lease_seconds=LEASE_SECONDS, token=token)
        assert extended is self.model.extend(batch.id, batch.attempt, token, until)

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def dead_letter(self, chance: int) -> None:
        """A worker, current or not, gives its batch up."""
        batch, _ = self.claims[chance % len(self.claims)]
        now = self._now()
        died = self.shard.dead_letter(batch, error="too old")
        assert died is self.model.dead_letter(batch.id, batch.attempt, now, "too old")

    # -- the operator, and time

    @precondition(lambda self: self.names_seen)
    @rule(chance=chances)
    def redrive(self, chance: int) -> None:
        """An operator redrives a batch that may be dead, or not."""
        name, now = self._some_batch(chance), self._now()
        assert self.shard.redrive(name) == self.model.redrive(name, now)

    @precondition(lambda self: self.names_seen)
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
        self._shift(seconds * SECOND)
        self.passed_ms += seconds * SECOND

    # -- what must hold after every step

    @invariant()
    def redis_is_what_the_model_says(self) -> None:
        """Every key of the database, but for the mark's time to live."""
        redis, model = self._dump(), self.model
        k = self.shard.keys
        assert redis.pop(k.open, []) == model.open
        for batch in model.batches.values():
            assert redis.pop(k.batch(batch.id)) == list(batch.events)
        for state in ("ready", "leases", "dead"):
            expected = {batch.id: batch.at for batch in model.of(state)}
            self._assert_times(redis.pop(getattr(k, state), {}), expected)
        self._assert_times(redis.pop(k.slots, {}), model.slots)
        self._assert_lines(redis.pop(k.info, {}))
        for mark, sequence in model.marks.items():
            assert redis.pop(k.mark(mark)) == b"%d" % sequence
        self._assert_meta(redis.pop(k.meta))
        assert redis == {}

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
            assert self.shard.redrive(name) == self.model.redrive(name, self._now())
        self.sweep(force=False)
        self.let_time_pass(PASSES_SECONDS[-1])
        steps = 0
        while self.model.open or self.model.batches:
            self.sweep(force=False)
            self.claim(0)
            if self.claims:
                self.ack(len(self.claims) - 1)
            self.let_time_pass(40)
            steps += 1
            assert steps < 500
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
        command, now = self.shard.push_command(mark, events, names), self._now()
        pushed = self.shard.push(command)
        stem = store.push_token(mark)
        batches = [stem, *(f"{stem}.{i:04d}" for i in range(1, names))]
        expected = self.model.push(mark.id, sequence, events, batches, now)
        assert pushed.code == expected.code
        assert (pushed.sealed, pushed.wakeups) == (expected.sealed, expected.wakeups)
        if pushed.code == store.STORED:
            self.pushed.update(events)
        self._note_tokens(store.push_token(mark), pushed.wakeups)

    def _events(self, sizes: list[int]) -> list[bytes]:
        """Events of these sizes, each with a number of its own."""
        made = []
        for size in sizes:
            self._made = getattr(self, "_made", 0) + 1
            made.append(b"%05d" % self._made + b"x" * (size - 6))
        return made

    def _note_tokens(self, stem: str, count: int) -> None:
        self.tokens += [f"{stem}:{i + 1}" for i in range(count)]
        self.tokens = ["", *self.tokens[-5:]]

    def _some_batch(self, chance: int) -> str:
        names = [batch.id for batch in self.model.of("dead")] or sorted(self.names_seen)
        return names[chance % len(names)]

    def _now(self) -> int:
        seconds, microseconds = self.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000 + self.passed_ms

    def _claim_order(self) -> list[ModelBatch]:
        """What is due, as Redis orders it: what ran out first, then what is ready, oldest first."""
        now = self._now()
        names: list[bytes] = []
        for key in (self.shard.keys.leases, self.shard.keys.ready):
            names += self.client.zrangebyscore(key, "-inf", now - self.passed_ms)
        return [self.model.batches[name.decode()] for name in names]

    def _check_order(self, claimed: ModelBatch) -> None:
        """Batches that never were given back leave in the order in which they were sealed."""
        if claimed.returned or claimed.attempt > 1:
            return
        for other in self.model.of("ready"):
            if not other.returned and other.at <= claimed.sealed - SECOND:
                assert other.order > claimed.order

    def _shift(self, passed_ms: int) -> None:
        k = self.shard.keys
        for key in (k.ready, k.leases, k.slots, k.dead):
            times = self.client.zrange(key, 0, -1, withscores=True)
            if times:
                self.client.zadd(key, {member: at - passed_ms for member, at in times})
        for name, line in self.client.hgetall(k.info).items():
            attempt, lost, events, size, first, sealed, error = line.decode().split(":", 6)
            first, sealed = int(first) - passed_ms, int(sealed) - passed_ms
            text = f"{attempt}:{lost}:{events}:{size}:{first}:{sealed}:{error}"
            self.client.hset(k.info, name, text)
        for name in ("first_ms", "watched", "delivered_ms"):
            at = self.client.hget(k.meta, name)
            if at is not None:
                self.client.hset(k.meta, name, int(at) - passed_ms)

    def _dump(self) -> dict[str, Any]:
        names = self.client.keys("*")
        pipe = self.client.pipeline(transaction=False)
        k = self.shard.keys
        for name in (key.decode() for key in names):
            if name in (k.meta, k.info):
                pipe.hgetall(name)
            elif name in (k.ready, k.leases, k.slots, k.dead):
                pipe.zrange(name, 0, -1, withscores=True)
            elif name == k.open or "batch:" in name:
                pipe.lrange(name, 0, -1)
            else:
                pipe.get(name)
        contents = dict(zip((key.decode() for key in names), pipe.execute(), strict=True))
        for name, content in contents.items():
            if name == k.open or "batch:" in name:
                contents[name] = content[::-1]
        return contents

    def _assert_times(self, found: list[tuple[bytes, float]], expected: dict[str, int]) -> None:
        times = {member.decode(): at + self.passed_ms for member, at in found}
        assert times.keys() == expected.keys()
        for member, at in times.items():
            assert abs(at - expected[member]) < TOLERANCE_MS, member

    def _assert_lines(self, found: dict[bytes, bytes]) -> None:
        assert {name.decode() for name in found} == self.model.batches.keys()
        for name, line in found.items():
            batch = self.model.batches[name.decode()]
            attempt, lost, events, size, first, sealed, error = line.decode().split(":", 6)
            numbers = (int(attempt), int(lost), int(events), int(size))
            assert numbers == (batch.attempt, batch.lost, len(batch.events), batch.size)
            assert error == batch.error
            assert abs(int(first) + self.passed_ms - batch.first) < TOLERANCE_MS
            assert abs(int(sealed) + self.passed_ms - batch.sealed) < TOLERANCE_MS
            self._assert_frozen(batch)

    def _assert_frozen(self, batch: ModelBatch) -> None:
        if batch.id not in self.names_seen:
            self.names_seen.add(batch.id)
            assert 1 <= len(batch.events) <= self.model.limits.events_per_request
            assert len(batch.events) == 1 or batch.size <= BATCH_BYTES
            self.frozen[batch.id] = list(batch.events)
        assert self.frozen[batch.id] == list(batch.events)

    def _assert_meta(self, found: dict[bytes, bytes]) -> None:
        meta = {name.decode(): text.decode() for name, text in found.items()}
        model = self.model
        counters = {
            name: int(text)
            for name, text in meta.items()
            if name in ("accepted", "events", "bytes", "delivered", "dead", "refused")
            or name.startswith("dropped:")
        }
        assert _without_zeros(counters) == _without_zeros(model.counters)
        assert int(meta.get("open_events", 0)) == model.counted
        assert int(meta.get("open_bytes", 0)) == model.counted_bytes
        assert ("mixed" in meta, "paused" in meta) == (model.mixed, model.paused)
        if model.counted and model.first is not None:
            assert abs(int(meta["first_ms"]) + self.passed_ms - model.first) < TOLERANCE_MS


def _without_zeros(counters: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counters.items() if count}


def live(client: redis_py.Redis, examples: int) -> None:
    """Run so many random lives, and shrink the first that goes wrong to its shortest form."""

    class Life(ShardLife):
        pass

    Life.client = client
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_scripts_do_what_the_model_says(redis: redis_py.Redis) -> None:
    """Whatever happens to a shard, in whatever order, Redis and the model stay the same."""
    live(redis, EXAMPLES)

    redis.flushdb()
