"""Stage 5 of an event's way: what can be done to a batch; each change is one script, and is told.

Where VWO refuses a batch, only what is to blame is dead-lettered, see also `refusals`. If the process
dies in here, the lease runs out, and what was not settled is sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from vwo_celery import signals
from vwo_celery.delivering import sizes
from vwo_celery.delivering.attempts import Attempt, Told, delay_seconds
from vwo_celery.delivering.bisection import Range
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue import capacity
from vwo_celery.queue.batches import Part, Passed, part_id
from vwo_celery.sending.outcomes import Answer, Outcome, Verdict


def miss(attempt: Attempt, events: list[bytes]) -> list[Told]:
    """Send nothing of a batch that is not whole.

    Usually an older holder of it has had VWO's answer since our claim, and it is settled. Else
    somebody deleted its events, and it is kept for the operator as it is.
    """
    gone = attempt.batch.events - len(events)
    error = f"{gone} of {attempt.batch.events} events are gone from Redis; not sent"
    return dead_letter(attempt, events, error)


def give_up(attempt: Attempt, events: list[bytes]) -> list[Told]:
    """Dead-letter a batch whose workers keep dying: it may be what kills them."""
    lost = attempt.batch.lost_leases
    error = f"{lost} workers went silent while they held this batch; not sent again"
    return dead_letter(attempt, events, error)


def set_aside(attempt: Attempt, events: list[bytes], bad: list[tuple[int, str]]) -> list[Told]:
    """Dead-letter the events that must not be sent; the others become a batch of their own."""
    error = f"{len(bad)} of {len(events)} events not sent: the event {bad[0][1]}"
    if len(bad) == len(events):
        return dead_letter(attempt, events, error)
    good = _gaps([index for index, _ in bad], len(events))
    dead = dead_part(events, [index for index, _ in bad], error)
    rest = Part("ready", good, sum(size(events[start:end]) for start, end in good))
    if not attempt.lease.split([dead, rest]):
        return []
    trim_dead(attempt)
    report = attempt.report([events[index] for index, _ in bad], error=error)
    return [(report, signals.batch_dead_lettered)]


def cut_to_size(attempt: Attempt, events: list[bytes]) -> list[Told] | None:
    """Split a batch larger than what VWO is known to take; None where it is not."""
    batch = attempt.batch
    if batch.passed is None or len(events) == 1:
        return None
    most_events, most_bytes = sizes.allowed(batch.passed, batch.claimed_ms)
    count = sizes.cut([len(event) + 1 for event in events], most_events, most_bytes)
    if count == len(events):
        return None
    error = f"cut to {count} events at most: VWO found a larger batch too large"
    # In halves that are made of whole parts, so that many parts cost few cuts of each event.
    half = count * max(1, len(events) // count // 2)
    return _cut(attempt, events, half, error=error, told=None)


def acknowledge(attempt: Attempt, events: list[bytes]) -> list[Told]:
    """Forget the batch, which VWO has."""
    batch = attempt.batch
    attempt.lease.ack()
    passed = sizes.after_success(batch.passed, batch.events, batch.bytes)
    if passed is not None:
        _remember(attempt, passed)
    report = attempt.report(events, error=None, verdict=Verdict.DELIVERED)
    return [(report, signals.batch_delivered)]


def release(
    attempt: Attempt, events: list[bytes], outcome: Outcome, wait: float | None = None
) -> list[Told]:
    """Have the batch tried again later, unless it is too old; with an open circuit, at its probe."""
    settings, error = attempt.worker.settings, outcome.error or ""
    if attempt.batch.age_seconds >= settings.max_batch_age_seconds:
        return dead_letter(attempt, events, error, outcome)
    delay = wait if wait is not None else delay_seconds(attempt, outcome)
    attempt.lease.release(delay_seconds=delay, error=error)
    report = attempt.report(events, error=error, verdict=outcome.verdict, retry_in_seconds=delay)
    return [(report, signals.batch_released)]


def dead_letter(
    attempt: Attempt, events: list[bytes], error: str, outcome: Outcome | None = None
) -> list[Told]:
    """Have the batch tried no more; nothing to tell where it was settled by somebody else."""
    if not attempt.lease.dead_letter(error=error):
        return []
    trim_dead(attempt)
    verdict = outcome.verdict if outcome is not None else None
    return [(attempt.report(events, error=error, verdict=verdict), signals.batch_dead_lettered)]


def pause(attempt: Attempt, events: list[bytes], outcome: Outcome) -> list[Told]:
    """Keep everything, and claim nothing until an operator has mended what VWO dislikes."""
    error = outcome.error or ""
    pause_queue(attempt, error)
    attempt.lease.release(delay_seconds=0, error=error)
    report = attempt.report(events, error=error, verdict=outcome.verdict)
    return [(report, signals.destination_paused)]


def pause_queue(attempt: Attempt, error: str) -> None:
    """Have nothing claimed from any of the queue's shards."""
    for shard in attempt.shards:
        shard.pause(error)
    queue = attempt.registration.destination.queue
    log.error("queue %s is paused, its events are kept: %s; then: vwo-celery resume", queue, error)


