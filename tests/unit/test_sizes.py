"""The size of a batch after a 413: the search, what is remembered, how it grows, and the cut."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vwo_celery.delivering.sizes import (
    FIRST_WAIT_MS,
    LONGEST_WAIT_MS,
    after_attempt,
    after_refusal,
    after_search,
    after_success,
    allowed,
    cut,
    exceeds,
    search,
)
from vwo_celery.queue.words.batches import Passed
from vwo_celery.sending.outcomes import Outcome, Verdict

NOW = 1_800_000_000_000
#: Size of an event in these tests in bytes.
EVENT = 100
MINUTE = 60_000
DELIVERED, TOO_LARGE = Outcome(verdict=Verdict.DELIVERED), Outcome(verdict=Verdict.TOO_LARGE)
REJECTED = Outcome(verdict=Verdict.REJECTED)

counts = st.integers(1, 5_000)
amounts = st.integers(1, 10_000_000)
times = st.integers(0, 2**45)
passes = st.builds(Passed, counts, amounts, times, st.integers(0, 100))


class Vwo:
    """A destination with a limit, and a worker that sends to it, as `oversize` does."""

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self.most_events, self.most_bytes = most_events, most_bytes
        self.passed: Passed | None = None
        self.refused = self.requests = self.accepted = 0

    def deliver(self, events: list[int], now_ms: int) -> None:
        """Send one batch, given as the sizes of its events, in as many parts as necessary."""
        batches = deque([events])
        while batches:
            batches.extendleft(reversed(self._send(batches.popleft(), now_ms)))

    def _send(self, batch: list[int], now_ms: int) -> list[list[int]]:
        """Send one batch or cut it; what is left of it."""
        count, size, passed = len(batch), sum(batch), self.passed
        if passed is not None:
            fits = cut(batch, *allowed(passed, now_ms))
            if fits < count:
                return [batch[:fits], batch[fits:]]
            if exceeds(passed, count, size):
                self.passed = after_attempt(passed, now_ms) or passed
        if self._takes(count, size):
            self.passed = after_success(passed, count, size, now_ms) or self.passed
            return []
        if passed is not None and exceeds(passed, count, size):
            self.passed = after_refusal(passed, now_ms)
            fits = cut(batch, passed.events, passed.bytes)
            return [batch[:fits], batch[fits:]]
        return self._search(batch, now_ms)

    def _search(self, batch: list[int], now_ms: int) -> list[list[int]]:
        def post(start: int, end: int) -> Outcome:
            return DELIVERED if self._takes(end - start, sum(batch[start:end])) else TOO_LARGE

        found = search(batch, post, lambda: True)
        self.passed = after_search(batch, found, now_ms)
        assert self.passed is not None, "a single event that is too large is judged elsewhere"
        return [[size for start, end in found.undecided for size in batch[start:end]]]

    def _takes(self, count: int, size: int) -> bool:
        takes = count <= self.most_events and size <= self.most_bytes
        self.requests += 1
        self.refused += not takes
        self.accepted += count if takes else 0
        return takes


# -- the search


def sent(sizes: list[int], most_events: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The ranges that a search sends, and those that it leaves undecided."""
    ranges: list[tuple[int, int]] = []

    def post(start: int, end: int) -> Outcome:
        ranges.append((start, end))
        return DELIVERED if end - start <= most_events else TOO_LARGE

    return ranges, search(sizes, post, lambda: True).undecided


def test_the_smallest_event_is_sent_first() -> None:
    """The smallest event shows whether anything passes; then halves of the rest, until one passes."""
    ranges, undecided = sent([9, 9, 5, 9, 9, 9, 9, 9, 9], 2)

    assert ranges == [(2, 3), (3, 6), (3, 5)]
    assert undecided == [(0, 2), (5, 9)]


