"""Which events of a batch make VWO refuse it: a search by halves.

Place: words, no I/O; between send and settle, where VWO answered 400 or 422 to a batch of several. What
is sent to find out is passed in. VWO refuses a wrong account by the same status, so that nothing is found
guilty before something of the same batch has been accepted. If the process dies in the search, the batch
is claimed again as a whole, and VWO sees twice what it had accepted.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from vwo_celery.sending.outcomes import Outcome, Verdict

Range = tuple[int, int]

#: Refusals without a single acceptance after which single events from all over the batch are tried.
PATIENCE = 16
#: Refusals without a single acceptance after which it is not a matter of single events.
MOST_REFUSALS = 40


class Findings(msgspec.Struct):
    """What a search came to; ranges are (first, one after the last), events counted from 0.

    Attributes:
        accepted: Ranges that VWO accepted.
        refused: Single events that it refused.
        untried: Ranges that are still to be tried, or were refused as a whole.
        finished: Whether the search came to its end.
        stopped: The outcome that ended it early, such as a timeout; None if none did.
    """

    accepted: list[Range] = msgspec.field(default_factory=list)
    refused: list[int] = msgspec.field(default_factory=list)
    untried: list[Range] = msgspec.field(default_factory=list)
    finished: bool = False
    stopped: Outcome | None = None

    @property
    def all_refused(self) -> bool:
        """Whether VWO refused whatever it was sent, so that no single event is to blame."""
        return self.finished and not self.accepted

    @property
    def delivered(self) -> int:
        """Number of events accepted."""
        return sum(end - start for start, end in self.accepted)


def search(
    events: int, attempt: Callable[[int, int], Outcome | None], may_go_on: Callable[[], bool]
) -> Findings:
    """Find what VWO refuses in a batch that it refused as a whole.

    Args:
        events: Number of events in the batch, 2 and up.
        attempt: Sends the events of one range and says what came of it; None ends the search.
        may_go_on: Asked before each attempt.

    Returns:
        Accepted, refused and untried ranges, together the whole batch.
    """
    found = Findings(untried=_halves(0, events))
    refusals = 0
    while found.untried and (found.accepted or refusals < MOST_REFUSALS):
        if not may_go_on():
            return found
        start, end = _next(found, refusals)
        outcome = attempt(start, end)
        if outcome is None or outcome.verdict not in (Verdict.DELIVERED, Verdict.REJECTED):
            found.untried.append((start, end))
            found.stopped = outcome
            return found
        if outcome.verdict is Verdict.DELIVERED:
            found.accepted.append((start, end))
        elif end - start == 1:
            refusals += 1
            found.refused.append(start)
        else:
            refusals += 1
            found.untried += _halves(start, end)
    found.finished = True
    return found


def _next(found: Findings, refusals: int) -> Range:
    """What to try next: of the last range that was refused, the first half; or, where that leads to
    nothing, a single event from the middle of the largest range."""
    if found.accepted or refusals < PATIENCE:
        return found.untried.pop()
    start, end = max(found.untried, key=lambda each: each[1] - each[0])
    found.untried.remove((start, end))
    middle = (start + end) // 2
    found.untried += [each for each in ((middle + 1, end), (start, middle)) if each[0] < each[1]]
    return middle, middle + 1


def _halves(start: int, end: int) -> list[Range]:
    """The two halves, the first one last: it is tried first."""
    middle = (start + end + 1) // 2
    return [(middle, end), (start, middle)]
