"""More steps of a shard's life: VWO refuses batches or is down, and workers stop.

Batches are split, as after a 413 or a search for the refused event; leases are handed back; holds
let only a probe pass. Each of these steps may be repeated, or come too late.
"""

from __future__ import annotations

from itertools import groupby
from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lua.life.losses import LossyLife
from lua.life.shard import DELAYS_SECONDS, LEASE_SECONDS, SECOND, chances, producers
from lua.reference.state import ModelPart, Range
from vwo_celery.queue.words.batches import Batch, Part, part_id

#: The last one is longer than any valid hold.
HOLDS_SECONDS = (155, 305)

Fate = Literal["delivered", "dead", "ready", "late"]

#: Small enough that a batch holds several events.
small = st.lists(st.sampled_from([6, 9]), min_size=1, max_size=9)
fates = st.lists(st.sampled_from(["delivered", "dead", "ready", "late"]), min_size=2, max_size=6)


class RefusedLife(LossyLife):
    """A shard's life with every answer that VWO may give."""

    def __init__(self) -> None:
        super().__init__()
        self.handed_back: list[Batch] = []

    @rule(who=producers, sizes=small, chance=chances)
    def flush(self, who: int, sizes: list[int], chance: int) -> None:
        """Send enqueued events at once, to spend much of a life with batches in flight."""
        self.push(who, sizes)
        self.sweep(force=True)
        self.claim(chance)

    @rule(who=producers, sizes=small, chance=chances)
    def go_silent(self, who: int, sizes: list[int], chance: int) -> None:
        """A worker goes silent with its newest claim, and another claims the batch; both may go on."""
        self.flush(who, sizes, chance)
        self.let_time_pass(LEASE_SECONDS + 5)
        self.claim(chance)

    # -- a batch is split

    @precondition(lambda self: self.claims)
    @rule(chance=chances, fates=fates)
    def settle_in_parts(self, chance: int, fates: list[Fate]) -> None:
        """A worker, current or not, has searched its batch for the events that VWO refuses."""
        batch, _ = self._some_claim(chance)
        found: dict[Fate, list[Range]] = {}
        ends = (fates[i % len(fates)] for i in range(batch.events))
        for fate, places in groupby(enumerate(ends), key=lambda each: each[1]):
            indices = [index for index, _ in places]
            found.setdefault(fate, []).append((indices[0], indices[-1] + 1))
        delivered = found.pop("delivered", [])
        delay = DELAYS_SECONDS[1 + chance % 2]
        parts = [self._part(fate, ranges, delay) for fate, ranges in found.items()]
        self._split(batch, parts, delivered)

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def halve(self, chance: int) -> None:
        """A worker, current or not, learns that its batch is too large."""
        batch, _ = self._some_claim(chance)
        half = (batch.events + 1) // 2
        bounds = [each for each in ((0, half), (half, batch.events)) if each[0] < each[1]]
        self._split(batch, [self._part("ready", [each], 0) for each in bounds], [])

    def _part(self, fate: Fate, ranges: list[Range], delay: int) -> ModelPart:
        delay_ms = delay * SECOND if fate == "late" else 0
        return ModelPart(
            "dead" if fate == "dead" else "ready", ranges, delay_ms, f"HTTP 400: {fate}\n"
        )

    def _split(self, batch: Batch, parts: list[ModelPart], delivered: list[Range]) -> None:
        events, now = self.pair.frozen[batch.id], self.clock.tick()

        def size(ranges: list[Range] | tuple[Range, ...]) -> int:
            return sum(len(event) + 1 for start, end in ranges for event in events[start:end])

        asked = [
            Part(p.state, tuple(p.ranges), size(tuple(p.ranges)), p.delay / SECOND, p.error)
            for p in parts
        ]
        counted, counts = sum(end - start for start, end in delivered), self._counts("413")
        done = self.shard.split(batch, asked, delivered=counted, counts=counts)

        claim = batch.help_token
        accepted = self.model.split(batch.id, batch.attempt, delivered, parts, now, claim)
        assert done is (accepted is not None)
        self._tell(counts, done)
        if accepted is not None:
            self.delivered.update(accepted)
            for number in range(1, len(parts) + 1):
                name = part_id(batch.id, number, claim)
                self.pair.frozen[name] = self.model.batches[name].events

    # -- a worker stops

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def hand_back(self, chance: int) -> None:
        """A worker, current or not, hands back its batch and does not settle it any more."""
        claim = self._some_claim(chance)
        self.claims.remove(claim)
        self.handed_back = [*self.handed_back[-4:], claim[0]]
        self._hand_back(claim[0])

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def restart(self, chance: int) -> None:
        """A worker stops and another takes its place; the first may not have received its answer."""
        self.hand_back(chance)
        self.claim(chance)
        if chance % 2:
            self._hand_back(self.handed_back[-1])

    @precondition(lambda self: self.handed_back)
    @rule(chance=chances)
    def hand_back_again(self, chance: int) -> None:
        """The answer was lost, and the worker hands back again; another may have the batch by now."""
        self._hand_back(self.handed_back[chance % len(self.handed_back)])

    @precondition(lambda self: self.handed_back)
    @rule(chance=chances)
    def ack_what_was_handed_back(self, chance: int) -> None:
        """VWO's acceptance reaches a worker that has handed its batch back."""
        self._ack(self.handed_back[chance % len(self.handed_back)])

    def _hand_back(self, batch: Batch) -> None:
        end, now = self.leases_end[batch.help_token], self.clock.tick()
        counts = self._counts("proxy")
        done = self.shard.hand_back(batch, lease_until_ms=end, counts=counts)
        assert done is self.model.hand_back(batch.id, batch.attempt, end, now)
        self._tell(counts, done)

    # -- an outage

    @rule(seconds=st.sampled_from([*DELAYS_SECONDS, *HOLDS_SECONDS]))
    def hold(self, seconds: int) -> None:
        """The circuit opens or stays open: a worker holds the shard."""
        until = self.clock.tick() + seconds * SECOND
        self.shard.hold(until)
        self.model.held_until = until

    @precondition(lambda self: self.model.held_until is not None)
    @rule()
    def let_go(self) -> None:
        """The circuit closes."""
        assert self.shard.let_go()
        self.model.held_until = None

    @rule(chance=chances, newest=st.booleans())
    def claim_for_a_probe(self, chance: int, newest: bool) -> None:
        """A worker has permission to probe; it may be late."""
        self.claim(chance, probe=True, newest=newest)
