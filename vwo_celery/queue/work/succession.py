"""The end of one batch and the begin of the next in one packet: ack, claim, and the next one's events.

Stages 3 to 5 of an event's way, for a worker that goes on with the same shard. Redis runs the commands
one after the other, and each concludes alone: what is not answered properly is asked again by itself, or
left undone. If the process dies here, a lease runs out: that of the batch that was claimed, and if
the ack did not arrive, also that of the one before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue.calls import ClaimCall, ack_call
from vwo_celery.queue.pipelining import Command, send_once
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import READ_PAGE_EVENTS, Shard
from vwo_celery.queue.words.batches import Batch, Held
from vwo_celery.queue.words.counts import NOTHING, Counts
from vwo_celery.queue.work.sweeping import tokens


class Successor(NamedTuple):
    """The answer to a claim.

    Attributes:
        found: See `Shard.claim`.
        events: The events of the batch that was claimed, oldest first; None where they are still to be
            read.
    """

    found: Batch | Held | None
    events: list[bytes] | None = None


def ack_and_claim(
    shard: Shard, batch: Batch, *, lease_seconds: float, counts: Counts = NOTHING
) -> Successor | None:
    """Forget a batch that VWO accepted, as `Shard.ack` does, and lease the one that follows.

    Args:
        shard: Where the batch is.
        batch: As it was claimed.
        lease_seconds: Length of the next lease.
        counts: What was counted of the batch.

    Returns:
        The answer to the claim; None if it has none, so that a claim alone is to be tried.

    Raises:
        QueueUnavailable: The batch may not be forgotten. What was claimed is handed back, or its lease
            runs out.
    """
    ack = ack_call(shard.keys, batch.id, batch.claimed_ms, counts)
    command = Command(ack.keys[0], script("ack").command(*ack))
    with unavailable(f"ack of batch {batch.id}"):
        acked, successor = _send(shard, [command], foreseen_after(batch), lease_seconds)
    if isinstance(acked[0], Exception):
        try:
            shard.ack(batch.id, claimed_ms=batch.claimed_ms, counts=counts)
        except QueueUnavailable as exc:
            if successor is not None and not isinstance(exc.__cause__, WORTH_A_NEW_CONNECTION):
                _undo(shard, successor)
            raise
        if successor is not None and successor.found is None:
            return None  # the claim came before the ack, which may have made place for it
    return successor


def foreseen_after(batch: Batch) -> str:
    """The batch that follows, if one page will hold its events, as it holds this one's; else ""."""
    return batch.following if batch.events <= READ_PAGE_EVENTS else ""


def claim_following(shard: Shard, following: str, *, lease_seconds: float) -> Successor | None:
    """Lease the batch that has waited longest, and read its events in the same packet.

    Args:
        shard: The shard.
        following: The batch that it will probably be, see `Batch.following`.
        lease_seconds: Length of the lease.

    Returns:
        The answer to the claim; None if it has none, so that a claim alone is to be tried.

    Raises:
        QueueUnavailable: Redis did not answer; the lease runs out, if there is one.
    """
    with unavailable(f"claim from {shard.keys.name}"):
        return _send(shard, [], following, lease_seconds)[1]


def _send(
    shard: Shard, before: list[Command], following: str, lease_seconds: float
) -> tuple[list[Any], Successor | None]:
    """Send commands, a claim, and where the batch can be foreseen, the reading of its events."""
    claim = ClaimCall.of(shard.keys, token="", lease_seconds=lease_seconds)
    commands = [*before, Command(claim.call.keys[0], script("claim").command(*claim.call))]
    if following:
        key = shard.keys.batch(following)
        commands.append(Command(key, ("LRANGE", key, 0, READ_PAGE_EVENTS)))
    answers = send_once(shard.client, commands)
    first, answer, page = answers[: len(before)], answers[len(before)], answers[len(before) + 1 :]
    if isinstance(answer, Exception):
        return first, None
    found = claim.read(answer)
    is_foreseen_batch = isinstance(found, Batch) and found.id == following
    return first, Successor(found, _events_of(found, page[0]) if is_foreseen_batch else None)


def _events_of(batch: Any, page: Any) -> list[bytes] | None:
    """The events of a batch, the oldest first; None if the page is not all of them."""
    if isinstance(page, Exception) or len(page) != batch.events:
        return None
    events: list[bytes] = page[::-1]
    return events


def _undo(shard: Shard, successor: Successor) -> None:
    """Hand the batch back that was claimed, as far as Redis lets us; else its lease runs out."""
    batch = successor.found
    if not isinstance(batch, Batch):
        return
    try:
        shard.hand_back(batch, lease_until_ms=batch.lease_until_ms)
        if batch.wakeups:
            shard.free_slots([*tokens(batch.help_token, batch.wakeups)])
    except QueueUnavailable as exc:
        log.debug("batch %s is claimed again after its lease: %s", batch.id, exc)
