"""The model of a shard, as workers change it: claims, and every way to settle one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lua.reference.filling import FilledModel
from lua.reference.state import ModelBatch, ModelPart, Range, pick, size_of
from vwo_celery.queue.words.batches import HELD, Held, part_id


class WorkedModel(FilledModel):
    """A shard whose batches workers claim and settle."""

    def claim(
        self,
        candidates: Iterable[ModelBatch],
        token: str,
        help_token: str,
        now: int,
        lease: int,
        *,
        probe: bool,
    ) -> tuple[ModelBatch | Held | None, int]:
        """Lease the first of *candidates*, which the caller has ordered; None if there is none."""
        batch = next(iter(candidates), None)
        held = self.held_until is not None and not probe
        self.slots.pop(token, None)
        if held and not self.paused and now >= (self.held_until or 0):
            return HELD, 0
        if batch is None or self.paused or held or self.in_flight(now) >= self.limits.parallel:
            return None, 0
        batch.lost += batch.state == "leases"
        self.tally["lost_leases"] += batch.state == "leases"
        batch.attempt += 1
        batch.state, batch.at = "leases", now + lease
        return batch, self._hand_out(help_token, now) if self.held_until is None else 0

    def ack(self, batch_id: str) -> bool:
        """Forget a delivered batch, in whatever state it is."""
        batch = self.batches.pop(batch_id, None)
        if batch is None:
            return False
        if batch.state == "dead":
            self.count("dead", -len(batch.events))
        else:
            self._leave(batch)
        self.count("delivered", len(batch.events))
        return True

    def held(self, batch_id: str, attempt: int) -> ModelBatch | None:
        """The batch, if the caller's *attempt* still holds it."""
        batch = self.batches.get(batch_id)
        return batch if batch and batch.state == "leases" and batch.attempt == attempt else None

    def release(self, batch_id: str, attempt: int, at: int, error: str) -> bool:
        """Give a lease back."""
        batch = self.held(batch_id, attempt)
        if batch:
            batch.state, batch.at, batch.error, batch.returned = "ready", at, error, True
        return batch is not None

    def hand_back(self, batch_id: str, attempt: int, lease: int, now: int) -> bool:
        """Undo a claim, if exactly this lease is meant."""
        batch = self.held(batch_id, attempt)
        if batch is None or batch.at != lease:
            return False
        batch.state, batch.at, batch.attempt = "ready", min(batch.sealed, now), attempt - 1
        batch.returned |= batch.sealed > now  # the clock stepped back: it has lost its place
        return True

    def split(
        self,
        batch_id: str,
        attempt: int,
        delivered: Sequence[Range],
        parts: Sequence[ModelPart],
        now: int,
        claim: str,
    ) -> list[bytes] | None:
        """Settle a leased batch in parts; the number of delivered events, or None without the lease."""
        whole = self.held(batch_id, attempt)
        if whole is None:
            return None
        del self.batches[batch_id]
        self._leave(whole)
        for number, part in enumerate(parts, 1):
            self._add_part(whole, part_id(whole.id, number, claim), number, part, now)
        accepted = pick(whole.events, delivered)
        self.tally["split"] += len(parts) + bool(accepted) > 1
        self.count("delivered", len(accepted))
        return accepted

    def extend(self, batch_id: str, attempt: int, until: int) -> bool:
        """Extend a lease."""
        batch = self.held(batch_id, attempt)
        if batch:
            batch.at = until
        return batch is not None

    def dead_letter(self, batch_id: str, attempt: int, now: int, error: str) -> bool:
        """Dead-letter a leased batch."""
        batch = self.held(batch_id, attempt)
        if batch:
            batch.state, batch.at, batch.error = "dead", now, error
            self._leave(batch)
            self.count("dead", len(batch.events))
        return batch is not None

    def _add_part(
        self, whole: ModelBatch, name: str, number: int, part: ModelPart, now: int
    ) -> None:
        events = pick(whole.events, part.ranges)
        dead = part.state == "dead"
        at = now + part.delay if dead or part.delay else min(whole.sealed, now)
        new = ModelBatch(
            name, tuple(events), size_of(events), whole.first, whole.sealed,
            (*whole.order, number), at, state=part.state, attempt=int(not dead and part.delay > 0),
            lost=whole.lost, error=part.error,
            returned=whole.returned or part.delay > 0 or whole.sealed > now,
        )  # fmt: skip
        self.batches[new.id] = new
        if dead:
            self.count("dead", len(events))
        else:
            self.count("events", len(events))
            self.count("bytes", new.size)
