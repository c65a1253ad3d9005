"""The whole model of a shard: beside the rest, what operators, moves and full queues do to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lua.reference.state import ModelBatch, Range, pick, size_of
from lua.reference.working import WorkedModel


class Model(WorkedModel):
    """A shard that all participants change."""

    def set_aside(self, batch_id: str, now: int, error: str) -> int:
        """Dead-letter a batch that no worker holds."""
        batch = self.batches.get(batch_id)
        held = batch is not None and batch.state == "leases" and batch.at > now
        if batch is None or batch.state == "dead" or held:
            return 0
        batch.state, batch.at, batch.error = "dead", now, error
        self._leave(batch)
        self.count("dead", len(batch.events))
        self.tally["dead:operator"] += len(batch.events)
        return len(batch.events)

    def hasten(self, now: int) -> None:
        """Make released batches due at once."""
        for batch in self.of("ready"):
            batch.at, batch.returned = min(batch.at, now), batch.returned or batch.at > now

    def redrive(self, batch_id: str, now: int) -> int:
        """Put a dead batch back."""
        batch = self.batches.get(batch_id)
        if batch is None or batch.state != "dead":
            return 0
        batch.state, batch.at, batch.lost, batch.sealed = "ready", now, 0, now
        batch.error, batch.returned = "", True
        for counter, sign in (("events", 1), ("dead", -1)):
            self.count(counter, sign * len(batch.events))
        self.count("bytes", batch.size)
        self.tally["redriven"] += len(batch.events)
        return len(batch.events)

    def purge(self, batch_id: str, reason: str = "purged") -> int:
        """Drop a dead batch."""
        batch = self.batches.get(batch_id)
        if batch is None or batch.state != "dead":
            return 0
        self.forget_import(batch_id)
        return self.forget(batch_id, reason)

    def pick_out(
        self, batch_id: str, ranges: Sequence[Range], drop: str, names: tuple[str, str], now: int
    ) -> list[bytes]:
        """Take events out of a dead batch; the rest stays dead, under another name."""
        whole = self.batches.get(batch_id)
        if whole is None or whole.state != "dead":
            return []
        del self.batches[batch_id]
        picked = pick(whole.events, ranges)
        rest = [each for each in whole.events if each not in picked]  # no two events are alike
        if rest:
            self.batches[names[1]] = replace(
                whole, id=names[1], events=tuple(rest), size=size_of(rest), order=(*whole.order, 2)
            )
        self.count("dead", -len(picked))
        if drop:
            self.count(f"dropped:{drop}", len(picked))
            return picked
        self.batches[names[0]] = ModelBatch(
            names[0], tuple(picked), size_of(picked), whole.first, now, (*whole.order, 1), now,
            attempt=whole.attempt, returned=True,
        )  # fmt: skip
        self.count("events", len(picked))
        self.count("bytes", size_of(picked))
        self.tally["redriven"] += len(picked)
        return picked

    def drop_waiting(self, batch_id: str, now: int, sealed_until: int, reason: str) -> int:
        """Drop a batch that no worker holds, and that was not sealed later."""
        batch = self.batches.get(batch_id)
        held = batch is not None and batch.state == "leases" and batch.at > now
        if batch is None or batch.state == "dead" or held or batch.sealed > sealed_until:
            return 0
        return self.forget(batch_id, reason)

    def forget(self, batch_id: str, reason: str) -> int:
        """Drop a batch, whatever its state."""
        batch = self.batches.pop(batch_id)
        if batch.state == "dead":
            self.count("dead", -len(batch.events))
        else:
            self._leave(batch)
        self.count(f"dropped:{reason}", len(batch.events))
        return len(batch.events)

    def drop_open(self, most: int, now: int, begun_until: int) -> list[bytes]:
        """Drop the oldest events of a list that was begun by then, others' pushes entered first."""
        mixed = self.mixed
        if self.counted and (self.first or 0) > begun_until:
            return []
        unknown = self.open and not self.counted
        if len(self.open) != self.counted:
            self._adopt(now)
            mixed = True
        if unknown:
            self.first = min(now, begun_until)
        gone, self.open = self.open[:most], self.open[most:]
        size = self.counted_bytes if not self.open else 0 if mixed else size_of(gone)
        self.counted, self.counted_bytes = self.counted - len(gone), self.counted_bytes - size
        self.count("events", -len(gone))
        self.count("bytes", -size)
        self.count("dropped:purged", len(gone))
        self.mixed = mixed and bool(self.open)
        return gone

    # -- making room

    def trim_dead(self, most_events: int, oldest_first: Iterable[str]) -> list[bytes]:
        """Drop dead batches until at most this many events are left; the number of events dropped."""
        gone: list[bytes] = []
        for batch_id in oldest_first:
            if self.counters.get("dead", 0) > most_events:
                gone += self.batches[batch_id].events
                self.purge(batch_id, "dead_letters_full")
        return gone

    def make_room(
        self, events: Sequence[bytes], oldest_first: Iterable[str], now: int
    ) -> tuple[list[bytes], int]:
        """Drop ready batches, then open events, until a push fits; the dropped events, and the code."""
        held = self.of("leases")
        in_flight = sum(len(batch.events) for batch in held)
        if not self._may_hold(events, in_flight, sum(batch.size for batch in held)):
            return [], -1
        gone: list[bytes] = []
        for batch_id in oldest_first:
            if not self._fits(events):
                batch = self.batches.pop(batch_id)
                self._leave(batch)
                gone += batch.events
        if not self._fits(events) and not self.of("ready"):
            gone += self._drop_from_open(events, now)
        self.count("dropped:oldest", len(gone))
        if not self._fits(events):
            return gone, 0
        self.counters["refused"] = max(0, self.counters.get("refused", 0) - len(events))
        return gone, 1

    def _drop_from_open(self, events: Sequence[bytes], now: int) -> list[bytes]:
        gone: list[bytes] = []
        mixed = self.mixed or len(self.open) != self.counted
        if mixed:
            self._adopt(now)
        while self.open and not self._fits(events):
            event = self.open.pop(0)
            gone.append(event)
            size = 0 if mixed else size_of([event])
            self.counted, self.counted_bytes = self.counted - 1, self.counted_bytes - size
            self.count("events", -1)
            self.count("bytes", -size)
        self.mixed = mixed and bool(self.open)
        return gone

    # -- moves

    def depart(self, batch_id: str, state: str, heading: str, now: int) -> int:
        """Take a batch of that state out, if no worker holds it."""
        batch = self.batches[batch_id]
        held = batch.state == "leases" and batch.at > now
        if held or (batch.state == "dead") != (state == "dead"):
            return 0
        del self.batches[batch_id]
        self.leaving[batch_id] = batch, heading
        self._count_in(batch, -1)
        return len(batch.events)

    def stay(self, batch_id: str) -> None:
        """Put a batch back that has departed."""
        batch, _ = self.leaving.pop(batch_id)
        batch.state, batch.returned = "dead" if batch.state == "dead" else "ready", True
        self.batches[batch_id] = batch
        self._count_in(batch, 1)

    def may_arrive(self, batch: ModelBatch) -> int:
        """Whether there is room for a batch, as arrive.lua answers."""
        counters, limits = self.counters, self.limits
        if batch.state != "dead":
            if counters.get("events", 0) + len(batch.events) > limits.capacity_events:
                return -1
            if counters.get("bytes", 0) + batch.size > limits.capacity_bytes:
                return -2
        return 1

    def arrive(self, batch: ModelBatch, trace: int, *, moves: bool) -> None:
        """Take in a batch that comes from elsewhere, or *moves* here from a queue that still has it."""
        self.batches[batch.id], self.arrived[batch.id] = batch, trace
        self.coming |= {batch.id} if moves else set()
        self._count_in(batch, 1)

    def forget_import(self, batch_id: str) -> None:
        """Let a batch that was imported, and does not move, be imported again."""
        if batch_id not in self.coming:
            self.arrived.pop(batch_id, None)

    def end_moves(self) -> set[str]:
        """Forget the arrivals of batches that their old queues have forgotten."""
        ended, self.coming = self.coming, set()
        for name in ended:
            del self.arrived[name]
        return ended