def test_where_not_even_the_smallest_passes_nothing_more_is_sent() -> None:
    """If the smallest event is too large, the search ends: one request, and it is not the size."""
    found = search([9] * 5_000, lambda *_: TOO_LARGE, lambda: True)

    assert found.all_refused
    assert found.undecided == [(0, 5_000)]


@pytest.mark.parametrize("outcome", [None, Outcome(verdict=Verdict.RELEASE)])
def test_another_answer_ends_the_search(outcome: Outcome | None) -> None:
    """An outage or a lost lease in the middle keeps what passed, and decides nothing else."""
    answers = iter([DELIVERED, outcome])

    found = search([9] * 8, lambda *_: next(answers), lambda: True)

    assert (found.accepted, found.undecided) == ([(0, 1)], [(1, 8)])
    assert found.stopped is outcome
    assert not found.all_refused


def test_a_worker_that_stops_sends_nothing_more() -> None:
    """A search that may not go on leaves the whole batch undecided."""
    found = search([9] * 8, lambda *_: pytest.fail("nothing is to be sent"), lambda: False)

    assert (found.accepted, found.undecided) == ([], [(0, 8)])
    assert not found.all_refused


def test_events_that_vwo_cannot_read_hide_no_size() -> None:
    """Where the smallest events are malformed, others are tried, and a size is found."""

    def post(start: int, end: int) -> Outcome:
        if end - start > 2:
            return TOO_LARGE
        return REJECTED if start < 3 else DELIVERED

    found = search([1, 1, 1, 9, 9, 9, 9, 9], post, lambda: True)

    assert found.refused == [0, 1]
    assert found.accepted == [(4, 5)]
    assert found.undecided == [(2, 4), (5, 8)]


def test_no_event_is_to_blame_while_vwo_reads_none() -> None:
    """If VWO reads no event of those tried, that ends the search and blames none of them."""
    found = search([9] * 500, lambda *_: REJECTED, lambda: True)

    assert (found.accepted, found.refused, found.undecided) == ([], [], [(0, 500)])
    assert found.stopped is REJECTED
    assert not found.all_refused


@given(sizes=st.lists(st.integers(1, 300), min_size=2, max_size=60), limit=st.integers(0, 60))
def test_a_search_is_short_and_keeps_every_event(sizes: list[int], limit: int) -> None:
    """Each event is in one range; the requests are as many as the batch can be halved, and one."""
    calls: list[tuple[int, int]] = []

    def post(start: int, end: int) -> Outcome:
        calls.append((start, end))
        return DELIVERED if end - start <= limit else TOO_LARGE

    found = search(sizes, post, lambda: True)

    covered = sorted([*found.accepted, *found.undecided])
    assert [i for start, end in covered for i in range(start, end)] == list(range(len(sizes)))
    assert len(calls) <= 1 + len(sizes).bit_length()
    assert bool(found.accepted) is (limit > 0)


def test_only_what_passed_is_remembered() -> None:
    """The size remembered is that of the largest range that VWO accepted, never of a refused one."""
    calls = iter([DELIVERED, TOO_LARGE, DELIVERED])

    found = search([9] * 9, lambda *_: next(calls), lambda: True)

    assert after_search([9] * 9, found, NOW) == Passed(2, 18, NOW, 0)
    refused = search([9] * 9, lambda *_: TOO_LARGE, lambda: True)
    assert after_search([9] * 9, refused, NOW) is None


# -- the allowed size


def test_what_passed_may_be_sent_again() -> None:
    """For a while after a larger batch was refused, exactly the last accepted size is allowed."""
    passed = Passed(40, 4_000, NOW, 1)

    assert allowed(passed, NOW) == (40, 4_000)
    assert allowed(passed, NOW + FIRST_WAIT_MS - 1) == (40, 4_000)
    assert allowed(passed, NOW + FIRST_WAIT_MS) == (80, 8_000)


