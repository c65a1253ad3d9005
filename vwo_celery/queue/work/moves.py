"""Moves: a sealed batch with all its events to a shard of another queue, once, in a few steps.

Beside an event's way, at an operator's request. It departs, its events are stored in the new queue, it
arrives, and the old queue forgets it; see `moving`. A process that dies between two steps leaves a
batch that has departed, which `departures` settles. Nothing is lost, and no event is in two queues for
a worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, Literal

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import moving
from vwo_celery.queue.handling.moving import Arrival, Heading, Rest
from vwo_celery.queue.shard import READ_PAGE_EVENTS, Shard
from vwo_celery.queue.words.keys import as_text, new_token
from vwo_celery.queue.work import departures
from vwo_celery.queue.work.pushes import pages

#: Separator between a batch's name and the token of its move.
_MOVE: Final = "~"

#: The outcome for one batch: it is in the new queue; it is where it was, for a reason; it was not to be
#: moved any more (claimed, settled, or sealed too lately).
Fate = Literal["moved", "stayed", "gone"]


class Sealed(msgspec.Struct, frozen=True):
    """A sealed batch that no worker holds.

    Attributes:
        batch: Its name.
        state: "ready" (or released), or "dead".
        attempt: Attempts so far.
        events: Number of events.
        bytes: Their size, a separator for each included.
        first_ms: Unix ms of its oldest event.
        at_ms: Unix ms from which it may be claimed, or at which it was dead-lettered.
        error: Why it was last released or dead-lettered.
    """

    batch: str
    state: Rest
    attempt: int
    events: int
    bytes: int
    first_ms: int
    at_ms: int
    error: str


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of one batch's move: its events that moved; why it stayed, in words and as a code."""

    fate: Fate
    events: int
    why: str = ""
    code: int = 0


def look_up(shard: Shard, batch_ids: Sequence[str], state: Rest) -> list[Sealed]:
    """Those of these batches that are in *state*, with a line that this release can read.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    if not batch_ids:
        return []
    k = shard.keys
    with unavailable(f"look at {k.name}"):
        pipe = shard.client.pipeline(transaction=False)
        pipe.hmget(k.info, batch_ids)
        for key in (k.dead,) if state == "dead" else (k.ready, k.leases):
            pipe.zmscore(key, batch_ids)
        lines, *times = pipe.execute()
    found = []
    for name, line, *scores in zip(batch_ids, lines, *times, strict=True):
        at = next((each for each in scores if each is not None), None)
        numbers, error = _read_line(line)
        if at is not None and numbers:
            attempt, _, events, size, first, _ = numbers
            found.append(Sealed(name, state, attempt, events, size, first, int(at), error))
    return found


def _read_line(line: bytes | None) -> tuple[list[int], str]:
    *numbers, error = [*as_text(line or b"").split(":", 6)]
    if len(numbers) != 6 or not all(each.isdecimal() for each in numbers):
        return [], ""
    return [int(each) for each in numbers], error


def event_pages(shard: Shard, batch_id: str, events: int) -> Iterator[list[bytes]]:
    """The *events* events of a batch in pages, oldest first.

    Fewer if some are gone; more, but not all, if another program pushed into it.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    key, size = shard.keys.batch(batch_id), READ_PAGE_EVENTS + 1
    for read in range(0, events + 1, size):
        with unavailable(f"read of batch {batch_id}"):
            page = shard.client.lrange(key, -read - size, -read - 1)
        yield page[::-1]


def move_batch(
    fleet: Fleet,
    source: Shard,
    target: Shard,
    batch: Sealed,
    events: Sequence[bytes],
    *,
    sealed_until_ms: int,
) -> Outcome:
    """Move one batch; whatever happens, it is at one of the two queues, or `departures` puts it there.

    Args:
        fleet: All queues.
        source: The shard that holds it.
        target: The shard that it moves to.
        batch: As it was looked up.
        events: All its events, oldest first.
        sealed_until_ms: Leave it where it is if it was sealed later.

    Raises:
        QueueUnavailable: Redis did not answer, or refused to store it. It is where it was, or has
            departed and stays so until somebody settles it.
    """
    heading = Heading(
        target.queue, target.number, f"{batch.batch.partition(_MOVE)[0]}{_MOVE}{new_token()}"
    )
    departed = moving.depart(
        source, batch.batch, heading, state=batch.state, sealed_until_ms=sealed_until_ms
    )
    if not departed:
        return Outcome("gone", 0)
    try:
        code = _arrive(source, target, heading, batch, events)
    except BaseException:
        with suppress(QueueUnavailable):
            departures.settle(fleet, source, batch.batch, heading)
        raise
    if departures.settle(fleet, source, batch.batch, heading, arrived=code >= moving.CAME_BEFORE):
        return Outcome("moved", batch.events)
    return Outcome("stayed", 0, why_not(code), code)


#: Why a batch did not arrive, by the answer of arrive.lua or stage.lua.
_WHY: Final = {
    moving.TOO_MANY_EVENTS: "the queue would hold more events than max_queue_events",
    moving.TOO_MANY_BYTES: "the queue would hold more bytes than max_queue_bytes",
    moving.NOT_REGISTERED: "Redis has forgotten the queue meanwhile",
    moving.FORGONE: "another process put it back meanwhile",
    moving.NOT_STAGED: "another process does the same at the same time",
}


def why_not(code: int) -> str:
    """Why a batch did not arrive, by the answer of arrive.lua."""
    return _WHY.get(code, "Redis did not take it")


def _arrive(
    source: Shard, target: Shard, heading: Heading, batch: Sealed, events: Sequence[bytes]
) -> int:
    if not stage(target, heading.batch, events):
        return moving.NOT_STAGED
    dead = batch.state == "dead"
    arrival = Arrival(
        batch=heading.batch,
        state=batch.state,
        events=batch.events,
        bytes=batch.bytes,
        first_ms=batch.first_ms,
        attempt=batch.attempt if dead else 0,  # what the old destination refused counts no more
        error=batch.error if dead else "",
        died_ms=batch.at_ms if dead else 0,
        contexts=_contexts_of(source, batch.batch),
    )
    return moving.arrive_from_move(target, arrival)


def _contexts_of(shard: Shard, batch_id: str) -> str:
    try:
        return as_text(shard.contexts_of(batch_id) or b"")
    except QueueUnavailable:
        return ""  # no event waits for contexts


def stage(shard: Shard, batch_id: str, events: Sequence[bytes]) -> bool:
    """Store the events of a batch that is about to arrive; False if others do the same.

    Raises:
        QueueUnavailable: Redis did not take them.
    """
    before = 0
    for page in pages(events):
        if not moving.stage(shard, batch_id, page, before=before):
            return False
        before += len(page)
    return True
