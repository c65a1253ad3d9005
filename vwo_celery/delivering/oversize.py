"""Find a size that passes where VWO answers 413, and split batches to it.

Stages 4 and 5 of an event's way, a rare one. A proxy or a firewall on the way may answer 413 to
everything for a while, so no event is to blame for its size unless it is large and VWO accepted
another batch since. If the process dies in here, the whole batch is claimed again, and VWO gets once
more what it had accepted.
"""

from __future__ import annotations

from vwo_celery.delivering import refusals, settling, sizes
from vwo_celery.delivering.attempts import Announcement, Attempt
from vwo_celery.queue.words.batches import Passed
from vwo_celery.sending.outcomes import Answer, Outcome, Verdict

#: Size up to which no single event is dead-lettered as too large: no limit on the way is so low, in
#: bytes.
SMALL_EVENT_BYTES = 8192


def split_to_size(attempt: Attempt, encoded: list[bytes]) -> list[Announcement] | None:
    """Split a batch larger than what VWO is known to take; None if it is to be sent as it is."""
    batch = attempt.batch
    if batch.passed is None or len(encoded) == 1:
        return None
    most_events, most_bytes = sizes.allowed(batch.passed, batch.claimed_ms)
    count = sizes.cut(_sizes(encoded), most_events, most_bytes)
    if count < len(encoded):
        return _cut(attempt, encoded, count, outcome=None)
    if sizes.exceeds(batch.passed, batch.events, batch.bytes):
        passed = sizes.after_attempt(batch.passed, batch.claimed_ms)
        if passed is not None:
            settling.remember(attempt, passed)
    return None


def _cut(
    attempt: Attempt, encoded: list[bytes], count: int, *, outcome: Outcome | None
) -> list[Announcement]:
    error = f"cut to {count} events at most: VWO found a larger batch too large"
    # Into two halves of whole parts each, so that an event is copied few times however many parts.
    half = count * max(1, len(encoded) // count // 2)
    return settling.split_in_two(attempt, encoded, half, error=error, outcome=outcome)


def find_size(
    attempt: Attempt, encoded: list[bytes], outcome: Outcome, answer: Answer
) -> list[Announcement]:
    """Settle a batch that is too large: cut it to the size that passes, and find that size.

    A batch of which not even the smallest event passes is not too large: something on the way
    refuses everything. It is held back, as in an outage.
    """
    batch, error = attempt.batch, outcome.error or ""
    if len(encoded) == 1:
        return _judge_event(attempt, encoded, outcome, answer)
    if answer.status is None:  # over VWO's general limit, and not sent
        half = (len(encoded) + 1) // 2
        return settling.split_in_two(attempt, encoded, half, error=error, outcome=outcome)
    if batch.passed is not None and sizes.exceeds(batch.passed, batch.events, batch.bytes):
        settling.remember(attempt, sizes.after_refusal(batch.passed, batch.claimed_ms))
        count = sizes.cut(_sizes(encoded), batch.passed.events, batch.passed.bytes)
        return _cut(attempt, encoded, count, outcome=outcome)
    return _search(attempt, encoded, outcome)


def _search(attempt: Attempt, encoded: list[bytes], outcome: Outcome) -> list[Announcement]:
    post, may_go_on = refusals.searching(attempt, encoded)
    found = sizes.search(_sizes(encoded), post, may_go_on)
    passed = sizes.after_search(_sizes(encoded), found, attempt.batch.claimed_ms)
    if passed is not None:
        settling.remember(attempt, passed)
        return refusals.settle_parts(attempt, encoded, found, outcome.error or "")
    if found.all_refused:
        return refusals.hold_back(attempt, encoded, outcome)
    stopped = found.stopped
    if (
        stopped is not None
        and stopped.verdict is Verdict.REJECTED
        and refusals.passed_since(attempt)
    ):
        half = (len(encoded) + 1) // 2  # of smaller parts, the search for bad events tells which
        return settling.split_in_two(
            attempt, encoded, half, error=outcome.error or "", outcome=outcome
        )
    return refusals.release_after_search(attempt, encoded, found, outcome)


def _judge_event(
    attempt: Attempt, encoded: list[bytes], outcome: Outcome, answer: Answer
) -> list[Announcement]:
    """Settle a single event: it is too large if it is large, and VWO accepted another batch since."""
    batch, error = attempt.batch, outcome.error or ""
    if answer.status is None:
        return settling.dead_letter(attempt, encoded, error, outcome)
    if not refusals.passed_since(attempt):
        return refusals.hold_back(attempt, encoded, outcome)
    if batch.bytes > max(SMALL_EVENT_BYTES, _largest_bytes(batch.passed)):
        return settling.dead_letter(attempt, encoded, error, outcome)
    return settling.release(attempt, encoded, outcome)


def _largest_bytes(passed: Passed | None) -> int:
    return 0 if passed is None else passed.bytes


def _sizes(encoded: list[bytes]) -> list[int]:
    return [len(event) + 1 for event in encoded]
