"""Batches between two queues: each change of a move or an import is one script, and one function here.

Beside an event's way, at an operator's request. Two queues may lie on two nodes of a Cluster, where
no script sees both. So a batch first departs: the old queue keeps it where no worker finds it. Then
it arrives in the new one, once, under a name of its own, and only then the old queue forgets it.
Whoever finds a batch that departed, at any time later, either sees that it has arrived, or forgoes its
arrival for good and puts it back. If the process dies here, a script has run as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import LONGEST_ERROR, as_ms
from vwo_celery.queue.words.keys import as_text

#: Outcome of which a flush is told whose batch was moved away; its events were not delivered.
MOVED: Final = "moved"
#: Reason under which dead letters count as dropped that are in a file and were removed.
EXPORTED: Final = "exported"
#: Answers of arrive.lua.
ARRIVED, CAME_BEFORE, FORGONE, NOT_STAGED = 1, 0, -5, -6
TOO_MANY_EVENTS, TOO_MANY_BYTES, NOT_REGISTERED = -1, -2, -3
#: Those that say that the queue is full.
FULL: Final = (TOO_MANY_EVENTS, TOO_MANY_BYTES)
#: Time for which an import's trace is kept; and that of a move whose batch has departed, until the
#: old queue has forgotten it; and for which a forgone batch is kept out.
IMPORT_TRACE_SECONDS: Final = 30 * 86_400.0
_MOVE_TRACE_SECONDS: Final = 100 * 366 * 86_400.0
_FORGONE_SECONDS: Final = 86_400.0

Rest = Literal["ready", "dead"]


class Heading(msgspec.Struct, frozen=True):
    """The heading of a batch that moves: queue, shard, and its name there."""

    queue: str
    shard: int
    batch: str

    def __str__(self) -> str:
        return f"{self.shard}:{self.batch}:{self.queue}"


class Leaving(msgspec.Struct, frozen=True):
    """A batch that has departed, and that its old queue has neither forgotten nor taken back.

    Attributes:
        batch: Its name.
        since_ms: Unix ms of its departure.
        state: Its state before: "ready" (or released), or "dead".
        at_ms: Unix ms from which it may be claimed, or at which it was dead-lettered.
        heading: Where it is headed; None if this release cannot read it.
        line: Its line in info.
    """

    batch: str
    since_ms: int
    state: str
    at_ms: int
    heading: Heading | None
    line: str

    @property
    def numbers(self) -> tuple[int, int, int, int, int, int]:
        """Attempts, lost leases, events, bytes, and the times of its first event and its sealing."""
        found = [int(each) for each in self.line.split(":", 6)[:6] if each.isdecimal()]
        attempt, lost, events, size, first, sealed = found if len(found) == 6 else [0] * 6
        return attempt, lost, events, size, first, sealed

    @property
    def events(self) -> int:
        """Number of its events."""
        return self.numbers[2]


class Arrival(msgspec.Struct, frozen=True):
    """A batch that is about to arrive, with events that are staged.

    Attributes:
        batch: Its name.
        state: Its state from then on. A ready one may be claimed at once, and has a new age.
        events: Number of events.
        bytes: Their size, a separator for each included.
        first_ms: Unix ms of its oldest event.
        attempt: Attempts so far.
        error: Why it was dead-lettered, "" for none.
        died_ms: Unix ms of its dead-lettering.
        contexts: What its old queue kept of its events' trace contexts, see `Shard.contexts_of`.
    """

    batch: str
    state: Rest
    events: int
    bytes: int
    first_ms: int
    attempt: int = 0
    error: str = ""
    died_ms: int = 0
    contexts: str = ""


def depart(
    shard: Shard, batch_id: str, heading: Heading, *, state: Rest, sealed_until_ms: int
) -> int:
    """Take a batch out of its queue; the number of its events.

    Returns 0 for one that is in flight, settled, not in *state*, or sealed after *sealed_until_ms*.

    Raises:
        QueueUnavailable: Redis did not answer; it may have departed.
    """
    k = shard.keys
    keys = (*k.sets, k.settled, k.leaving, *k.indexes)
    arguments = (batch_id, state, sealed_until_ms, str(heading), MOVED)
    with unavailable(f"departure of batch {batch_id}"):
        return int(script("depart").run(shard.client, keys, arguments))


def stay(shard: Shard, batch_id: str, heading: Heading) -> int:
    """Put a departed batch back, whose arrival has been forgone; the number of its events.

    Raises:
        QueueUnavailable: Redis did not answer; it may be back.
    """
    k = shard.keys
    with unavailable(f"return of batch {batch_id}"):
        keys = (k.meta, k.ready, k.info, k.dead, k.leaving, *k.indexes)
        return int(script("stay").run(shard.client, keys, (batch_id, str(heading))))


def forget(shard: Shard, batch_id: str, heading: Heading) -> int:
    """Forget a departed batch that has arrived; the number of its events.

    Raises:
        QueueUnavailable: Redis did not answer; it may be forgotten.
    """
    k = shard.keys
    with unavailable(f"end of the move of batch {batch_id}"):
        keys = (k.meta, k.leaving, k.batch(batch_id), k.traced)
        return int(script("moved").run(shard.client, keys, (batch_id, str(heading))))


def leaving(shard: Shard) -> list[Leaving]:
    """The batches that have departed and are not settled; few, since a move takes one at a time.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"look at {shard.keys.name}"):
        found = shard.client.hgetall(shard.keys.leaving)
    return [read_record(as_text(name), as_text(text)) for name, text in sorted(found.items())]


