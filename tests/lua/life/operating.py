"""Steps of a shard's life that an operator takes, others' deletes, and how every life ends."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from msgspec.structs import replace

from lua.life.shard import PASSES_SECONDS, SECOND, chances
from lua.life.working import WorkedLife
from vwo_celery.queue.handling.picking import pick_out, ranges
from vwo_celery.queue.handling.waiting import drop_open, drop_waiting, hasten, vanish

#: Most rounds of sweep and delivery until a shard must be empty.
MOST_ROUNDS = 20


class OperatedLife(WorkedLife):
    """A shard's life with an operator."""

    @precondition(lambda self: self.pair.frozen)
    @rule(chance=chances)
    def set_aside(self, chance: int) -> None:
        """An operator dead-letters a batch that no worker holds, or tries to."""
        name, now = self._some_batch(chance), self.clock.tick()
        assert self.shard.set_aside(name, reason="bad") == self.model.set_aside(name, now, "bad")

    @precondition(lambda self: self.pair.frozen)
    @rule(chance=chances)
    def redrive(self, chance: int) -> None:
        """An operator redrives a batch, dead or not."""
        name, now = self._some_batch(chance), self.clock.tick()
        assert self.shard.redrive(name) == self.model.redrive(name, now)

    @precondition(lambda self: self.pair.frozen)
    @rule(chance=chances)
    def purge(self, chance: int) -> None:
        """An operator purges a batch, dead or not."""
        name = self._some_batch(chance)
        held = self.model.batches.get(name)
        purged = self.model.purge(name)
        assert self.shard.purge(name) == purged
        if purged and held:
            self.gone.update(held.events)

    @precondition(lambda self: self.pair.frozen)
    @rule(chance=chances, fates=st.lists(st.booleans(), min_size=1, max_size=6), drop=st.booleans())
    def pick_out(self, chance: int, fates: list[bool], drop: bool) -> None:
        """An operator picks events out of a batch, dead or not, to send them again or to drop them."""
        name, reason = self._some_batch(chance), "purged" if drop else ""
        places = [n for n in range(len(self.pair.frozen[name])) if fates[n % len(fates)]] or [0]
        now = self.clock.tick()
        done = pick_out(self.shard, name, places, drop=reason)
        names = done.batch, done.rest
        picked = self.model.pick_out(name, ranges(places), reason, names, now)
        assert (done.events, done.missing) == (len(picked), 0)
        for each in names:  # parts are within the limits under which their batch was sealed
            if each in self.model.batches:
                self.pair.frozen[each] = self.model.batches[each].events
        if drop:
            self.gone.update(picked)

    @precondition(lambda self: self.pair.frozen)
    @rule(chance=chances, newer=st.booleans())
    def drop_waiting(self, chance: int, newer: bool) -> None:
        """An operator drops a batch that waits, or tries to; perhaps counted before it was sealed."""
        name, now = self._some_batch(chance), self.clock.tick()
        held, until = self.model.batches.get(name), now - newer * 60 * SECOND
        dropped = self.model.drop_waiting(name, now, until, "purged")
        assert drop_waiting(self.shard, name, sealed_until_ms=until) == (dropped, 0)
        if dropped and held:
            self.gone.update(held.events)

    @rule(most=st.sampled_from([1, 3, 1_000]), newer=st.booleans())
    def drop_open(self, most: int, newer: bool) -> None:
        """An operator drops open events; perhaps counted before the list was begun."""
        now = self.clock.tick()
        until = now - newer * 20 * SECOND
        gone = self.model.drop_open(most, now, until)
        assert drop_open(self.shard, most, begun_until_ms=until) == len(gone)
        self.gone.update(gone)

    @rule()
    def retry(self) -> None:
        """An operator makes what waits for its next attempt due at once."""
        now = self.clock.tick()
        waiting = [batch for batch in self.model.of("ready") if batch.at > now]
        events = sum(len(batch.events) for batch in waiting)
        self.model.hasten(now)
        assert hasten(self.shard) == (len(waiting), events)

    @precondition(lambda self: self.model.batches)
    @rule(chance=chances, drop=st.booleans())
    def delete_batch(self, chance: int, drop: bool) -> None:
        """Another program deletes a batch; whoever meets it counts it as vanished."""
        name = sorted(self.model.batches)[chance % len(self.model.batches)]
        batch, now = self.model.batches[name], self.clock.tick()
        self.client.delete(self.shard.keys.batch(name))
        if batch.state == "dead":
            assert self.shard.redrive(name) == -1
        held = batch.attempt if batch.state == "leases" and batch.at > now else None
        if drop and held is None:
            until = max(now, batch.sealed)  # Redis' clock may have stepped back since
            dropped = self.shard.purge(name) or drop_waiting(
                self.shard, name, sealed_until_ms=until
            )
            assert dropped in (len(batch.events), (len(batch.events),) * 2)
            if batch.state == "dead":
                self.model.forget_import(name)
        else:
            assert vanish(self.shard, name, attempt=held) == len(batch.events)
        self.model.forget(name, "vanished")
        self.gone.update(batch.events)

    @rule()
    def pause_or_resume(self) -> None:
        """An operator pauses or resumes the queue."""
        if self.model.paused:
            self.model.hasten(self.clock.tick())
            assert self.shard.resume()
        else:
            self.shard.pause("401")
        self.model.paused = not self.model.paused

    def _some_batch(self, chance: int) -> str:
        names = [batch.id for batch in self.model.of("dead")] or sorted(self.pair.frozen)
        return names[chance % len(names)]

    # -- the end

    def teardown(self) -> None:
        """At the end of every life, all that is left can be delivered in a bounded number of steps."""
        if not hasattr(self, "model"):
            return
        if self.model.paused:
            self.pause_or_resume()
        self.shard.let_go()
        self.model.held_until = None
        self.register(0, replace(self.model.limits, parallel=3))
        for name in [batch.id for batch in self.model.of("dead")]:
            assert self.shard.redrive(name) == self.model.redrive(name, self.clock.tick())
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
