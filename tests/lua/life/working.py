"""Steps of a shard's life that workers take: they claim, settle and extend, in time or too late."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lua.life.filling import FilledLife
from lua.life.shard import DELAYS_SECONDS, LEASE_SECONDS, SECOND, chances
from lua.reference.state import ModelBatch
from vwo_celery.queue.words.batches import Batch


class WorkedLife(FilledLife):
    """A shard's life with workers."""

    @rule(chance=chances)
    def claim_one(self, chance: int) -> None:
        """A worker claims, with a wake-up that may be old, or without one."""
        self.claim(chance)

    def claim(self, chance: int, *, probe: bool = False, newest: bool = False) -> bool:
        """Claim in both; False if there was nothing to claim."""
        token = self.tokens[chance % len(self.tokens)]
        now, order = self.clock.tick(), self.pair.claim_order(newest=newest)
        before = self.model.in_flight(now)
        batch = self.shard.claim(
            token=token, lease_seconds=LEASE_SECONDS, probe=probe, newest=newest
        )
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
        if not newest:
            self._check_order(expected)
        self._note_tokens(batch.help_token, batch.wakeups)
        self.leases_end[batch.help_token] = batch.lease_until_ms
        self.claims.append((batch, token))
        return True

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def ack(self, chance: int) -> None:
        """A worker, current or not, learns that VWO accepted its batch."""
        self._ack(self._some_claim(chance)[0])

    def _ack(self, batch: Batch) -> None:
        held, counts = self.model.batches.get(batch.id), self._counts("200")
        assert self.shard.ack(batch.id, counts=counts) is self.model.ack(batch.id)
        self._tell(counts, held is not None)
        if held:
            self.delivered.update(held.events)

    @precondition(lambda self: self.claims)
    @rule(chance=chances, delay=st.sampled_from(DELAYS_SECONDS))
    def release(self, chance: int, delay: int) -> None:
        """A worker, current or not, gives its batch back."""
        batch, _ = self._some_claim(chance)
        error, at = f"HTTP 503: later\n{chance}", self.clock.tick() + delay * SECOND
        counts = self._counts("503")
        released = self.shard.release(batch, delay_seconds=delay, error=error, counts=counts)
        assert released is self.model.release(batch.id, batch.attempt, at, error)
        self._tell(counts, released)

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def extend(self, chance: int) -> None:
        """A worker, current or not, extends its lease."""
        batch, _ = self._some_claim(chance)
        until = self.clock.tick() + LEASE_SECONDS * SECOND
        extended = self.shard.extend(batch, lease_seconds=LEASE_SECONDS)
        assert bool(extended) is self.model.extend(batch.id, batch.attempt, until)
        if extended:
            self.leases_end[batch.help_token] = extended

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def dead_letter(self, chance: int) -> None:
        """A worker, current or not, dead-letters its batch."""
        batch, _ = self._some_claim(chance)
        now = self.clock.tick()
        counts = self._counts("400") + Counter({"dead:too_old": batch.events})
        died = self.shard.dead_letter(batch, error="too old", counts=counts)
        assert died is self.model.dead_letter(batch.id, batch.attempt, now, "too old")
        self._tell(counts, died)

    # -- parts of steps

    def _counts(self, answer: str) -> Counter[str]:
        """What a worker counted, no two times the same."""
        self.counted += 1
        return Counter({f"answer:{answer}": 1, "post_ms": self.counted})

    def _tell(self, counts: Counter[str], done: bool) -> None:
        """Counts are added up with the change that they were given with, and only then."""
        if done:
            self.model.tally.update(counts)

    def _some_claim(self, chance: int) -> tuple[Batch, str]:
        """The claim of one worker, with its wake-up; usually one whose batch is still leased."""
        leased = {batch.id for batch in self.model.of("leases")}
        held = [each for each in self.claims if each[0].id in leased]
        claims = held if held and chance % 4 else self.claims
        return claims[chance // 4 % len(claims)]

    def _check_order(self, claimed: ModelBatch) -> None:
        """Batches that were never released leave in the order in which they were sealed."""
        if claimed.returned or claimed.attempt > 1:
            return
        for other in self.model.of("ready"):
            if not other.returned and other.at < claimed.sealed:
                assert other.order > claimed.order
