"""The size of batches for a destination that has found one too large: found, remembered, grown again.

Used between claim and send, and after a 413. Pure decisions: the caller passes in the function that
sends, and there is nothing to lose with the process. VWO names its limits (5,000 events, 10 MB), but
a proxy on the way may have lower ones and says so only by 413. What is remembered, with each shard
and for all workers, is a size that VWO accepted; nothing else proves a size. It grows with each full
batch that passes. Where a larger one does not pass, the next attempt at one waits, longer each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vwo_celery.delivering.bisection import Range, Searched
from vwo_celery.events import MAX_BODY_BYTES, MAX_EVENTS_PER_REQUEST
from vwo_celery.queue.words.batches import Passed
from vwo_celery.sending.outcomes import Outcome, Verdict

#: Sends a range of events; None if that was not possible.
Post = Callable[[int, int], Outcome | None]
#: Growth of the allowed size after each full batch that passes.
_GROWTH = 2
#: Ranks by size, in eighths of a batch, of the single events that a search tries, the smallest first.
_EIGHTHS = (0, 4, 2, 6, 1, 3, 5, 7)
#: Outcomes that say whether a range passes.
_CONCLUSIVE = (Verdict.DELIVERED, Verdict.TOO_LARGE, Verdict.REJECTED)
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
    post: Post,
    may_go_on: Callable[[], bool],
) -> Searched:
    """Find a size that passes, in a batch that is too large as a whole.

    The smallest event is sent first, alone: if even that is too large, it is not the size, and
    nothing more is sent. If VWO cannot read it, which says nothing of its size, events of other sizes
    are tried. Then halves of the rest, until one passes.

    Args:
        encoded_sizes: Bytes of each event, 2 and up, a separator included, the oldest first.
        post: Sends the events of one range and returns the outcome; None ends the search.
        may_go_on: Asked before each call of *post*; False ends the search.

    Returns:
        The ranges that passed, one or two or none; beside them, single events that VWO cannot read;
        all others are undecided. `stopped` is an outcome that ended the search early.
    """
    found, total = Searched(), len(encoded_sizes)
    if _find_single(found, encoded_sizes, post, may_go_on):
        rest = _others(_decided(found), total)
        _find_range(found, max(rest, key=_length, default=(0, 0)), post, may_go_on)
    else:
        found.refused = []  # while nothing passes, no event is to blame
    found.undecided = _others(_decided(found), total)
    return found


def _find_single(
    found: Searched, encoded_sizes: Sequence[int], post: Post, may_go_on: Callable[[], bool]
) -> bool:
    """Whether a single event passed; without one, the search is finished or stopped."""
    for number, event in enumerate(_singles(encoded_sizes)):
        outcome = post(event, event + 1) if may_go_on() else None
        if outcome is not None and outcome.verdict is Verdict.DELIVERED:
            found.accepted.append((event, event + 1))
            return True
        if outcome is not None and outcome.verdict is Verdict.REJECTED:
            found.refused.append(event)
            found.stopped = outcome
        elif outcome is None or outcome.verdict is not Verdict.TOO_LARGE:
            found.stopped = outcome
            return False
        elif number == 0:
            found.finished = True
            return False
    return False


def _find_range(found: Searched, rest: Range, post: Post, may_go_on: Callable[[], bool]) -> None:
    """Send ever smaller parts of a range, from its begin, until one passes."""
    found.stopped = None
    start, count = rest[0], _length(rest)
    while count > 0:
        count = (count + 1) // 2
        outcome = post(start, start + count) if may_go_on() else None
        if outcome is None or outcome.verdict not in _CONCLUSIVE:
            found.stopped = outcome
            return
        if outcome.verdict is Verdict.DELIVERED:
            found.accepted.append((start, start + count))
            break
        if count == 1:
            if outcome.verdict is Verdict.REJECTED:
                found.refused.append(start)
            break
    found.finished = True


def _singles(encoded_sizes: Sequence[int]) -> list[int]:
    """The smallest event, and events of sizes spread over the whole batch, each once."""
    by_size = sorted(range(len(encoded_sizes)), key=encoded_sizes.__getitem__)
    return list(dict.fromkeys(by_size[len(by_size) * eighths // 8] for eighths in _EIGHTHS))


def _decided(found: Searched) -> list[Range]:
    return [*found.accepted, *((event, event + 1) for event in found.refused)]


def _length(of: Range) -> int:
    return of[1] - of[0]


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
