"""Moves between two queues, step by step and in any order, beside producers, workers and operators.

Movers die between any two steps, stand still while others go on, and come late; sweepers settle what
they left. After every step each event is in exactly one queue for a worker, or on its way; both
ledgers balance; and at the end of every life each event can be delivered once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import redis as redis_py
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from lua.lives import lives_of_a_model
from lua.world import LIMITS, NAMESPACE, ours
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import moving
from vwo_celery.queue.handling.moving import Arrival, Heading
from vwo_celery.queue.looks import places
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.answers import STORED
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.marks import Mark
from vwo_celery.queue.work import departures, moves
from vwo_celery.queue.work.moves import Sealed

LIVES = 15
OLD, NEW = "fme-1-old", "fme-2-new"
LONG_AGO, FAR = 0, 10**15
chances = st.integers(0, 2**16)


@dataclass
class Mover:
    """One move of one batch, by the steps of `moves.move_batch`."""

    batch: Sealed
    heading: Heading
    events: list[bytes]
    step: str = "depart"
    code: int = 0


class Move(RuleBasedStateMachine):
    """Two queues, and whoever works on them."""

    client: Any

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.fleet = Fleet(ours(self.client), NAMESPACE)
        self.old, self.new = Shard(self.fleet.client, NAMESPACE, OLD, 0), self.fleet.shard(NEW, 0)
        self.old.load_push()
        self.mark = Mark("m")
        self.pushed: Counter[bytes] = Counter()
        self.delivered: Counter[bytes] = Counter()
        self.purged: Counter[bytes] = Counter()
        self.held: list[tuple[Shard, Batch]] = []
        self.movers: list[Mover] = []
        self.made = 0

    @initialize(capacity=st.sampled_from([4, 1000]))
    def register(self, capacity: int) -> None:
        """Both queues are registered; the new one may have little room."""
        self.old.set_limits(replace(LIMITS, parallel=3))
        self.new.set_limits(replace(LIMITS, parallel=3, capacity_events=capacity))
        self.push(8)

    # -- producers and workers

    @rule(count=st.integers(1, 6))
    def push(self, count: int) -> None:
        """A producer that still uses the old queue pushes."""
        events = [b"%05d" % (self.made + n) for n in range(count)]
        self.made += count
        self.mark.sequence, self.mark.events = self.mark.sequence + count, count
        pushed = self.old.push(self.old.push_command(self.mark, events, count + 1))
        if pushed.code == STORED:
            self.pushed.update(events)
        else:
            self.mark.sequence -= count

    @rule()
    def seal(self) -> None:
        """A move seals what is open."""
        self.old.sweep(force=True, idle_ms=60_000)

    @rule(new=st.booleans())
    def claim(self, new: bool) -> None:
        """A worker claims a batch."""
        shard = self.new if new else self.old
        batch = shard.claim(token="", lease_seconds=60)
        if isinstance(batch, Batch):
            self.held.append((shard, batch))

    @precondition(lambda self: self.held)
    @rule(chance=chances, fate=st.sampled_from(["ack", "ack", "release", "later", "die", "lose"]))
    def end_claim(self, chance: int, fate: str) -> None:
        """A worker settles its batch, or its lease runs out."""
        shard, batch = self.held.pop(chance % len(self.held))
        if fate == "ack":
            events = shard.read(batch)
            if shard.ack(batch.id):
                self.delivered.update(events)
        elif fate in ("release", "later"):
            delay = 0 if fate == "release" else 900
            shard.release(batch, delay_seconds=delay, error="HTTP 503")
        elif fate == "die":
            shard.dead_letter(batch, error="HTTP 413")
        elif self.client.zscore(shard.keys.leases, batch.id) is not None:
            self.client.zadd(shard.keys.leases, {batch.id: 1})

    @rule(chance=chances, new=st.booleans())
    def redrive(self, chance: int, new: bool) -> None:
        """An operator redrives a dead letter, also one that is on its way."""
        shard = self.new if new else self.old
        names = [*places.page_of(shard, "dead"), *(each.batch for each in moving.leaving(shard))]
        if names:
            shard.redrive(names[chance % len(names)])

    @rule(chance=chances, new=st.booleans())
    def purge(self, chance: int, new: bool) -> None:
        """An operator purges a dead letter, also one that has just come."""
        shard = self.new if new else self.old
        names = places.page_of(shard, "dead")
        if names:
            name = names[chance % len(names)]
            self.purged.update(self._events_of(shard, name))
            assert shard.purge(name)

    # -- movers

    @rule(chance=chances, steps=st.integers(0, 4))
    def begin(self, chance: int, steps: int) -> None:
        """A mover looks a batch up, takes some steps, and then stands still for a while."""
        kind: Any = "dead" if chance % 2 else "ready"
        family: Any = ("dead",) if kind == "dead" else ("ready", "leases")
        names = [name for each in family for name in places.page_of(self.old, each)]
        for batch in moves.look_up(self.old, names[: 1 + chance % 3], kind)[-1:]:
            events = [
                event
                for page in moves.event_pages(self.old, batch.batch, batch.events)
                for event in page
            ]
            heading = Heading(NEW, 0, f"{batch.batch}~{len(self.movers)}{chance}")
            self.movers.append(Mover(batch, heading, events))
            for _ in range(steps):
                if self.movers and self.movers[-1].heading == heading:
                    self._take_step(self.movers[-1])

    @precondition(lambda self: self.movers)
    @rule(chance=chances)
    def go_on(self, chance: int) -> None:
        """A mover that stands still takes its next step, or dies."""
        mover = self.movers[chance % len(self.movers)]
        if chance % 7 == 0:
            self.movers.remove(mover)
        else:
            self._take_step(mover)

    def _take_step(self, mover: Mover) -> None:
        step = {"depart": self._depart, "stage": self._stage, "arrive": self._arrive}
        if mover.step in step:
            step[mover.step](mover)
            return
        self.movers.remove(mover)
        arrived = mover.code >= moving.CAME_BEFORE
        departures.settle(self.fleet, self.old, mover.batch.batch, mover.heading, arrived=arrived)

    def _depart(self, mover: Mover) -> None:
        left = moving.depart(
            self.old, mover.batch.batch, mover.heading, state=mover.batch.state, sealed_until_ms=FAR
        )
        mover.step = "stage"
        if not left:
            self.movers.remove(mover)

    def _stage(self, mover: Mover) -> None:
        moves.stage(self.new, mover.heading.batch, mover.events)
        mover.step = "arrive"

    def _arrive(self, mover: Mover) -> None:
        b = mover.batch
        arrival = Arrival(
            mover.heading.batch, b.state, b.events, b.bytes, b.first_ms, died_ms=b.at_ms
        )
        mover.code = moving.arrive_from_move(self.new, arrival)
        mover.step = "settle"

    @rule()
    def settle_left(self) -> None:
        """The next move, or the sweep, settles what is on its way."""
        departures.settle_left(self.fleet, self.old)

    @rule(chance=chances)
    def forgo_and_die(self, chance: int) -> None:
        """Somebody who settles dies between two steps."""
        on_the_way = moving.leaving(self.old)
        if on_the_way:
            heading = on_the_way[chance % len(on_the_way)].heading
            assert heading is not None
            moving.forgo(self.new, heading.batch)

    # -- after every step

    @invariant()
    def every_event_is_at_one_place(self) -> None:
        """An event is open, in one queue's batch, delivered, or on its way and not there yet."""
        placed = Counter(self.client.lrange(self.old.keys.open, 0, -1))
        for shard in (self.old, self.new):
            for name in self.client.hkeys(shard.keys.info):
                placed.update(self._events_of(shard, name.decode()))
        for each in moving.leaving(self.old):
            assert each.heading is not None
            trace = self.client.zscore(self.new.keys.arrived, each.heading.batch)
            if trace is None or trace < 0:
                placed.update(self._events_of(self.old, each.batch))
        assert placed + self.delivered + self.purged == self.pushed
        assert set(self.pushed.values()) <= {1}

    def _events_of(self, shard: Shard, name: str) -> list[bytes]:
        found: list[bytes] = self.client.lrange(shard.keys.batch(name), 0, -1)
        return found

    @invariant()
    def both_ledgers_balance(self) -> None:
        """Both ledgers balance, and their counters hold every event once but while it arrives."""
        for shard in (self.old, self.new):
            snapshot = take_snapshot(shard)
            assert snapshot.balanced, snapshot
            assert snapshot.unreadable == ()
            left = sum(each.events for each in moving.leaving(shard))
            assert int(self.client.hget(shard.keys.meta, "leaving") or 0) == left
            counted = int(self.client.hget(shard.keys.meta, "accepted") or 0)
            assert snapshot.accepted == counted + left
            (glance,) = take_glances([shard])
            assert glance.balanced
            assert glance.accepted == snapshot.accepted
            for state in ("ready", "in_flight", "released", "dead"):
                assert getattr(glance, f"{state}_events") == snapshot.events(state), state

    def teardown(self) -> None:
        """At the end of every life, what is left can be delivered, each event once."""
        departures.settle_left(self.fleet, self.old)
        assert self.client.hgetall(self.old.keys.leaving) == {}
        for shard in (self.old, self.new):
            shard.sweep(force=True, idle_ms=60_000)
            for name in places.page_of(shard, "dead", most=1_000):
                shard.redrive(name)
            for family in (shard.keys.ready, shard.keys.leases):
                for name in self.client.zrange(family, 0, -1):
                    self.client.zadd(family, {name: 1})
            while isinstance(batch := shard.claim(token="", lease_seconds=60), Batch):
                self.delivered.update(shard.read(batch))
                assert shard.ack(batch.id)
        assert self.delivered + self.purged == self.pushed
        accepted = [take_snapshot(shard).accepted for shard in (self.old, self.new)]
        assert sum(accepted) == self.pushed.total()
        lists = [name for name in self.client.scan_iter() if b":batch:" in name]
        assert all(name.endswith(b".staged") for name in lists)  # a mover that died just there


def test_a_move_loses_and_doubles_nothing(redis: redis_py.Redis) -> None:
    """Whatever order the steps of movers and others come in, each event is delivered once."""

    class Case(Move):
        client = redis

    examples = lives_of_a_model(LIVES)
    run_state_machine_as_test(
        Case, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )

    redis.flushdb()