@pytest.mark.parametrize("refusals", [1, 2, 5, 7, 100])
def test_each_refusal_in_a_row_doubles_the_wait(refusals: int) -> None:
    """The wait doubles with each larger batch that is refused, up to an hour."""
    wait_ms = min(FIRST_WAIT_MS * 2 ** (refusals - 1), LONGEST_WAIT_MS)
    passed = Passed(40, 4_000, NOW, refusals)

    assert allowed(passed, NOW + wait_ms - 1) == (40, 4_000)
    assert allowed(passed, NOW + wait_ms) == (80, 8_000)


def test_while_nothing_larger_was_refused_it_grows_at_once() -> None:
    """A size that was just found, or has just grown, may double with the next batch."""
    assert allowed(Passed(40, 4_000, NOW, 0), NOW) == (80, 8_000)


def test_a_clock_that_stepped_back_does_not_hold_the_size() -> None:
    """A refusal in the future, after a clock stepped back, does not keep the size for as long."""
    assert allowed(Passed(40, 4_000, NOW, 1), NOW - 100 * LONGEST_WAIT_MS) == (80, 8_000)
    assert allowed(Passed(40, 4_000, NOW, 1), NOW - 10) == (40, 4_000)


def test_a_single_event_is_always_allowed() -> None:
    """A single event is always allowed: a batch cannot be smaller."""
    assert allowed(Passed(0, 0, NOW), NOW)[0] == 1


# -- the remembered size


@given(passed=passes, now=times)
def test_a_refusal_keeps_what_passed(passed: Passed, now: int) -> None:
    """A larger batch that is refused changes nothing but the time of the next attempt."""
    remembered = after_refusal(passed, now)

    assert remembered == Passed(passed.events, passed.bytes, now, passed.refusals + 1)
    assert allowed(remembered, now) == (max(1, passed.events), passed.bytes)


def test_only_one_lane_tries_a_larger_batch() -> None:
    """Before a larger batch is sent its time is noted, so that others keep to what passed."""
    known = Passed(100, 9_000, NOW - FIRST_WAIT_MS, 1)

    tried = after_attempt(known, NOW)

    assert tried is not None
    assert allowed(known, NOW) == (200, 18_000)
    assert allowed(tried, NOW) == (100, 9_000)
    assert after_attempt(Passed(100, 9_000, NOW, 0), NOW) is None


def test_a_larger_success_is_remembered() -> None:
    """A larger success raises the allowed events and bytes separately: they have separate limits."""
    known = Passed(100, 9_000, NOW - 1, 3)

    assert after_success(known, 200, 10, NOW) == Passed(200, 9_000, NOW)
    assert after_success(known, 1, 9_001, NOW) == Passed(100, 9_001, NOW)
    assert after_success(known, 200, 20_000, NOW) == Passed(200, 20_000, NOW)


def test_an_ordinary_success_changes_nothing() -> None:
    """Success changes nothing while VWO refused no batch as too large: no write in the usual case."""
    assert after_success(Passed(100, 9_000, NOW), 100, 9_000, NOW) is None
    assert after_success(None, 5_000, 10_000_000, NOW) is None


def test_a_size_beyond_every_limit_is_forgotten() -> None:
    """Once the largest batch that VWO takes has passed, there is no limit to remember."""
    known = Passed(4_999, 10_000_000, NOW)

    assert after_success(known, 5_000, 10_000_000, NOW) == Passed(0, 0, 0)


# -- the cut


@pytest.mark.parametrize(
    ("sizes", "most_events", "most_bytes", "count"),
    [
        ([10, 10, 10], 3, 30, 3),
        ([10, 10, 10], 2, 30, 2),
        ([10, 10, 10], 3, 29, 2),
        ([10, 10, 10], 1, 5, 1),
        ([50, 10, 10], 3, 30, 1),
        ([10, 50, 10], 3, 30, 1),
        ([50], 1, 1, 1),
        ([10, 10], 9, 10**9, 2),
    ],
)
def test_the_oldest_that_fit(
    sizes: list[int], most_events: int, most_bytes: int, count: int
) -> None:
    """A part has the oldest events that fit both limits, and at least one."""
    assert cut(sizes, most_events, most_bytes) == count


