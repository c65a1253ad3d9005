"""One shard of one queue in Redis: every change of state is one script, and one method here.

Place: an edge; owns the keys of a shard. Scripts move ids and counters, never events, except for
the events that are pushed and those that a program of another kind pushed. If this process dies
inside a method, the script has happened or it has not; nothing is half done.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.batches import (
    HELD,
    LONGEST_ERROR,
    Batch,
    Held,
    Limits,
    Part,
    Passed,
    as_ms,
    claimed_batch,
    part_id,
    stems,
)
from vwo_celery.queue.keys import ShardKeys, as_text, new_token, shard_keys
from vwo_celery.queue.marks import Mark, push_token
from vwo_celery.queue.scripts import script

STORED, DUPLICATE, TOO_MANY_EVENTS, TOO_MANY_BYTES, NOT_REGISTERED, TOO_FEW_NAMES = range(1, -5, -1)
#: The codes of a push that the queue had no room for.
REFUSALS = (TOO_MANY_EVENTS, TOO_MANY_BYTES)

#: Events read in one command, so that no command holds Redis for more than a moment.
READ_PAGE_EVENTS = 1000
#: Batches that one sweep of a shard may seal; what is left is sealed by the next call.
_SWEEP_NAMES = 8
_SUSPICION_MS = 86_400_000
#: Placeholder for `watched`: the sweep replaces it by the time when the shard last held something.
_SEEN_LONG_AGO = 1
#: Reason under which what an operator drops is counted.
PURGED = "purged"


class Pushed(NamedTuple):
    """What enqueue.lua answered, and whether as many replicas have it as were to be waited for."""

    code: int
    sealed: int
    wakeups: int
    watch: int
    replicated: bool = True


#: The usual answer: stored, and nothing else to do for the producer.
PLAIN = Pushed(STORED, 0, 0, 0)


class Swept(NamedTuple):
    """What sweep.lua answered, and the token that its wake-ups were handed out under."""

    registered: int
    sealed: int
    wakeups: int
    more: int
    idle: int
    token: str


class Shard:
    """One shard of one queue.

    Every method raises QueueUnavailable where Redis does not answer; the script may have run.

    Args:
        client: A Redis client, see connections.
        namespace: First part of every key.
        queue: The queue's name.
        shard: 0 and up.
    """

    def __init__(self, client: Any, namespace: str, queue: str, shard: int) -> None:
        self.client = client
        self.queue = queue
        self.number = shard
        self.keys: ShardKeys = shard_keys(namespace, queue, shard)
        k = self.keys
        self._enqueue_keys = (k.open, k.meta, k.ready, k.info, k.slots, k.leases)
        self._sweep_keys = self._enqueue_keys
        self._enqueue = script("enqueue")
        self._append_start = ("EVALSHA", script("append").sha, 3, k.open, k.meta)

    # -- producing

    def append(self, mark: Mark, event: bytes) -> bool:
        """Store one event by the shortest way, if it neither opens nor fills a batch.

        Args:
            mark: The caller's, with its sequence already raised for this push.
            event: JSON of the event.

        Returns:
            Whether it is stored. If not, and also where this raises, a `push` under the same mark
            stores it, once.

        Raises:
            redis.exceptions.RedisError: As it comes; the producer decides what may be tried again.
        """
        answer = self.client.execute_command(
            *self._append_start, self.keys.mark(mark.id), mark.sequence, event
        )
        return bool(answer == STORED)

    def push_command(self, mark: Mark, events: Sequence[bytes], names: int) -> tuple[Any, ...]:
        """The command that stores *events* under the mark's present sequence number.

        Pure, so that the sync and the asyncio producer share it. May be sent again, after
        `Mark.doubt`: events are stored once.

        Args:
            mark: The caller's, with its sequence already raised for this push.
            events: JSON of each event; at most as many as the caller wants in one command.
            names: Batches that the push may seal at most; see `pushes.names_needed`.
        """
        stem = f"{self.keys.prefix}batch:{push_token(mark)}"
        count = len(self._enqueue_keys) + 1 + names
        batches = (stem,) if names == 1 else [stem, *(f"{stem}.{i:04d}" for i in range(1, names))]
        return (
            "EVALSHA", self._enqueue.sha, count, *self._enqueue_keys, self.keys.mark(mark.id),
            *batches, mark.sequence, mark.life, *events,
        )  # fmt: skip

    def push(self, command: tuple[Any, ...]) -> Pushed:
        """Send a command made by `push_command`; a server that lacks the script is given it.

        Raises:
            redis.exceptions.RedisError: As it comes; the producer decides what may be tried again.
        """
        return Pushed(*self.client.execute_command(*command))

    def load_push(self) -> None:
        """Give the server the scripts that store events."""
        self.client.script_load(self._enqueue.text)
        self.client.script_load(script("append").text)

    def mark_is_kept(self, mark_id: str) -> bool:
        """Whether Redis still knows a producer's mark.

        Raises:
            redis.exceptions.RedisError: As it comes; nothing has changed.
        """
        return bool(self.client.execute_command("EXISTS", self.keys.mark(mark_id)))

    # -- triggers

    def sweep(self, *, force: bool, horizon_ms: int, idle_ms: int) -> Swept:
        """Seal what is due (everything, with *force*) and take wake-up slots for what is ready."""
        token = new_token()
        names = [self.keys.batch(f"{token}.{i:04d}") for i in range(_SWEEP_NAMES)]
        with unavailable(f"sweep of {self.keys.name}"):
            answer = script("sweep").run(
                self.client, (*self._sweep_keys, *names), (int(force), token, horizon_ms, idle_ms)
            )
        registered, sealed, wakeups, more, idle = answer
        return Swept(registered, sealed, wakeups, more, idle, token)

    def add_watched(self, pipe: Any) -> None:
        """Add to *pipe* the note that the sweep looks at this shard; an older note stays."""
        pipe.hsetnx(self.keys.meta, "watched", _SEEN_LONG_AGO)

    def unwatch(self) -> bool:
        """Whether the sweep may forget this shard, since it holds nothing."""
        k = self.keys
        with unavailable(f"unwatch of {k.name}"):
            return bool(script("unwatch").run(self.client, (k.open, k.meta, k.ready, k.leases)))

    # -- delivery

    def claim(
        self, *, token: str, lease_seconds: float, probe: bool = False
    ) -> Batch | Held | None:
        """Take the batch that has waited longest; nobody else can until it is settled.

        Args:
            token: The wake-up's token, "" for none; where nothing is claimed, its slot is free.
            lease_seconds: How long the claim holds if this worker goes silent.
            probe: Claim although the shard is held, for the circuit's probe.

        Returns:
            A batch, or None if none may be claimed now: none is due, the queue is paused, or as
            many as allowed are in flight. Or HELD: ask the circuit; the slot is kept.
        """
        k, help_token = self.keys, new_token()
        with unavailable(f"claim from {k.name}"):
            answer = script("claim").run(
                self.client,
                (k.meta, k.ready, k.leases, k.info, k.slots),
                (token, as_ms(lease_seconds), help_token, int(probe)),
            )
        if not answer:
            return None
        return HELD if len(answer) == 1 else claimed_batch(answer, help_token, as_ms(lease_seconds))

    def read(self, batch: Batch) -> list[bytes]:
        """The batch's events, oldest first, read in pages."""
        key, events = self.keys.batch(batch.id), []
        with unavailable(f"read of batch {batch.id}"):
            for end in range(batch.events, 0, -READ_PAGE_EVENTS):
                page = self.client.lrange(key, max(0, end - READ_PAGE_EVENTS), end - 1)
                events.extend(reversed(page))
        return events

    def first_events(self, batch_id: str, most: int) -> list[bytes]:
        """The oldest *most* events of a batch; fewer if it holds fewer."""
        with unavailable(f"read of batch {batch_id}"):
            tail: list[bytes] = self.client.lrange(self.keys.batch(batch_id), -most, -1)
        return tail[::-1]

    def ack(self, batch_id: str) -> bool:
        """Forget a batch that VWO accepted, whoever holds it; False if it was settled before."""
        k = self.keys
        keys = (k.meta, k.ready, k.leases, k.info, k.dead, k.batch(batch_id))
        with unavailable(f"ack of batch {batch_id}"):
            return bool(script("ack").run(self.client, keys, (batch_id,)))

    def release(self, batch: Batch, *, delay_seconds: float, error: str) -> bool:
        """Give the lease back, to be claimed again after a delay; False if it was ours no more."""
        k = self.keys
        arguments = (batch.id, batch.attempt, as_ms(delay_seconds), error[:LONGEST_ERROR])
        with unavailable(f"release of batch {batch.id}"):
            return bool(script("release").run(self.client, (k.ready, k.leases, k.info), arguments))

    def hand_back(self, batch: Batch, *, lease_until_ms: int) -> bool:
        """Undo the claim, as a worker does that stops; False if the lease is ours no more.

        Args:
            batch: As it was claimed.
            lease_until_ms: When the lease ends; no other lease of this batch is touched.
        """
        k = self.keys
        arguments = (batch.id, batch.attempt, lease_until_ms)
        with unavailable(f"hand-back of batch {batch.id}"):
            keys = (k.ready, k.leases, k.info)
            return bool(script("hand_back").run(self.client, keys, arguments))

    def extend(self, batch: Batch, *, lease_seconds: float, token: str) -> int:
        """Hold the lease for *lease_seconds* from now; when it ends, 0 if it is ours no more."""
        k = self.keys
        arguments = (batch.id, batch.attempt, as_ms(lease_seconds), token)
        with unavailable(f"extend of batch {batch.id}"):
            return int(script("extend").run(self.client, (k.leases, k.info, k.slots), arguments))

    def split(
        self, batch: Batch, parts: Sequence[Part], *, delivered: tuple[int, int] = (0, 0)
    ) -> bool:
        """Settle a batch in parts, all at once; False if it is ours no more.

        Args:
            batch: As it was claimed.
            parts: What becomes a batch of its own, by the names of `part_id`, counted from 1.
            delivered: Events that VWO accepted, and their size; with *parts* that is all of it.
        """
        k = self.keys
        names = [k.batch(part_id(batch.id, i, batch.help_token)) for i in range(1, len(parts) + 1)]
        arguments = [batch.id, batch.attempt, *delivered]
        for part in parts:
            arguments += part.arguments()
        with unavailable(f"split of batch {batch.id}"):
            keys = (k.meta, k.ready, k.leases, k.info, k.dead, k.batch(batch.id), *names)
            return bool(script("split").run(self.client, keys, arguments))

    def dead_letter(self, batch: Batch, *, error: str) -> bool:
        """Take the batch out of delivery and keep it for the operator; False if ours no more."""
        k = self.keys
        arguments = (batch.id, batch.attempt, error[:LONGEST_ERROR])
        with unavailable(f"dead-letter of batch {batch.id}"):
            keys = (k.meta, k.leases, k.info, k.dead)
            return bool(script("dead_letter").run(self.client, keys, arguments))

    def settled(self, batch_ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """Of these batches, those that are dead letters now, and those that are gone."""
        with unavailable(f"look-up in {self.keys.name}"):
            # Dead first: a batch that dies in between is then still awaited, and not taken for gone.
            pipe = self.client.pipeline(transaction=False)
            pipe.zmscore(self.keys.dead, batch_ids)
            pipe.hmget(self.keys.info, batch_ids)
            died, lines = pipe.execute()
        found = list(zip(batch_ids, died, lines, strict=True))
        dead = [name for name, at, _ in found if at is not None]
        gone = [name for name, at, line in found if at is None and line is None]
        return dead, gone

    def parts_of(self, batch_ids: Collection[str]) -> dict[str, int]:
        """The batches that these have been split into, at any depth, and the events of each."""
        with unavailable(f"look-up in {self.keys.name}"):
            lines = self.client.hgetall(self.keys.info)
        found = ((as_text(batch_id), as_text(line)) for batch_id, line in lines.items())
        begin = stems(batch_ids)
        return {name: int(line.split(":")[2]) for name, line in found if name.startswith(begin)}

    # -- what is known of the destination

    def hold(self, until_ms: int, token: str) -> None:
        """Claim nothing before *until_ms*, and then ask the circuit first; free the slot."""
        self._note("hold", "held_until", until_ms)
        with unavailable(f"hold of {self.keys.name}"):
            self.client.zrem(self.keys.slots, token)

    def _note(self, doing: str, *words: Any) -> None:
        with unavailable(f"{doing} of {self.keys.name}"):
            script("note").run(self.client, (self.keys.meta,), words)

    def let_go(self) -> bool:
        """End a hold; False if there was none."""
        with unavailable(f"end of the hold of {self.keys.name}"):
            return bool(script("free").run(self.client, (self.keys.meta,), ("held_until",)))

    def note_passed(self, passed: Passed) -> None:
        """Remember a size that VWO takes."""
        events, size, since_ms = msgspec.structs.astuple(passed)
        self._note("size", "fit_events", events, "fit_bytes", size, "fit_ms", since_ms)

    def delivered_ms(self) -> int:
        """Unix ms at which VWO last accepted something of this shard; 0 for never."""
        with unavailable(f"look at {self.keys.name}"):
            return int(self.client.hget(self.keys.meta, "delivered_ms") or 0)

    def suspect(self, batch_id: str, now_ms: int) -> int:
        """Note that VWO refused a single event, for a day; Unix ms of the first note, *now_ms* if new."""
        key = self.keys.suspect(batch_id)
        with unavailable(f"note on batch {batch_id}"):
            return int(script("suspect").run(self.client, (key,), (now_ms, _SUSPICION_MS)))

    # -- what is told to workers and operators

    def want_results(self, until_ms: int) -> None:
        """Have workers announce this shard's outcomes until *until_ms*."""
        with unavailable(f"word of interest in results of {self.keys.name}"):
            self.client.hset(self.keys.meta, "results_until", until_ms)

    def count_receiver_errors(self, count: int) -> None:
        """Count receivers and callbacks that raised."""
        with unavailable("count of receiver errors"):
            self.client.hincrby(self.keys.meta, "receiver_errors", count)

    # -- operating

    def set_limits(self, limits: Limits, *, known_life: str = "") -> str:
        """Write the limits that the scripts obey from now on.

        Args:
            limits: What to write.
            known_life: What this answered the caller before; "" if it never did.

        Returns:
            The name of the state's life: another one after Redis forgot the shard, which is noted
            where the caller can tell.
        """
        fields = [word for field in msgspec.structs.asdict(limits).items() for word in field]
        with unavailable(f"limits of {self.keys.name}"):
            arguments = (known_life, new_token(), *fields)
            return as_text(script("limit").run(self.client, (self.keys.meta,), arguments))

    def pause(self, reason: str) -> None:
        """Claim nothing and wake nobody until `resume`; what is in flight is settled as usual."""
        self._note("pause", "paused", reason[:LONGEST_ERROR])

    def resume(self) -> bool:
        """End a pause; False if there was none."""
        with unavailable(f"resume of {self.keys.name}"):
            return bool(script("free").run(self.client, (self.keys.meta,), ("paused",)))

    def redrive(self, batch_id: str) -> int:
        """Put a dead-lettered batch back to be sent; the number of its events, 0 if not dead."""
        k = self.keys
        with unavailable(f"redrive of batch {batch_id}"):
            keys = (k.meta, k.ready, k.info, k.dead)
            return int(script("redrive").run(self.client, keys, (batch_id,)))

    def purge(self, batch_id: str, *, reason: str = PURGED, most_events: int = -1) -> int:
        """Drop a dead-lettered batch for good.

        Args:
            batch_id: Which.
            reason: One word, under which it is counted as dropped.
            most_events: Only while more dead events than this are kept; -1 for whatever is kept.

        Returns:
            The number of events dropped; 0 if it was not dead, -1 if no more are kept.
        """
        k = self.keys
        with unavailable(f"purge of batch {batch_id}"):
            keys = (k.meta, k.info, k.dead, k.batch(batch_id))
            return int(script("purge").run(self.client, keys, (batch_id, reason, most_events)))
