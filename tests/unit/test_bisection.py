"""The search for refused events in a batch: no event is lost or blamed wrongly, with few sends."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vwo_celery.delivering.bisection import (
    MOST_REFUSALS,
    REFUSALS_BEFORE_SINGLES,
    Range,
    Searched,
    search,
)
from vwo_celery.sending.outcomes import Outcome, Verdict

LARGEST = 5_000
ACCEPTED = Outcome(verdict=Verdict.DELIVERED)
REFUSED = Outcome(verdict=Verdict.REJECTED, error="VWO answered 400 (Bad Request)")
BUSY = Outcome(verdict=Verdict.RELEASE, error="VWO answered 503 (Service Unavailable)")
FORBIDDEN = Outcome(verdict=Verdict.REFUSED, error="VWO answered 403 (Forbidden)")
#: Most poisons with which a search certainly finds an accepted event: the search gives up after
#: MOST_REFUSALS, of which only the first few are of ranges and not of single events.
SURELY_FOUND = MOST_REFUSALS - REFUSALS_BEFORE_SINGLES - 1


class Vwo:
    """Refuses every range with a poison; may give another answer from a given send on."""

    def __init__(
        self, poisons: frozenset[int], *, until: int = 10**9, then: Outcome | None = None
    ) -> None:
        self.poisons = poisons
        self.until = until
        self.then = then
        self.sent: list[Range] = []
        self.accepted: list[Range] = []

    def answer(self, start: int, end: int) -> Outcome | None:
        """The answer of VWO to a POST of these events."""
        if len(self.sent) >= self.until:
            return self.then
        self.sent.append((start, end))
        if any(start <= poison < end for poison in self.poisons):
            return REFUSED
        self.accepted.append((start, end))
        return ACCEPTED


def always() -> bool:
    """Allow the search to go on."""
    return True


def find(events: int, vwo: Vwo) -> Searched:
    """Search to the end."""
    return search(events, vwo.answer, always)


def whole(events: int, found: Searched) -> bool:
    """Whether accepted, refused and undecided ranges add up to the whole batch, each event once."""
    refused = [(index, index + 1) for index in found.refused]
    ranges = sorted([*found.accepted, *found.undecided, *refused])
    bounds = [0, *(end for _, end in ranges)]
    return [start for start, _ in ranges] == bounds[:-1] and bounds[-1] == events


@st.composite
def batches(
    draw: st.DrawFn, most_events: int = LARGEST, most_poisons: int = LARGEST
) -> tuple[int, frozenset[int]]:
    """The size of a batch, and the events that VWO refuses: at least one."""
    events = draw(st.integers(2, most_events))
    size = min(most_poisons, events)
    poisons = draw(st.frozensets(st.integers(0, events - 1), min_size=1, max_size=size))
    return events, poisons


# -- the events that are found


@pytest.mark.parametrize("poison", [0, 1, 6, 7])
def test_a_single_poison_is_found(poison: int) -> None:
    """A single poison is refused alone, and all other events are accepted."""
    found = find(8, Vwo(frozenset({poison})))

    assert found.finished
    assert found.refused == [poison]
    assert found.undecided == []
    assert found.delivered == 7
    assert not found.all_refused


def test_two_events_are_tried_one_by_one() -> None:
    """The smallest batch that can be searched has two events, which are sent one by one."""
    vwo = Vwo(frozenset({1}))

    found = find(2, vwo)

    assert vwo.sent == [(0, 1), (1, 2)]
    assert (found.accepted, found.refused) == ([(0, 1)], [1])


def test_the_older_half_is_sent_first() -> None:
    """The older half is sent first: VWO accepts events in their order."""
    vwo = Vwo(frozenset({5}))

    find(8, vwo)

    assert vwo.accepted == sorted(vwo.accepted)


@given(batch=batches(most_poisons=SURELY_FOUND))
@example(batch=(LARGEST, frozenset(range(SURELY_FOUND))))
@example(batch=(SURELY_FOUND + 1, frozenset(range(SURELY_FOUND))))
@example(batch=(LARGEST, frozenset(range(LARGEST - SURELY_FOUND, LARGEST))))
def test_few_poisons_are_all_found(batch: tuple[int, frozenset[int]]) -> None:
    """Few poisons are all found, wherever they are: each is refused alone, and the rest is accepted."""
    events, poisons = batch
    if len(poisons) == events:
        return
    vwo = Vwo(poisons)

    found = find(events, vwo)

    assert found.finished
    assert whole(events, found)
    assert set(found.refused) == poisons
    assert found.delivered == events - len(poisons)
    assert found.undecided == []


@given(batch=batches(most_events=200))
def test_any_poisons_are_found_or_nothing_is_blamed(batch: tuple[int, frozenset[int]]) -> None:
    """Either all poisons are found, or nothing was accepted in time and the account is blamed."""
    events, poisons = batch
    vwo = Vwo(poisons)

    found = find(events, vwo)

    assert found.finished
    assert whole(events, found)
    if found.all_refused:
        assert found.accepted == vwo.accepted == []
    else:
        assert set(found.refused) == poisons


@given(batch=batches(most_poisons=40))
def test_whatever_is_reported_was_sent(batch: tuple[int, frozenset[int]]) -> None:
    """Every reported range was sent exactly so, and nothing was sent twice."""
    events, poisons = batch
    vwo = Vwo(poisons)

    found = find(events, vwo)

    assert sorted(found.accepted) == sorted(vwo.accepted)
    assert {(index, index + 1) for index in found.refused} <= set(vwo.sent)
    assert max(Counter(vwo.sent).values()) == 1
    assert (0, events) not in vwo.sent


# -- the number of sends


def most_sends(events: int, poisons: int) -> int:
    """Upper bound: two for each level of halving and poison, plus those until a first acceptance."""
    return (
        2 * poisons * (math.ceil(math.log2(events)) + 1) + MOST_REFUSALS + REFUSALS_BEFORE_SINGLES
    )


@given(batch=batches(most_poisons=60))
@example(batch=(LARGEST, frozenset(range(0, LARGEST, 100))))
@example(batch=(LARGEST, frozenset(range(60))))
def test_sends_grow_with_the_poisons_and_not_with_the_events(
    batch: tuple[int, frozenset[int]],
) -> None:
    """For k poisons among n events the search takes O(k log n) sends."""
    events, poisons = batch
    vwo = Vwo(poisons)

    find(events, vwo)

    assert len(vwo.sent) <= most_sends(events, len(poisons))


def test_one_poison_among_the_most_events_takes_few_sends() -> None:
    """One poison among the most events, the usual case, takes few sends."""
    most = max(_sends(LARGEST, poison) for poison in range(0, LARGEST, 7))

    assert most <= 2 * math.ceil(math.log2(LARGEST))


def _sends(events: int, poison: int) -> int:
    vwo = Vwo(frozenset({poison}))
    assert find(events, vwo).refused == [poison]
    return len(vwo.sent)


@pytest.mark.parametrize("events", [2, 3, 20, 21, MOST_REFUSALS, 100, LARGEST])
def test_where_all_is_refused_it_ends_soon(events: int) -> None:
    """If everything is refused, as with a wrong account, the search ends soon and blames no event."""
    vwo = Vwo(frozenset(range(events)))

    found = find(events, vwo)

    assert found.all_refused
    assert len(vwo.sent) <= MOST_REFUSALS
    assert whole(events, found)


@pytest.mark.parametrize("start", [0, 1_234, 2_500, 3_999, 4_500])
def test_an_account_that_works_is_recognized(start: int) -> None:
    """If a tenth of the batch is acceptable, the search finds one of its events before it gives up."""
    good = frozenset(range(start, start + LARGEST // 10))
    vwo = Vwo(frozenset(range(LARGEST)) - good)

    found = search(LARGEST, vwo.answer, lambda: not vwo.accepted)

    assert not found.all_refused
    assert len(vwo.sent) <= MOST_REFUSALS


# -- early ends


@given(batch=batches(most_events=300, most_poisons=20), asked=st.integers(0, 60))
def test_a_search_that_may_not_go_on_keeps_what_it_has(
    batch: tuple[int, frozenset[int]], asked: int
) -> None:
    """When time is over or the worker stops, ranges that were not sent are undecided."""
    events, poisons = batch
    vwo = Vwo(poisons)

    found = search(events, vwo.answer, lambda: len(vwo.sent) < asked)

    assert whole(events, found)
    assert len(vwo.sent) <= asked
    assert sorted(found.accepted) == sorted(vwo.accepted)
    assert found.stopped is None
    assert found.finished or len(vwo.sent) == asked
    assert not (found.all_refused and not found.finished)


@pytest.mark.parametrize("then", [BUSY, FORBIDDEN, None])
@given(batch=batches(most_events=300, most_poisons=20), asked=st.integers(0, 60))
def test_another_answer_ends_the_search(
    then: Outcome | None, batch: tuple[int, frozenset[int]], asked: int
) -> None:
    """An outage or a lost lease ends the search: the last range is undecided, and the answer is kept."""
    events, poisons = batch
    vwo = Vwo(poisons, until=asked, then=then)

    found = find(events, vwo)

    assert whole(events, found)
    assert sorted(found.accepted) == sorted(vwo.accepted)
    if found.finished:
        assert found.stopped is None
    else:
        assert len(vwo.sent) == asked
        assert found.stopped is then
        assert found.undecided
        assert not found.all_refused


def test_a_batch_that_became_too_large_ends_the_search() -> None:
    """A 413 ends the search: it says nothing about an event."""
    too_large = Outcome(verdict=Verdict.TOO_LARGE, error="VWO answered 413")

    found = find(8, Vwo(frozenset({3}), until=1, then=too_large))

    assert found.stopped is too_large
    assert found.refused == []
    assert whole(8, found)


def test_a_search_that_ended_early_blames_no_one_without_an_acceptance() -> None:
    """Without an acceptance, a search that ended early blames no event: the account may be the cause."""
    found = find(2, Vwo(frozenset({0, 1}), until=1, then=BUSY))

    assert found.refused == [0]
    assert found.accepted == []
    assert not found.all_refused
