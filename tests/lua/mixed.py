"""Random lives of one shard that scripts of this release and of 0.1.0 change in turns.

As during a deployment: producers, sweepers and registrations of both, other programs, workers and
moves. Neither release's scripts know all that the others write. When batches leave is not compared:
what must hold is that each event is in one place, and that the ledger counts it once.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from lua.release_before import ShardBefore
from lua.world import LIMITS, NAMESPACE, QUEUE, ours
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import moving
from vwo_celery.queue.handling.moving import Heading
from vwo_celery.queue.looks.snapshots import Snapshot, take_snapshot
from vwo_celery.queue.looks.surveys import due_shards
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.answers import DUPLICATE, REFUSALS, STORED
from vwo_celery.queue.words.batches import Batch, Limits
from vwo_celery.queue.words.marks import Mark

MOST_ROUNDS = 60
_FAR = 10**15

sizes = st.sampled_from([6, 6, 6, 9, 20, 45, 75])
pushes = st.lists(sizes, min_size=1, max_size=5)
appends = st.lists(sizes, min_size=1, max_size=9)
limits = st.builds(
    lambda events, capacity: replace(
        LIMITS, events_per_request=events, capacity_events=capacity, batch_bytes=200, parallel=99
    ),
    st.sampled_from([9, 30]),
    st.sampled_from([60, 1_000]),
)


class MixedLife(RuleBasedStateMachine):
    """One shard's life under two releases."""

    client: Any

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.shard = Shard(ours(self.client), NAMESPACE, QUEUE, 0)
        self.shard.load_push()
        self.before = ShardBefore(self.shard)
        self.mark, self.number = Mark("today"), 0
        self.tokens = count()
        self.pushed: Counter[bytes] = Counter()
        self.gone: Counter[bytes] = Counter()
        self.delivered: Counter[bytes] = Counter()
        self.made = 0
        self.away: list[tuple[str, Heading]] = []
        self.deleted_since_the_sweep = False

    @initialize(given=limits)
    def register_first(self, given: Limits) -> None:
        """A producer of this release registers the queue."""
        self.mark.life = self.shard.set_limits(given)

    # -- producers

    def _events(self, found: list[int]) -> list[bytes]:
        self.made += len(found)
        first = self.made - len(found)
        return [b"%05d" % (first + i) + b"x" * (size - 6) for i, size in enumerate(found)]

    @rule(found=pushes)
    def push(self, found: list[int]) -> None:
        """A producer of this release pushes."""
        events = self._events(found)
        self.mark.sequence += len(events)
        self._push(events)

    def _push(self, events: list[bytes], *, again: bool = False) -> None:
        code = self.shard.push(self.shard.push_command(self.mark, events, len(events) + 1)).code
        assert code == DUPLICATE if again else code == STORED or code in REFUSALS
        if code == STORED:
            self.pushed.update(events)
        elif code in REFUSALS:
            self.mark.sequence -= len(events)

    @rule(found=appends, answered=st.booleans())
    def append(self, found: list[int], answered: bool) -> None:
        """A producer of this release appends, and pushes what is not stored, or not answered."""
        for size in found:
            self._append(self._events([size]), answered)

    def _append(self, events: list[bytes], answered: bool) -> None:
        self.mark.sequence += 1
        self.mark.stored, self.mark.appends = str(self.mark.sequence - 1), True
        stored = self.shard.append(self.mark, events[0])
        self.pushed.update(events if stored else ())
        if not (stored and answered):
            self._push(events, again=stored)

    @rule(found=pushes)
    def push_before(self, found: list[int]) -> None:
        """A producer of 0.1.0 pushes."""
        self.number += 1
        self._push_before(self._events(found))

    def _push_before(self, events: list[bytes], *, again: bool = False) -> None:
        code = self.before.push("before", self.number, events)
        assert code == DUPLICATE if again else code == STORED or code in REFUSALS
        if code == STORED:
            self.pushed.update(events)
        elif code in REFUSALS:
            self.number -= 1

    @rule(found=appends, answered=st.booleans())
    def append_before(self, found: list[int], answered: bool) -> None:
        """A producer of 0.1.0 appends, and pushes what is not stored, or not answered."""
        for size in found:
            self._append_before(self._events([size]), answered)

    def _append_before(self, events: list[bytes], answered: bool) -> None:
        self.number += 1
        stored = self.before.append("before", self.number, events[0])
        self.pushed.update(events if stored else ())
        if not (stored and answered):
            self._push_before(events, again=stored)

    @rule(given=limits, today=st.booleans())
    def register(self, given: Limits, today: bool) -> None:
        """A producer of either release registers its limits."""
        if today:
            self.shard.set_limits(given, known_life=self.mark.life)
        else:
            self.before.set_limits(given)

    # -- other programs

    @rule(found=pushes)
    def push_foreign(self, found: list[int]) -> None:
        """A program in another language pushes onto the open list."""
        events = self._events(found)
        self.client.lpush(self.shard.keys.open, *events)
        self.pushed.update(events)

    @precondition(lambda self: self.client.exists(self.shard.keys.open))
    @rule(everything=st.booleans())
    def take_out(self, everything: bool) -> None:
        """Another program pops an event, or deletes the list."""
        k = self.shard.keys
        events = self.client.lrange(k.open, 0 if everything else -1, -1)
        self.client.ltrim(k.open, 0, -1 - len(events))
        self.gone.update(events)
        self.deleted_since_the_sweep = True

    # -- sweepers, workers, operators

    @rule(force=st.booleans())
    def sweep(self, force: bool) -> None:
        """A worker of this release looks, and sweeps."""
        due_shards(Fleet(self.client, NAMESPACE), [self.shard.keys.name], 600_000, 0)
        self.shard.sweep(force=force, idle_ms=600_000)
        self.deleted_since_the_sweep = False

    @rule(force=st.booleans())
    def sweep_before(self, force: bool) -> None:
        """A worker of 0.1.0 sweeps."""
        self.before.sweep(f"old{next(self.tokens):06d}", force=force)

    def _claim(self) -> Batch | None:
        found = self.shard.claim(token="", lease_seconds=60)
        assert found is None or isinstance(found, Batch)
        return found

    @rule()
    def deliver(self) -> None:
        """A worker delivers a batch."""
        if batch := self._claim():
            events = self.shard.read(batch)
            assert len(events) == batch.events
            assert self.shard.ack(batch.id)
            self.delivered.update(events)

    @rule(today=st.booleans())
    def die_and_return(self, today: bool) -> None:
        """A batch is dead-lettered, and put back by either release."""
        if batch := self._claim():
            assert self.shard.dead_letter(batch, error="HTTP 400")
            redriven = self.shard.redrive(batch.id) if today else self.before.redrive(batch.id)
            assert redriven == batch.events

    @rule()
    def depart(self) -> None:
        """A mover takes a batch out of the queue."""
        for name in self.client.zrange(self.shard.keys.ready, 0, 0):
            heading = Heading("other", 0, f"new{next(self.tokens)}")
            batch_id = name.decode()
            if moving.depart(self.shard, batch_id, heading, state="ready", sealed_until_ms=_FAR):
                self.away.append((batch_id, heading))

    @precondition(lambda self: self.away)
    @rule()
    def stay(self) -> None:
        """It comes back, since the other queue is full."""
        assert moving.stay(self.shard, *self.away.pop())

    # -- what must hold

    @invariant()
    def every_event_is_in_one_place(self) -> None:
        """Nothing is lost or doubled."""
        k = self.shard.keys
        names = [k.open, *(k.batch(name.decode()) for name in self.client.hkeys(k.info))]
        names += [k.batch(name.decode()) for name in self.client.hkeys(k.leaving)]
        here = Counter(event for name in names for event in self.client.lrange(name, 0, -1))
        assert here + self.delivered + self.gone == self.pushed

    @invariant()
    def the_ledger_is_exact(self) -> None:
        """Each event is counted once as accepted, also by a look between two scripts."""
        if self.deleted_since_the_sweep:
            return
        found = take_snapshot(self.shard)
        assert found.balanced
        self._check_counts(found)

    def _check_counts(self, found: Snapshot) -> None:
        dropped = found.dropped.get("vanished", 0)
        unseen = (
            self.gone.total() - dropped
        )  # foreign events that were gone before anyone counted them
        assert unseen >= 0
        assert found.accepted == self.pushed.total() - unseen
        if not self.gone:
            assert found.dropped == {}

    def teardown(self) -> None:
        """A shard that is left to this release delivers all that is there."""
        while self.away:
            self.stay()
        for _ in range(MOST_ROUNDS):
            self.shard.sweep(force=True, idle_ms=600_000)
            self.deliver()
        assert self.delivered + self.gone == self.pushed
        found = take_snapshot(self.shard)
        assert found.balanced
        self._check_counts(found)
        assert (found.open_events, found.counted_events, found.counted_bytes) == (0, 0, 0)
