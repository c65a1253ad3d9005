"""One shard of one queue in Redis: every change of state is one script, and one method here.

Place: an edge; owns the keys of a shard. Scripts move ids and counters, never events, except for
the events that are pushed and those that a program of another kind pushed. If this process dies
inside a method, the script has happened or it has not; nothing is half done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.keys import ShardKeys, shard_keys
from vwo_celery.marks import Mark, push_token
from vwo_celery.scripts import script

STORED, DUPLICATE, TOO_MANY_EVENTS, TOO_MANY_BYTES, NOT_REGISTERED, TOO_FEW_NAMES = (
    1,
    0,
    -1,
    -2,
    -3,
    -4,
)

#: Events read in one command, so that no command holds Redis for more than a moment.
READ_PAGE_EVENTS = 1000
#: Batches that one sweep of a shard may seal; what is left is sealed by the next call.
_SWEEP_NAMES = 8
_LONGEST_ERROR = 300


class Pushed(NamedTuple):
    """What enqueue.lua answered."""

    code: int
    sealed: int
    wakeups: int
    watch: int


#: The usual answer: stored, and nothing else to do for the producer.
PLAIN = Pushed(STORED, 0, 0, 0)


class Limits(msgspec.Struct, frozen=True):
    """What a shard's scripts need to know of its queue's settings.

    Attributes:
        events_per_request: Events of a full batch.
        interval_ms: Age at which a list that is not full is sealed.
        batch_bytes: Most bytes of events in one batch, a separator for each event included.
        capacity_events: Most undelivered events.
        capacity_bytes: Most bytes of undelivered events.
        parallel: Most batches in flight at once.
        slot_ttl_ms: How long a wake-up that no task picked up keeps its slot.
    """

    events_per_request: int
    interval_ms: int
    batch_bytes: int
    capacity_events: int
    capacity_bytes: int
    parallel: int
    slot_ttl_ms: int


class Batch(msgspec.Struct, frozen=True):
    """A claimed batch; nobody else can claim it until it is settled or its lease runs out.

    Attributes:
        id: Its name; the same at every attempt.
        attempt: 1 at the first claim; fences what the holder of an older lease does.
        lost_leases: Leases of this batch that ran out.
        events: Number of events in it.
        bytes: Their size, a separator for each included.
        first_ms: Unix ms at which its oldest event was enqueued.
        sealed_ms: Unix ms from which its age is counted.
        claimed_ms: Unix ms of this claim, by Redis' clock.
        wakeups: Slots taken for further workers, with tokens `help_token`:1 and so on.
        help_token: See wakeups.
        ever_delivered: Whether VWO ever accepted a batch of this queue's shard.
        results_wanted: Whether somebody listens for this queue's results.
    """

    id: str
    attempt: int
    lost_leases: int
    events: int
    bytes: int
    first_ms: int
    sealed_ms: int
    claimed_ms: int
    wakeups: int
    help_token: str
    ever_delivered: bool
    results_wanted: bool

    @property
    def age_seconds(self) -> float:
        """How long it has been sealed, at the time of the claim."""
        return (self.claimed_ms - self.sealed_ms) / 1000


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

        Pure, so that the sync and the asyncio producer share it. May be sent again as it is:
        events are stored once.

        Args:
            mark: The caller's, with its sequence already raised for this push.
            events: JSON of each event; at most as many as the caller wants in one command.
            names: Batches that the push may seal at most; see `names_needed`.
        """
        stem = f"{self.keys.prefix}batch:{push_token(mark)}"
        count = len(self._enqueue_keys) + 1 + names
        batches = (stem,) if names == 1 else [stem, *(f"{stem}.{i:04d}" for i in range(1, names))]
        return (
            "EVALSHA", self._enqueue.sha, count, *self._enqueue_keys, self.keys.mark(mark.id),
            *batches, mark.sequence, *events,
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

    def unwatch(self) -> bool:
        """Whether the sweep may forget this shard, since it holds nothing."""
        k = self.keys
        with unavailable(f"unwatch of {k.name}"):
            return bool(script("unwatch").run(self.client, (k.open, k.meta, k.ready, k.leases)))

    # -- delivery

    def claim(self, *, token: str, lease_seconds: float) -> Batch | None:
        """Take the batch that has waited longest; nobody else can until it is settled.

        Args:
            token: The wake-up's token, "" for none; where nothing is claimed, its slot is free.
            lease_seconds: How long the claim holds if this worker goes silent.

        Returns:
            A batch, or None if none may be claimed now: none is due, the queue is paused, or as
            many as allowed are in flight.
        """
        k, help_token = self.keys, new_token()
        with unavailable(f"claim from {k.name}"):
            answer = script("claim").run(
                self.client,
                (k.meta, k.ready, k.leases, k.info, k.slots),
                (token, as_ms(lease_seconds), help_token),
            )
        if not answer:
            return None
        batch_id, attempt, lost, events, size, first, sealed, now, wakeups, delivered, wanted = (
            answer
        )
        return Batch(
            as_text(batch_id), attempt, lost, events, size, first, sealed, now,
            wakeups, help_token, bool(delivered), bool(wanted),
        )  # fmt: skip

    def read(self, batch: Batch) -> list[bytes]:
        """The batch's events, oldest first, read in pages."""
        key, events = self.keys.batch(batch.id), []
        with unavailable(f"read of batch {batch.id}"):
            for end in range(batch.events, 0, -READ_PAGE_EVENTS):
                page = self.client.lrange(key, max(0, end - READ_PAGE_EVENTS), end - 1)
                events.extend(reversed(page))
        return events

    def ack(self, batch_id: str) -> bool:
        """Forget a batch that VWO accepted, whoever holds it; False if it was settled before."""
        k = self.keys
        keys = (k.meta, k.ready, k.leases, k.info, k.dead, k.batch(batch_id))
        with unavailable(f"ack of batch {batch_id}"):
            return bool(script("ack").run(self.client, keys, (batch_id,)))

    def release(self, batch: Batch, *, delay_seconds: float, error: str) -> bool:
        """Give the lease back, to be claimed again after a delay; False if it was ours no more."""
        k = self.keys
        arguments = (batch.id, batch.attempt, as_ms(delay_seconds), error[:_LONGEST_ERROR])
        with unavailable(f"release of batch {batch.id}"):
            return bool(script("release").run(self.client, (k.ready, k.leases, k.info), arguments))

    def extend(self, batch: Batch, *, lease_seconds: float, token: str) -> bool:
        """Hold the lease for *lease_seconds* from now; False if it is ours no more."""
        k = self.keys
        arguments = (batch.id, batch.attempt, as_ms(lease_seconds), token)
        with unavailable(f"extend of batch {batch.id}"):
            return bool(script("extend").run(self.client, (k.leases, k.info, k.slots), arguments))

    def dead_letter(self, batch: Batch, *, error: str) -> bool:
        """Take the batch out of delivery and keep it for the operator; False if ours no more."""
        k = self.keys
        arguments = (batch.id, batch.attempt, error[:_LONGEST_ERROR])
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

    # -- operating

    def set_limits(self, limits: Limits) -> None:
        """Write the limits that the scripts obey from now on."""
        fields = [word for field in msgspec.structs.asdict(limits).items() for word in field]
        with unavailable(f"limits of {self.keys.name}"):
            script("limit").run(self.client, (self.keys.meta,), fields)

    def pause(self, reason: str) -> None:
        """Claim nothing and wake nobody until `resume`; what is in flight is settled as usual."""
        with unavailable(f"pause of {self.keys.name}"):
            self.client.hset(self.keys.meta, "paused", reason[:_LONGEST_ERROR])

    def resume(self) -> bool:
        """End a pause; False if there was none."""
        with unavailable(f"resume of {self.keys.name}"):
            return bool(self.client.hdel(self.keys.meta, "paused"))

    def redrive(self, batch_id: str) -> int:
        """Put a dead-lettered batch back to be sent; the number of its events, 0 if not dead."""
        k = self.keys
        with unavailable(f"redrive of batch {batch_id}"):
            keys = (k.meta, k.ready, k.info, k.dead)
            return int(script("redrive").run(self.client, keys, (batch_id,)))

    def purge(self, batch_id: str) -> int:
        """Drop a dead-lettered batch for good; the number of its events, 0 if not dead."""
        k = self.keys
        with unavailable(f"purge of batch {batch_id}"):
            keys = (k.meta, k.info, k.dead, k.batch(batch_id))
            return int(script("purge").run(self.client, keys, (batch_id,)))


def names_needed(limits: Limits, events: Sequence[bytes]) -> int:
    """Batches that pushing *events* may seal at most, as enqueue.lua counts them."""
    count = len(events)
    if count == 1:
        return 2
    size = sum(map(len, events)) + count
    by_size = 2 * (size // limits.batch_bytes)
    return min(2 + count // limits.events_per_request + by_size, count + 1)


def new_token() -> str:
    """A name that no other call uses."""
    return uuid4().hex[:20]


def as_ms(seconds: float) -> int:
    """Whole milliseconds."""
    return int(seconds * 1000)


def as_text(value: Any) -> str:
    """A name that Redis answered, which is bytes unless the client decodes."""
    return value.decode() if isinstance(value, bytes) else str(value)