def read_record(batch_id: str, text: str) -> Leaving:
    """A batch's record in `leaving`."""
    since, state, at, length, rest = [*text.split(":", 4), *[""] * 4][:5]
    if not (since.isdecimal() and at.isdecimal() and length.isdecimal()):
        return Leaving(batch_id, 0, "ready", 0, None, "")
    size = int(length)
    return Leaving(batch_id, int(since), state, int(at), _heading(rest[:size]), rest[size:])


def _heading(text: str) -> Heading | None:
    shard, _, rest = text.partition(":")
    batch, _, queue = rest.partition(":")
    return Heading(queue, int(shard), batch) if shard.isdecimal() and batch and queue else None


def stage(shard: Shard, batch_id: str, page: Sequence[bytes], *, before: int) -> bool:
    """Add a page of events, oldest first, to those of a batch that is about to arrive.

    Args:
        shard: The shard that it arrives in.
        batch_id: Its name there.
        page: At most a thousand events.
        before: Number of events in the pages before.

    Returns:
        False if others stage the same batch, so that all must begin anew.

    Raises:
        QueueUnavailable: Redis did not take them: it did not answer, or is full.
    """
    keys = (shard.keys.staged(batch_id),)
    with unavailable(f"storing events of batch {batch_id}"):
        return int(script("stage").run(shard.client, keys, (before, *page))) >= 0


def arrive(shard: Shard, arrival: Arrival, *, counter: str, trace_seconds: float) -> int:
    """Make a batch of its staged events, once; one of the answers above.

    Raises:
        QueueUnavailable: Redis did not take it: it did not answer, or is full. It may have arrived.
    """
    k, a = shard.keys, arrival
    lists = (k.staged(a.batch), k.batch(a.batch))
    keys = (k.meta, k.ready, k.info, k.dead, *lists, k.arrived, k.births, k.traced)
    arguments = (
        a.batch, a.state, a.attempt, a.events, a.bytes, a.first_ms, a.error[:LONGEST_ERROR],
        a.died_ms, counter, as_ms(trace_seconds), a.contexts,
    )  # fmt: skip
    with unavailable(f"arrival of batch {a.batch}"):
        return int(script("arrive").run(shard.client, keys, arguments))


def arrive_from_move(shard: Shard, arrival: Arrival) -> int:
    """Let a batch arrive that has departed elsewhere; see `arrive`."""
    return arrive(shard, arrival, counter="moved_in", trace_seconds=_MOVE_TRACE_SECONDS)


def arrive_from_file(shard: Shard, arrival: Arrival) -> int:
    """Let a batch arrive that was read from a file; see `arrive`."""
    return arrive(shard, arrival, counter="imported", trace_seconds=IMPORT_TRACE_SECONDS)


def forgo(shard: Shard, batch_id: str) -> bool:
    """Make sure that a batch never arrives; False if it has arrived.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    k = shard.keys
    with unavailable(f"look for batch {batch_id}"):
        keys, arguments = (k.arrived, k.staged(batch_id)), (batch_id, as_ms(_FORGONE_SECONDS))
        return bool(script("forgo").run(shard.client, keys, arguments))


def forget_arrival(shard: Shard, batch_id: str) -> None:
    """Remove the trace of an arrival, once the old queue has forgotten the batch.

    Raises:
        QueueUnavailable: Redis did not answer; it may be kept.
    """
    with unavailable(f"end of the move of batch {batch_id}"):
        shard.client.zrem(shard.keys.arrived, batch_id)
