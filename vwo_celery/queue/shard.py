"""One shard of one queue in Redis: each change of state is one script, and one method here.

Stages 1 to 5; owns the keys of a shard. How events come in stands in `storing`. Scripts move ids and
counters. Events pass through them only when they are pushed, and when another program pushed them. If
the process dies inside a method, the script has run as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vwo_celery.connections import unavailable
from vwo_celery.queue.calls import ClaimCall, ack_call
from vwo_celery.queue.scripts import script
from vwo_celery.queue.storing import Storing
from vwo_celery.queue.words.answers import Swept
from vwo_celery.queue.words.batches import (
    LONGEST_ERROR,
    Batch,
    Cause,
    Held,
    Limits,
    Part,
    as_ms,
    part_id,
)
from vwo_celery.queue.words.counts import NOTHING, SPLIT, Counts, as_arguments, summed
from vwo_celery.queue.words.keys import as_text, new_token

#: Most events read by one command, or one more, since a longer one would hold up Redis.
READ_PAGE_EVENTS = 1000
#: Most batches that one call of the sweep script seals; the next call seals the others.
_SWEEP_NAMES = 8
#: Reason under which purged events are counted as dropped.
PURGED = "purged"


class Shard(Storing):
    """One shard of one queue.

    Every method beyond those of `Storing` raises QueueUnavailable if Redis does not answer; the script
    may have run. *counts* are what the caller counted meanwhile: they are added to the tally if the
    change is made, and only then.
    """

    __slots__ = ()

    # -- triggers

    def sweep(self, *, force: bool, idle_ms: int, lost_until_ms: int = 0) -> Swept:
        """Seal events that are due (all, with *force*) and take wake-up slots for ready batches.

        Args:
            force: Seal the open list, whatever its age.
            idle_ms: Time without events after which the shard counts as idle.
            lost_until_ms: See `routes.lost_until`.
        """
        token, call = self.sweep_call(force=force, idle_ms=idle_ms, lost_until_ms=lost_until_ms)
        with unavailable(f"sweep of {self.keys.name}"):
            return Swept._make((*script("sweep").run(self.client, *call), token))

    def sweep_call(
        self, *, force: bool, idle_ms: int, lost_until_ms: int
    ) -> tuple[str, tuple[tuple[str, ...], tuple[Any, ...]]]:
        """The token, keys and arguments of one sweep; see `sweep`."""
        k, token = self.keys, new_token()
        keys = (k.open, k.meta, k.ready, k.info, k.slots, k.leases, k.births, *k.contexts)
        names = [f"{k.batch(token)}.{i:04d}" for i in range(_SWEEP_NAMES)]
        return token, ((*keys, *names), (int(force), token, idle_ms, lost_until_ms))

    def next_turn(self) -> tuple[str, int]:
        """Take slots for what is due, as a task ends; their tokens' stem and their number."""
        k, token = self.keys, new_token()
        with unavailable(f"turn of {k.name}"):
            keys = (k.meta, k.ready, k.leases, k.slots)
            return token, int(script("turn").run(self.client, keys, (token,)))

    @property
    def unwatch_keys(self) -> tuple[str, ...]:
        """The keys of unwatch.lua."""
        k = self.keys
        return k.open, k.meta, k.ready, k.leases

    def unwatch(self) -> bool:
        """Let the sweep forget this shard; False if the shard holds something after all."""
        with unavailable(f"unwatch of {self.keys.name}"):
            return bool(script("unwatch").run(self.client, self.unwatch_keys))

    def free_slots(self, tokens: Sequence[str]) -> None:
        """Give the slots of wake-ups back, so that the next sweep may wake another worker."""
        with unavailable(f"return of slots of {self.keys.name}"):
            self.client.zrem(self.keys.slots, *tokens)

    # -- delivery

    def claim(
        self, *, token: str, lease_seconds: float, probe: bool = False, newest: bool = False
    ) -> Batch | Held | None:
        """Lease the batch that has waited longest; nobody else can claim it until it is settled.

        Args:
            token: The wake-up's token, whose slot is freed; "" for none, or from the second claim on.
            lease_seconds: Length of the lease, should this worker go silent.
            probe: Claim for the circuit's probe, although the shard is held.
            newest: For a probe: lease the newest of the due batches that were tried least.

        Returns:
            A batch; None if none may be claimed now (none is due, the queue is paused, or as many
            as allowed are in flight); or HELD: ask the circuit first.
        """
        claim = ClaimCall.of(
            self.keys, token=token, lease_seconds=lease_seconds, probe=probe, newest=newest
        )
        with unavailable(f"claim from {self.keys.name}"):
            return claim.read(script("claim").run(self.client, *claim.call))

    def read(self, batch: Batch) -> list[bytes]:
        """Read the batch's events in pages, oldest first, with those that others pushed into it."""
        key, events = self.keys.batch(batch.id), list[bytes]()
        size = READ_PAGE_EVENTS + 1  # so that one event too many takes no page of its own to show
        with unavailable(f"read of batch {batch.id}"):
            while len(events) % size == 0:
                # By places from the list's end, which a push at its head does not move.
                page = self.client.lrange(key, -len(events) - size, -len(events) - 1)
                if not page:
                    break
                events.extend(reversed(page))
        return events

    def contexts_of(self, batch_id: str) -> bytes | None:
        """What is kept of the trace contexts of a batch, see `tracing.carried.read_contexts`."""
        with unavailable(f"look at batch {batch_id}"):
            kept: bytes | None = self.client.hget(self.keys.traced, batch_id)
        return kept

    def first_events(self, batch_id: str, most: int) -> list[bytes]:
        """Read the oldest *most* events of a batch; fewer if it holds fewer."""
        with unavailable(f"read of batch {batch_id}"):
            tail: list[bytes] = self.client.lrange(self.keys.batch(batch_id), -most, -1)
        return tail[::-1]

    def ack(
        self, batch_id: str, *, claimed_ms: int | None = None, counts: Counts = NOTHING
    ) -> bool:
        """Forget a batch that VWO accepted, whoever holds its lease; False if already settled.

        With *claimed_ms*, the Unix ms of its claim, note that as a proof: see `holding.evidence`.
        """
        call = ack_call(self.keys, batch_id, claimed_ms, counts)
        with unavailable(f"ack of batch {batch_id}"):
            return bool(script("ack").run(self.client, *call))

    def release(
        self, batch: Batch, *, delay_seconds: float, error: str, refused: bool = True,
        counts: Counts = NOTHING,
    ) -> bool:  # fmt: skip
        """Give the lease back, due again after a delay; False if the lease has moved on.

        With *refused*, VWO did not accept the batch: since when it accepts nothing is noted.
        """
        k = self.keys
        delay_ms, error = as_ms(delay_seconds), error[:LONGEST_ERROR]
        with unavailable(f"release of batch {batch.id}"):
            keys = (k.ready, k.leases, k.info, k.meta, k.released, k.tally)
            arguments = (batch.id, batch.attempt, delay_ms, error, int(refused))
            given = (*arguments, *as_arguments(counts))
            return bool(script("release").run(self.client, keys, given))

    def hand_back(self, batch: Batch, *, lease_until_ms: int, counts: Counts = NOTHING) -> bool:
        """Undo the claim because this worker is stopping; False if the lease has moved on.

        Args:
            batch: As it was claimed.
            lease_until_ms: Expiry of that lease; no other lease of the batch is touched.
            counts: What was counted.
        """
        k = self.keys
        arguments = (batch.id, batch.attempt, lease_until_ms, *as_arguments(counts))
        with unavailable(f"hand-back of batch {batch.id}"):
            keys = (k.ready, k.leases, k.info, k.meta, k.released, k.tally)
            return bool(script("hand_back").run(self.client, keys, arguments))

    def extend(self, batch: Batch, *, lease_seconds: float) -> int:
        """Renew the lease from now; its new expiry, Unix ms, 0 if it has moved on."""
        k = self.keys
        arguments = (batch.id, batch.attempt, as_ms(lease_seconds))
        with unavailable(f"extend of batch {batch.id}"):
            return int(script("extend").run(self.client, (k.leases, k.info), arguments))

    def split(
        self, batch: Batch, parts: Sequence[Part], *, delivered: int = 0, counts: Counts = NOTHING
    ) -> bool:
        """Settle all parts of a batch at once; False if the lease has moved on.

        Args:
            batch: As it was claimed.
            parts: Parts that become batches of their own, named by `part_id`, counted from 1.
            delivered: Number of events that VWO accepted; *parts* hold all the others.
            counts: What was counted, but for the split itself.
        """
        k = self.keys
        names = [k.batch(part_id(batch.id, i, batch.help_token)) for i in range(1, len(parts) + 1)]
        arguments = [batch.id, batch.attempt, delivered]
        for part in parts:
            arguments += part.arguments()
        is_split = len(parts) + bool(delivered) > 1
        arguments += as_arguments(summed(counts, {SPLIT: 1} if is_split else NOTHING))
        with unavailable(f"split of batch {batch.id}"):
            keys = (*k.sets, k.batch(batch.id), k.settled, *k.indexes, k.tally, k.traced, *names)
            return bool(script("split").run(self.client, keys, arguments))

    def dead_letter(self, batch: Batch, *, error: str, counts: Counts = NOTHING) -> bool:
        """Take the batch out of delivery, for the operator; False if the lease has moved on."""
        k = self.keys
        arguments = (batch.id, batch.attempt, error[:LONGEST_ERROR], *as_arguments(counts))
        with unavailable(f"dead-letter of batch {batch.id}"):
            keys = (k.meta, k.leases, k.info, k.dead, *k.indexes, k.settled, k.tally)
            return bool(script("dead_letter").run(self.client, keys, arguments))

    # -- holds, pauses

    def hold(self, until_ms: int, *, by: Cause | None = None, why: str = "") -> None:
        """Claim nothing before *until_ms*, then ask the circuit first; without *by*, keep the reason."""
        facts = ("held_by", by, "held_why", why[:LONGEST_ERROR]) if by else ()
        self._stop("hold", "held_until", until_ms, *facts)

    def rest_slot(self, token: str, until_ms: int) -> None:
        """Keep a wake-up's slot for so long; a sweep after that may wake a worker again."""
        with unavailable(f"wake-up of {self.keys.name}"):
            self.client.zadd(self.keys.slots, {token: until_ms}, xx=True)

    def first_due(self) -> tuple[str, int]:
        """The oldest ready batch, and the Unix ms from which it may be claimed; ("", 0) if none is."""
        with unavailable(f"look at {self.keys.name}"):
            found = self.client.zrange(self.keys.ready, 0, 0, withscores=True)
        return (as_text(found[0][0]), int(found[0][1])) if found else ("", 0)

    def _stop(self, doing: str, *words: Any) -> None:
        with unavailable(f"{doing} of {self.keys.name}"):
            script("stop").run(self.client, (self.keys.meta,), words)

    def _free(self, doing: str, *words: Any) -> bool:
        with unavailable(f"{doing} of {self.keys.name}"):
            keys = (self.keys.meta, self.keys.ready)
            return bool(script("free").run(self.client, keys, words))

    def let_go(self, *, hasten: bool = False) -> bool:
        """End a hold, and with *hasten* the delays of released batches; False if there was none."""
        return self._free("end of the hold", "held_until", int(hasten))

    def pause(self, reason: str, *, by: Cause = "operator") -> None:
        """Let nothing be claimed until `resume`; batches in flight are settled as usual."""
        self._stop("pause", "paused", reason[:LONGEST_ERROR], "_by", by)

    def resume(self) -> bool:
        """End a pause, and the delays of released batches; False if there was none."""
        return self._free("resume", "paused", 1)

    # -- notes for workers and operators

    def want_results(self, until_ms: int) -> None:
        """Ask workers to publish this shard's outcomes until *until_ms*."""
        with unavailable(f"word of interest in results of {self.keys.name}"):
            self.client.hset(self.keys.meta, "results_until", until_ms)

    def count_receiver_errors(self, count: int) -> None:
        """Count receivers and callbacks that raised."""
        with unavailable("count of receiver errors"):
            self.client.hincrby(self.keys.meta, "receiver_errors", count)

    # -- operating

    def set_limits(self, limits: Limits, *, known_life: str = "", copy: bytes = b"") -> str:
        """Set the limits that the scripts obey from now on.

        Args:
            limits: The limits.
            known_life: The last answer that the caller got; "" if none.
            copy: The registration as JSON, for workers that cannot read the list of queues.

        Returns:
            The name of the state's life. It is a new one after Redis forgot the shard; a caller
            that knew the old one has that noted.
        """
        arguments = self.limit_arguments(limits, known_life, copy)
        with unavailable(f"limits of {self.keys.name}"):
            return as_text(script("limit").run(self.client, self.keys.life, arguments))

    @staticmethod
    def limit_arguments(limits: Limits, known_life: str, copy: bytes) -> tuple[Any, ...]:
        """The arguments of limit.lua; see `set_limits`."""
        more = ("registration", copy) if copy else ()
        return (known_life, new_token(), *limits.fields(), *more)

    def registration_copy(self) -> bytes | None:
        """The copy of the registration that lies with the shard; None if it has none."""
        with unavailable(f"look for the registration with {self.keys.name}"):
            copy: bytes | None = self.client.hget(self.keys.meta, "registration")
        return copy

    def set_aside(self, batch_id: str, *, reason: str) -> int:
        """Make a batch that no worker holds a dead letter; its number of events, 0 if none waits."""
        k = self.keys
        with unavailable(f"dead-letter of batch {batch_id}"):
            keys = (*k.sets, *k.indexes, k.settled, k.tally)
            arguments = (batch_id, reason[:LONGEST_ERROR])
            return int(script("set_aside").run(self.client, keys, arguments))

    def redrive(self, batch_id: str) -> int:
        """Make a dead letter ready again; its number of events, 0 if not dead, -1 if they are gone."""
        k = self.keys
        with unavailable(f"redrive of batch {batch_id}"):
            keys = (k.meta, k.ready, k.info, k.dead, k.births, k.batch(batch_id), k.tally)
            return int(script("redrive").run(self.client, keys, (batch_id,)))

    def purge(self, batch_id: str, *, reason: str = PURGED, most_events: int = -1) -> int:
        """Drop a dead letter for good.

        Args:
            batch_id: Its name.
            reason: The reason, one word, under which it is counted as dropped.
            most_events: Drop it only while more dead events than this are kept; -1 for always.

        Returns:
            The number of events dropped; 0 if it was not dead, -1 if not more are kept.
        """
        k = self.keys
        with unavailable(f"purge of batch {batch_id}"):
            keys = (k.meta, k.info, k.dead, k.batch(batch_id), k.settled, k.arrived, k.traced)
            return int(script("purge").run(self.client, keys, (batch_id, reason, most_events)))
