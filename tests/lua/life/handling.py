"""More steps of a shard's life: batches move in and out, the patrol mends, an operator forgets.

A move's other queue is not here: a batch that has departed is forgotten or stays, and one that arrives
is new. Both may be asked for again, or come too late.
"""

from __future__ import annotations

from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lua.life.outages import RefusedLife
from lua.life.shard import DELAYS_SECONDS, SECOND, chances, event_sizes, producers
from lua.reference.model import Model
from lua.reference.state import ModelBatch
from vwo_celery.queue.handling import moving
from vwo_celery.queue.handling.forgetting import HOLDS, MOVES, forget_shard
from vwo_celery.queue.handling.moving import Arrival, Heading
from vwo_celery.queue.handling.waiting import hasten
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.work.stranded import restore

#: Ends of the time for which a trace is kept.
_TRACE_MS = {
    "import": as_ms(moving.IMPORT_TRACE_SECONDS),
    "move": as_ms(moving._MOVE_TRACE_SECONDS),
    "forgone": as_ms(moving._FORGONE_SECONDS),
}
_FAR = 10**15


class HandledLife(RefusedLife):
    """A shard's life with what operators and the patrol do to whole batches, and to the shard."""

    # -- out of the queue

    @precondition(lambda self: self.model.batches)
    @rule(chance=chances, dead=st.booleans(), again=st.booleans())
    def depart(self, chance: int, dead: bool, again: bool) -> None:
        """A mover takes a batch out, or tries to; workers and operators may come to it too late."""
        name, now = self._any_batch(chance).id, self.clock.tick()
        state: Literal["ready", "dead"] = "dead" if dead else "ready"
        heading = Heading("other", 0, f"{name}~{chance}")
        left = self.model.depart(name, state, str(heading), now)
        for expected in (left, 0)[: 1 + again]:
            departed = moving.depart(self.shard, name, heading, state=state, sealed_until_ms=_FAR)
            assert departed == expected

    @precondition(lambda self: self.model.leaving)
    @rule(chance=chances, stays=st.booleans())
    def end_departure(self, chance: int, stays: bool) -> None:
        """A batch that has departed comes back, or is forgotten; who comes later changes nothing."""
        name = sorted(self.model.leaving)[chance % len(self.model.leaving)]
        batch, heading = self.model.leaving[name]
        shard, right = self.shard, _parsed(heading)
        end = moving.stay if stays else moving.forget
        assert end(shard, name, Heading("another", 0, name)) == 0
        assert end(shard, name, right) == len(batch.events)
        if stays:
            self.model.stay(name)
        else:
            del self.model.leaving[name]
            self.gone.update(batch.events)
        assert moving.stay(shard, name, right) == 0
        assert moving.forget(shard, name, right) == 0

    # -- into the queue

    @rule(sizes=event_sizes, chance=chances, kind=st.sampled_from(["import", "move", "forgone"]))
    def arrive(self, sizes: list[int], chance: int, kind: str) -> None:
        """A batch of a move or an import arrives once, unless it was forgone or does not fit."""
        events, now = self._events(sizes), self.clock.tick()
        dead, first = bool(chance % 2), now - DELAYS_SECONDS[chance % 3] * SECOND
        batch = ModelBatch(
            f"arrival{self.made}", tuple(events), sum(len(each) + 1 for each in events), first, now,
            (self.made,), first if dead else now, "dead" if dead else "ready", chance % 3,
            error="HTTP 400" if dead else "", returned=True,
        )  # fmt: skip
        arrival = Arrival(
            batch.id, "dead" if dead else "ready", len(events), batch.size, first, batch.attempt,
            batch.error, batch.at,
        )  # fmt: skip
        if kind == "forgone":
            assert moving.forgo(self.shard, batch.id)
            self.model.arrived[batch.id] = -now - _TRACE_MS[kind]
        code = moving.FORGONE if kind == "forgone" else self.model.may_arrive(batch)
        bring = moving.arrive_from_move if kind == "move" else moving.arrive_from_file
        assert moving.stage(self.shard, batch.id, events, before=0)
        assert bring(self.shard, arrival) == code
        if code != moving.ARRIVED:
            assert moving.forgo(self.shard, batch.id)  # what is staged goes
            self.model.arrived[batch.id] = -now - _TRACE_MS["forgone"]
            return
        self.model.arrive(batch, now + _TRACE_MS[kind], moves=kind == "move")
        self.pair.frozen[batch.id] = batch.events
        self.pushed.update(events)
        assert bring(self.shard, arrival) == moving.CAME_BEFORE
        assert not moving.forgo(self.shard, batch.id)

    @rule()
    def end_moves(self) -> None:
        """The old queues have forgotten the batches that came from them."""
        for name in self.model.end_moves():
            moving.forget_arrival(self.shard, name)

    # -- the patrol, and the operator

    @precondition(lambda self: self.model.batches)
    @rule(chance=chances, harm=st.sampled_from(["none", "stranded", "unborn", "undead", "marked"]))
    def restore(self, chance: int, harm: str) -> None:
        """The patrol puts right what a worker of an older release has left, and nothing else."""
        batch, now = self._any_batch(chance), self.clock.tick()
        k, alive = self.shard.keys, batch.state != "dead"
        stranded = harm == "stranded" and alive
        if stranded:
            for key in (k.ready, k.leases):
                self.client.zrem(key, batch.id)
            batch.state, batch.at, batch.returned = "ready", now, True
        elif harm == "unborn":
            self.client.zrem(k.births, batch.id)
        elif harm == "undead":
            self.client.zadd(k.births, {batch.id: 1, "gone": 2})
        elif harm == "marked":
            old = self.client.zscore(k.released, batch.id)
            self.client.zadd(k.released, {batch.id: 2_000_001})
            change = 1 - int(old or 0) % 1_000_000
            self.client.hincrby(k.meta, "released_events", change)
        assert restore(self.shard) == stranded

    def _any_batch(self, chance: int) -> ModelBatch:
        return self.model.batches[sorted(self.model.batches)[chance % len(self.model.batches)]]

    @precondition(lambda self: self.model.batches)
    @rule(chance=chances)
    def retry_one(self, chance: int) -> None:
        """An operator makes one batch due at once, if it waits for its next attempt."""
        batch, now = self._any_batch(chance), self.clock.tick()
        waits = batch.state == "ready" and batch.at > now
        assert hasten(self.shard, [batch.id, "unknown"]) == (waits, waits * len(batch.events))
        if waits:
            batch.at, batch.returned = now, True

    @rule(who=producers)
    def forget_and_come_back(self, who: int) -> None:
        """An operator forgets the shard, if it holds nothing; a producer goes on in the life it knows."""
        model, holds = self.model, bool(self.model.open or self.model.batches)
        expected = HOLDS if holds else MOVES if model.leaving or model.coming else 1
        assert forget_shard(self.shard, idle_seconds=None, delete=True).code == expected
        if expected != 1:
            return
        known = self.marks[who].life
        assert self.shard.set_limits(self.knows[who], known_life=known) == model.life
        again = Model(self.knows[who], model.life, forgotten=known != model.life, marks=model.marks)
        self._go_on_with(again, watched=False)
        self.pushed.clear()
        self.delivered.clear()
        self.gone.clear()

    def teardown(self) -> None:
        """At the end, what has departed stays, and is delivered as well."""
        for name, (_, heading) in [*self.model.leaving.items()] if hasattr(self, "model") else []:
            assert moving.stay(self.shard, name, _parsed(heading))
            self.model.stay(name)
        super().teardown()


def _parsed(heading: str) -> Heading:
    shard, batch, queue = heading.split(":")
    return Heading(queue, int(shard), batch)
