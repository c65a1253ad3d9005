"""Search for the events that make VWO refuse a batch, by halves.

Between send and settle, where VWO answered 400 or 422 to a batch of several events. Pure decisions:
the caller passes in the function that sends. VWO refuses a wrong account with the same status, so no
event is to blame before VWO has accepted another of the same batch. If the process dies in the search,
the whole batch is claimed again, and VWO gets once more what it had accepted.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from vwo_celery.sending.outcomes import Outcome, Verdict

Range = tuple[int, int]

#: Refusals, without one acceptance, after which the search sends single events from all over the batch.
REFUSALS_BEFORE_SINGLES = 16
#: Refusals, without one acceptance, after which the search ends: it is not the events.
MOST_REFUSALS = 40
#: The same where VWO accepted another batch since it refused this one: then it is all its events.
MOST_PROVEN_REFUSALS = 200


class Searched(msgspec.Struct):
    """The result of a search; ranges are (first, one after the last), events counted from 0.

    Attributes:
        accepted: Ranges that VWO accepted.
        refused: Single events that it refused.
        undecided: Ranges that were not sent, or were refused as a whole.
        finished: Whether the search came to its end.
        stopped: The outcome that ended it early, such as a timeout; None for no such outcome.
    """

    accepted: list[Range] = msgspec.field(default_factory=list)
    refused: list[int] = msgspec.field(default_factory=list)
    undecided: list[Range] = msgspec.field(default_factory=list)
    finished: bool = False
    stopped: Outcome | None = None

    @property
    def all_refused(self) -> bool:
        """Whether VWO refused all that it was sent, so that it says nothing of a single event."""
        return self.finished and not self.accepted

    @property
    def delivered(self) -> int:
        """Number of events accepted."""
        return sum(end - start for start, end in self.accepted)


def search(
    events: int,
    post: Callable[[int, int], Outcome | None],
    may_go_on: Callable[[], bool],
    *,
    most_refusals: int = MOST_REFUSALS,
) -> Searched:
    """Find the events that VWO refuses in a batch that it refused as a whole.

    Args:
        events: Number of events in the batch, 2 and up.
        post: Sends the events of one range and returns the outcome; None ends the search.
        may_go_on: Asked before each call of *post*; False ends the search.
        most_refusals: Refusals, without one acceptance, after which the search ends.

    Returns:
        Accepted, refused and undecided ranges, together the whole batch.
    """
    found = Searched(undecided=_halves(0, events))
    refusals = 0
    while found.undecided and (found.accepted or refusals < most_refusals):
        if not may_go_on():
            return found
        start, end = _next(found, refusals)
        outcome = post(start, end)
        if outcome is None or outcome.verdict not in (Verdict.DELIVERED, Verdict.REJECTED):
            found.undecided.append((start, end))
            found.stopped = outcome
            return found
        if outcome.verdict is Verdict.DELIVERED:
            found.accepted.append((start, end))
        elif end - start == 1:
            refusals += 1
            found.refused.append(start)
        else:
            refusals += 1
            found.undecided += _halves(start, end)
    found.finished = True
    return found


def _next(found: Searched, refusals: int) -> Range:
    """Choose the next range to send: the first half of the last refused one.

    After REFUSALS_BEFORE_SINGLES refusals, and while nothing is accepted, it is instead the event in
    the middle of the largest range.
    """
    if found.accepted or refusals < REFUSALS_BEFORE_SINGLES:
        return found.undecided.pop()
    start, end = max(found.undecided, key=lambda each: each[1] - each[0])
    found.undecided.remove((start, end))
    middle = (start + end) // 2
    found.undecided += [each for each in ((middle + 1, end), (start, middle)) if each[0] < each[1]]
    return middle, middle + 1


def _halves(start: int, end: int) -> list[Range]:
    """Halve a range; the first half stands last, since `_next` takes from the end."""
    middle = (start + end + 1) // 2
    return [(middle, end), (start, middle)]
