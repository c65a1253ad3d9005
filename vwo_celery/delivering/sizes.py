"""The size of batches for a destination that has found one too large: found, remembered, grown again.

Used between claim and send, and after a 413. Pure decisions: the caller passes in the function that
sends, and there is nothing to lose with the process. VWO names its limits (5,000 events, 10 MB), but
a proxy on the way may have lower ones and says so only by 413. What is remembered, with each shard
and for all workers, is a size that VWO accepted; nothing else proves a size. It grows with each full
batch that passes. Where a larger one does not pass, the next attempt at one waits, longer each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from vwo_celery.delivering.bisection import Range, Searched
from vwo_celery.events import MAX_BODY_BYTES, MAX_EVENTS_PER_REQUEST
from vwo_celery.queue.batches import Passed
from vwo_celery.sending.outcomes import Outcome, Verdict

#: Growth of the allowed size after each full batch that passes.
_GROWTH = 2
#: Bounds of the time after a larger batch was refused in which none is tried; it doubles, in ms.
FIRST_WAIT_MS, LONGEST_WAIT_MS = 60_000, 3_600_000
#: Refusals after which the wait is the longest.
_MOST_REFUSALS = 16
#: Largest step back of Redis' clock that goes unnoticed, in ms.
_SLIP_MS = 1_000


def allowed(passed: Passed, now_ms: int) -> tuple[int, int]:
    """Return the most events and bytes that a batch may have now; at least one event."""
    growth = 1 if _waits(passed, now_ms) else _GROWTH
    return max(1, passed.events * growth), passed.bytes * growth


def _waits(passed: Passed, now_ms: int) -> bool:
    """Whether it is too early for a larger batch; a time in the future is of a clock set back since."""
    if passed.refusals == 0:
        return False
    wait_ms = min(LONGEST_WAIT_MS, FIRST_WAIT_MS << min(passed.refusals, _MOST_REFUSALS) - 1)
    return -_SLIP_MS <= now_ms - passed.since_ms < wait_ms


def exceeds(passed: Passed, events: int, size: int) -> bool:
    """Whether a batch is larger than what VWO is known to accept."""
    return events > passed.events or size > passed.bytes


def after_attempt(passed: Passed, now_ms: int) -> Passed | None:
    """Return what to remember before a larger batch is sent: others wait for its result.

    None if that changes nothing, because nothing larger was refused since it last grew.
    """
    if passed.refusals == 0:
        return None
    return Passed(passed.events, passed.bytes, now_ms, passed.refusals)


def after_refusal(passed: Passed, now_ms: int) -> Passed:
    """Return what to remember after a larger batch than *passed* was too large."""
    return Passed(passed.events, passed.bytes, now_ms, passed.refusals + 1)


def after_success(passed: Passed | None, events: int, size: int, now_ms: int) -> Passed | None:
    """Return what to remember after VWO took such a batch; None if that changes nothing."""
    if passed is None or not exceeds(passed, events, size):
        return None
    grown = Passed(max(events, passed.events), max(size, passed.bytes), now_ms)
    if grown.events >= MAX_EVENTS_PER_REQUEST and grown.bytes >= MAX_BODY_BYTES:
        return Passed(0, 0, 0)  # no limit is left
    return grown


def after_search(encoded_sizes: Sequence[int], found: Searched, now_ms: int) -> Passed | None:
    """Return what to remember after a search: the largest range that passed; None if none did."""
    if not found.accepted:
        return None
    events = max(end - start for start, end in found.accepted)
    size = max(sum(encoded_sizes[start:end]) for start, end in found.accepted)
    return Passed(events, size, now_ms)


def search(
    encoded_sizes: Sequence[int],
    post: Callable[[int, int], Outcome | None],
    may_go_on: Callable[[], bool],
) -> Searched:
    """Find a size that passes, in a batch that is too large as a whole.

    The smallest event is sent first, alone: if even that is too large, it is not the size, and
    nothing more is sent. Then halves of the rest, until one passes.

    Args:
        encoded_sizes: Bytes of each event, 2 and up, a separator included, the oldest first.
        post: Sends the events of one range and returns the outcome; None ends the search.
        may_go_on: Asked before each call of *post*; False ends the search.

    Returns:
        The ranges that passed, one or two or none; all others are undecided. `stopped` is an
        outcome other than "too large" that ended it.
    """
    found, total = Searched(), len(encoded_sizes)
    smallest = min(range(total), key=encoded_sizes.__getitem__)
    for number, (start, end) in enumerate(_tries(smallest, total)):
        outcome = post(start, end) if may_go_on() else None
        if outcome is None or outcome.verdict not in (Verdict.DELIVERED, Verdict.TOO_LARGE):
            found.stopped = outcome
            break
        passed = outcome.verdict is Verdict.DELIVERED
        if passed:
            found.accepted.append((start, end))
        is_first = number == 0
        if passed is not is_first:  # not even the smallest event passes; or a larger range does
            found.finished = True
            break
    found.undecided = _others(found.accepted, total)
    return found


def _tries(smallest: int, total: int) -> Iterator[Range]:
    """The smallest event, then ever smaller halves of the larger range beside it."""
    yield smallest, smallest + 1
    start, end = max((0, smallest), (smallest + 1, total), key=lambda each: each[1] - each[0])
    count = end - start
    while True:
        count = (count + 1) // 2
        yield start, start + count
        if count == 1:
            return


def _others(ranges: Sequence[Range], total: int) -> list[Range]:
    """The ranges of a batch between some ranges."""
    others, start = [], 0
    for first, end in [*sorted(ranges), (total, total)]:
        if start < first:
            others.append((start, first))
        start = end
    return others


def cut(sizes: Sequence[int], most_events: int, most_bytes: int) -> int:
    """Return how many of the oldest events fit into one batch: at least one, at most all of them.

    Args:
        sizes: Bytes of each event, a separator included, the oldest first.
        most_events: Most events of the batch.
        most_bytes: Most bytes of the batch.
    """
    total = 0
    for i, size in enumerate(sizes):
        total += size
        if i > 0 and (i >= most_events or total > most_bytes):
            return i
    return len(sizes)
