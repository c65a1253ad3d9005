"""Stage 5 of an event's way: settle a batch, one script for each change, and announce it.

Where VWO refuses a batch, only what is to blame is dead-lettered; see `refusals` and `oversize`. If the
process dies in here, the lease runs out, and what was not settled is sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from vwo_celery import signals
from vwo_celery.delivering import sizes
from vwo_celery.delivering.attempts import Announcement, Attempt, delay_seconds
from vwo_celery.delivering.bisection import Range
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue import capacity
from vwo_celery.queue.holding.evidence import note_passed
from vwo_celery.queue.words import counts
from vwo_celery.queue.words.batches import Cause, Part, Passed, part_id
from vwo_celery.sending.outcomes import Outcome, Verdict
from vwo_celery.text.amounts import count

#: The matter with events that cannot be sent as they are.
_UNSENDABLE = "unsendable"


def dead_letter_incomplete(attempt: Attempt, encoded: list[bytes]) -> list[Announcement]:
    """Dead-letter, unsent, a batch of which events are missing.

    Usually the batch is settled already: a worker that held an older lease got VWO's answer after
    our claim. Else somebody deleted events from Redis: if all, they are counted as dropped, which is
    announced as such; else the rest is kept for the operator.
    """
    if not encoded and attempt.lease.vanish():
        return []
    gone = attempt.batch.events - len(encoded)
    error = f"{gone} of {attempt.batch.events} events are gone from Redis; not sent"
    return dead_letter(attempt, encoded, error, matter="incomplete")


def dead_letter_lost(attempt: Attempt, encoded: list[bytes]) -> list[Announcement]:
    """Dead-letter a batch whose leases keep running out: it may be what kills the workers."""
    lost = attempt.batch.lost_leases
    error = f"{lost} workers went silent while they held this batch; not sent again"
    return dead_letter(attempt, encoded, error, matter="lost_leases")


def dead_letter_unsendable(
    attempt: Attempt, encoded: list[bytes], bad: list[tuple[int, str]]
) -> list[Announcement]:
    """Dead-letter the events that must not be sent; the others become a batch of their own.

    Args:
        attempt: The attempt at the batch.
        encoded: Its events.
        bad: Index of each such event, and what is wrong with it.
    """
    error = f"{len(bad)} of {len(encoded)} events not sent: the event {bad[0][1]}"
    if len(bad) == len(encoded):
        return dead_letter(attempt, encoded, error, matter=_UNSENDABLE)
    indices = [index for index, _ in bad]
    good = _gaps(indices, len(encoded))
    dead = dead_part(encoded, indices, error)
    rest = Part("ready", good, size(pick(encoded, good)))
    if not attempt.lease.split([dead, rest], counts=counts.dead(_UNSENDABLE, len(bad))):
        return []
    trim_dead(attempt)
    refused = [encoded[index] for index in indices]
    return [attempt.announcement(signals.batch_dead_lettered, refused, error=error)]


def count_foreign(attempt: Attempt, encoded: list[bytes]) -> list[Announcement]:
    """Make a batch of all events of one into which another program pushed since it was sealed.

    As it is counted, an ack would forget an event that was not sent.
    """
    foreign = len(encoded) - attempt.batch.events
    if attempt.lease.split([Part("ready", ((0, len(encoded)),), size(encoded))]):
        log.warning(
            "another program pushed %s into batch %s after it was sealed: counted and sent with it",
            count(foreign, "event"), attempt.batch.id,
        )  # fmt: skip
    return []


def acknowledge(attempt: Attempt, encoded: list[bytes]) -> list[Announcement]:
    """Forget the batch: VWO has it."""
    batch = attempt.batch
    attempt.ack(counts.accepted(attempt.age_seconds))
    passed = sizes.after_success(batch.passed, batch.events, batch.bytes, batch.claimed_ms)
    if passed is not None:
        remember(attempt, passed)
    return [
        attempt.announcement(
            signals.batch_delivered, encoded, error=None, verdict=Verdict.DELIVERED
        )
    ]


def release(
    attempt: Attempt,
    encoded: list[bytes],
    outcome: Outcome,
    wait_seconds: float | None = None,
    *,
    signal: Any = signals.batch_released,
) -> list[Announcement]:
    """Release the batch for a later attempt; dead-letter one that is too old.

    Args:
        attempt: The attempt that failed.
        encoded: The batch's events.
        outcome: Why it failed.
        wait_seconds: Time until the circuit's next probe; None for the backoff's delay.
        signal: Announces it.
    """
    settings, error = attempt.worker.settings, outcome.error or ""
    if attempt.batch.age_seconds >= settings.max_batch_age_seconds:
        return dead_letter(attempt, encoded, error, outcome, matter="too_old")
    delay = wait_seconds if wait_seconds is not None else delay_seconds(attempt, outcome)
    if not attempt.lease.release(delay_seconds=delay, error=error):
        return []  # another worker has claimed or settled it since
    return [
        attempt.announcement(
            signal, encoded,
            error=error, verdict=outcome.verdict, retry_in_seconds=delay,
        )
    ]  # fmt: skip


def dead_letter(
    attempt: Attempt, encoded: list[bytes], error: str, outcome: Outcome | None = None,
    *, matter: str = "",
) -> list[Announcement]:  # fmt: skip
    """Keep the batch for the operator; announce nothing if another worker settled it.

    Args:
        attempt: The attempt at the batch.
        encoded: Its events, as far as they are there.
        error: Why.
        outcome: What VWO answered; None if it was not sent.
        matter: The word under which its events are counted; the outcome's verdict by default.
    """
    verdict = outcome.verdict if outcome is not None else None
    matter = matter or (verdict.value if verdict is not None else "")
    if not attempt.lease.dead_letter(error=error, counts=counts.dead(matter, attempt.batch.events)):
        return []
    trim_dead(attempt)
    signal = signals.batch_dead_lettered
    return [attempt.announcement(signal, encoded, error=error, verdict=verdict)]


def pause(attempt: Attempt, encoded: list[bytes], outcome: Outcome) -> list[Announcement]:
    """Keep everything, and claim nothing until an operator has mended what VWO refuses."""
    error = outcome.error or ""
    pause_queue(attempt, error)
    # The pause alone should hold the batch. Should it fail, VWO is not asked without a rest.
    rest = max(attempt.worker.settings.backoff_base_seconds, outcome.retry_after_seconds or 0.0)
    attempt.lease.release(delay_seconds=rest, error=error)
    signal = signals.destination_paused
    return [attempt.announcement(signal, encoded, error=error, verdict=outcome.verdict)]


def pause_queue(attempt: Attempt, error: str, *, by: Cause = "refusal") -> None:
    """Pause every shard of the queue: nothing is claimed until an operator resumes it."""
    attempt.at_each_shard(lambda shard: shard.pause(error, by=by))
    queue = attempt.registration.destination.queue
    log.error(
        "queue %s, of which VWO has not accepted anything yet, is paused, its events are kept: %s; "
        "when that is mended: vwo-celery resume --queue %s",
        queue, error, queue,
    )  # fmt: skip


def remember(attempt: Attempt, passed: Passed) -> None:
    """Remember, for all workers, the size that VWO accepts."""
    attempt.at_each_shard(lambda shard: note_passed(shard, passed))


def split_in_two(
    attempt: Attempt, encoded: list[bytes], count: int, *, error: str, outcome: Outcome | None
) -> list[Announcement]:
    """Make two batches of one, the first with its *count* oldest events.

    Args:
        attempt: The attempt at the batch.
        encoded: Its events.
        count: Events of the first batch, 1 and up.
        error: Stored with both batches.
        outcome: What VWO answered; None if the batch was not sent, so that nothing failed.
    """
    bounds = ((0, count), (count, len(encoded)))
    parts = [
        Part("ready", ((start, end),), size(encoded[start:end]), error=error)
        for start, end in bounds
    ]
    if not attempt.lease.split(parts):
        return []
    return [
        attempt.announcement(
            signals.batch_split,
            encoded,
            error=error if outcome is not None else None,
            verdict=outcome.verdict if outcome is not None else None,
            parts=names(attempt, len(parts)),
        )
    ]


def _gaps(indices: Sequence[int], count: int) -> tuple[Range, ...]:
    """The ranges between some indices."""
    bounds = [-1, *sorted(indices), count]
    return tuple((low + 1, high) for low, high in pairwise(bounds) if low + 1 < high)


def dead_part(encoded: Sequence[bytes], indices: Sequence[int], error: str) -> Part:
    """The part of a split in which single events become one dead letter."""
    ranges = tuple((index, index + 1) for index in sorted(indices))
    return Part("dead", ranges, size(pick(encoded, ranges)), error=error)


def pick(encoded: Sequence[bytes], ranges: Sequence[Range]) -> list[bytes]:
    """The events of some ranges, oldest first."""
    return [event for start, end in sorted(ranges) for event in encoded[start:end]]


def size(encoded: Sequence[bytes]) -> int:
    """Bytes of some events, a separator for each included."""
    return sum(map(len, encoded)) + len(encoded)


def names(attempt: Attempt, count: int) -> tuple[str, ...]:
    """Names of the *count* parts that the batch is split into."""
    batch = attempt.batch
    return tuple(part_id(batch.id, i, batch.help_token) for i in range(1, count + 1))


def trim_dead(attempt: Attempt) -> None:
    """Drop the oldest dead letters beyond `max_dead_events`; a failure is left to the next call."""
    try:
        capacity.trim_dead(attempt.shards, attempt.worker.settings.max_dead_events)
    except QueueUnavailable as exc:
        log.warning("more dead letters may be kept than max_dead_events: %s", exc)