@given(sizes=st.lists(st.integers(1, 300), min_size=1), most_events=counts, most_bytes=amounts)
def test_a_cut_is_within_bounds_and_no_smaller_than_it_must(
    sizes: list[int], most_events: int, most_bytes: int
) -> None:
    """A part is within the limits and as large as possible: one more event would not fit."""
    count = cut(sizes, most_events, most_bytes)

    assert 1 <= count <= len(sizes)
    assert count == 1 or (count <= most_events and sum(sizes[:count]) <= most_bytes)
    if count < len(sizes):
        assert count + 1 > most_events or sum(sizes[: count + 1]) > most_bytes


# -- everything together


@given(
    limit=st.integers(1, 6_000),
    batches=st.lists(st.integers(1, 300), min_size=1, max_size=20),
    pauses_ms=st.integers(0, LONGEST_WAIT_MS),
)
def test_everything_is_delivered_in_the_end(limit: int, batches: list[int], pauses_ms: int) -> None:
    """Every batch is delivered in parts that fit, at any limit."""
    vwo = Vwo(limit, 10**9)

    for i, count in enumerate(batches):
        vwo.deliver([EVENT] * count, NOW + i * pauses_ms)

    assert vwo.accepted == sum(batches)


@pytest.mark.parametrize("limit", [300, 999, 1_250, 2_400, 2_500, 4_999])
@pytest.mark.parametrize("by", ["events", "bytes"])
def test_a_lasting_limit_is_met_a_few_times(limit: int, by: str) -> None:
    """A fleet that sends a full batch every minute meets a lasting limit about once an hour."""
    vwo = Vwo(limit, 10**9) if by == "events" else Vwo(10**9, EVENT * limit)
    for minute in range(60):
        vwo.deliver([EVENT] * 5_000, NOW + minute * MINUTE)
    first_hour, vwo.refused = vwo.refused, 0

    for minute in range(60, 4 * 60):
        vwo.deliver([EVENT] * 5_000, NOW + minute * MINUTE)

    assert first_hour <= 20  # halves of 5,000 until one fits, then a larger batch ever more seldom
    assert vwo.refused <= 2 * 3


def test_a_few_large_events_do_not_make_every_batch_small() -> None:
    """After a limit by bytes, small events still leave by the thousand."""
    vwo = Vwo(10**9, 1_000_000)
    vwo.deliver([EVENT] * 15_000, NOW)
    vwo.deliver([EVENT] * 5_000, NOW)
    refused = vwo.refused

    vwo.deliver([200_000] * 10, NOW + 1)
    most_events, _ = allowed(vwo.passed, NOW + 1) if vwo.passed else (0, 0)

    assert vwo.refused <= refused + 1
    assert most_events >= 5_000


@pytest.mark.parametrize("hours", [0, 10])
def test_a_limit_that_was_lifted_is_found_within_minutes(hours: int) -> None:
    """After a limit was lifted, full batches leave again once the wait is over: in few requests."""
    vwo = Vwo(10, 10**9)
    for minute in range(60 * hours + 1):
        vwo.deliver([EVENT] * 500, NOW + minute * MINUTE)
    wait_ms = LONGEST_WAIT_MS if hours else FIRST_WAIT_MS
    start = NOW + 60 * hours * MINUTE
    vwo.deliver([EVENT] * 500, start)
    vwo.most_events = 10**9
    vwo.requests = 0

    for batch in range(4):
        vwo.deliver([EVENT] * 500, start + wait_ms + batch)

    assert vwo.requests <= 15
    vwo.requests = 0
    vwo.deliver([EVENT] * 500, start + wait_ms + 9)
    assert vwo.requests == 1