def halve(attempt: Attempt, events: list[bytes], outcome: Outcome, answer: Answer) -> list[Told]:
    """Make two batches of one that is too large, and remember that; dead-letter a single event."""
    batch, error = attempt.batch, outcome.error or ""
    if len(events) == 1:
        return dead_letter(attempt, events, error, outcome)
    if answer.status is not None:  # else it is VWO's general limit, which we know
        _remember(
            attempt, sizes.after_refusal(batch.passed, batch.events, batch.bytes, batch.claimed_ms)
        )
    return _cut(attempt, events, (len(events) + 1) // 2, error=error, told=outcome)


def _cut(
    attempt: Attempt, events: list[bytes], count: int, *, error: str, told: Outcome | None
) -> list[Told]:
    """Make two batches of it, the first with its *count* oldest events."""
    bounds = ((0, count), (count, len(events)))
    parts = [
        Part("ready", ((start, end),), size(events[start:end]), error=error)
        for start, end in bounds
    ]
    if not attempt.lease.split(parts):
        return []
    report = attempt.report(
        events,
        error=error if told is not None else None,
        verdict=told.verdict if told is not None else None,
        parts=names(attempt, len(parts)),
    )
    return [(report, signals.batch_split)]


def _remember(attempt: Attempt, passed: Passed) -> None:
    for shard in attempt.shards:
        shard.note_passed(passed)


def _gaps(indices: Sequence[int], count: int) -> tuple[Range, ...]:
    """The ranges between some indices."""
    bounds = [-1, *sorted(indices), count]
    return tuple((low + 1, high) for low, high in pairwise(bounds) if low + 1 < high)


def dead_part(events: Sequence[bytes], indices: Sequence[int], error: str) -> Part:
    """Single events that become one dead letter."""
    ranges = tuple((index, index + 1) for index in sorted(indices))
    return Part("dead", ranges, size(pick(events, ranges)), error=error)


def pick(events: Sequence[bytes], ranges: Sequence[Range]) -> list[bytes]:
    """The events of some ranges, oldest first."""
    return [event for start, end in sorted(ranges) for event in events[start:end]]


def size(events: Sequence[bytes]) -> int:
    """Bytes of some events, a separator for each included."""
    return sum(map(len, events)) + len(events)


def names(attempt: Attempt, count: int) -> tuple[str, ...]:
    """Names of the parts of a batch that was split."""
    batch = attempt.batch
    return tuple(part_id(batch.id, i, batch.help_token) for i in range(1, count + 1))


def trim_dead(attempt: Attempt) -> None:
    """Keep no more dead letters than this worker's settings allow; the next dead letter tries again."""
    most = capacity.share(attempt.worker.settings.max_dead_events, attempt.registration.shards)
    try:
        capacity.trim_dead(attempt.lease.shard, most)
    except QueueUnavailable as exc:
        log.warning("more dead letters may be kept than max_dead_events: %s", exc)
