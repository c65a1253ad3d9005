"""The size of a batch after a 413: the remembered limit, and the cut."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vwo_celery.delivering.sizes import DOUBLING_MS, after_refusal, after_success, allowed, cut
from vwo_celery.queue.batches import Passed

NOW = 1_800_000_000_000
#: Size of an event in these tests in bytes.
EVENT = 100

counts = st.integers(1, 5_000)
amounts = st.integers(1, 10_000_000)
times = st.integers(0, 2**45)
passes = st.builds(Passed, counts, amounts, times)


class Vwo:
    """A destination with a limit, and workers that send to it, as `settling` does."""

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self.most_events, self.most_bytes = most_events, most_bytes
        self.passed: Passed | None = None
        self.refused = self.accepted = 0

    def deliver(self, events: list[int], now_ms: int) -> None:
        """Send one batch, given as the sizes of its events, in as many parts as necessary."""
        batches = deque([events])
        while batches:
            batch = batches.popleft()
            count = len(batch)
            if self.passed is not None:
                count = cut(batch, *allowed(self.passed, now_ms))
            if count == len(batch) and not self._takes(batch, now_ms):
                count = (len(batch) + 1) // 2
            elif count == len(batch):
                continue
            assert 1 <= count < len(batch), (
                "a single event that is too large is for the dead letters"
            )
            batches.extendleft([batch[count:], batch[:count]])

    def _takes(self, batch: list[int], now_ms: int) -> bool:
        count, size = len(batch), sum(batch)
        if count > self.most_events or size > self.most_bytes:
            self.refused += 1
            self.passed = after_refusal(self.passed, count, size, now_ms)
            return False
        self.accepted += count
        self.passed = after_success(self.passed, count, size) or self.passed
        return True


# -- the allowed size


def test_what_passed_may_be_sent_again() -> None:
    """Right after a refusal, exactly the last accepted size is allowed."""
    assert allowed(Passed(40, 4_000, NOW), NOW) == (40, 4_000)
    assert allowed(Passed(40, 4_000, NOW), NOW + DOUBLING_MS - 1) == (40, 4_000)


def test_twice_as_much_is_tried_after_a_while() -> None:
    """After a while twice as much is allowed, later four times as much: in steps, not event by event."""
    assert allowed(Passed(40, 4_000, NOW), NOW + DOUBLING_MS) == (80, 8_000)
    assert allowed(Passed(40, 4_000, NOW), NOW + 2 * DOUBLING_MS) == (160, 16_000)


def test_a_clock_that_stepped_back_allows_no_less() -> None:
    """A refusal in the future, after a clock stepped back, counts as one now."""
    assert allowed(Passed(40, 4_000, NOW), NOW - 100 * DOUBLING_MS) == (40, 4_000)


def test_a_single_event_is_always_allowed() -> None:
    """A single event is always allowed: a batch cannot be smaller."""
    assert allowed(Passed(0, 0, NOW), NOW)[0] == 1


@given(passed=passes, now=times, later=times)
def test_what_is_allowed_only_grows(passed: Passed, now: int, later: int) -> None:
    """The allowed size only grows with time, without end and without overflow."""
    before, after = sorted((now, later))

    assert all(a <= b for a, b in zip(allowed(passed, before), allowed(passed, after), strict=True))
    assert allowed(passed, before) >= (passed.events, passed.bytes)


# -- the remembered size


def test_the_first_refusal_halves() -> None:
    """The first refusal allows half of the batch: no accepted size is known yet."""
    assert after_refusal(None, 5_000, 10_001, NOW) == Passed(2_500, 5_000, NOW)
    assert after_refusal(None, 1, 1, NOW) == Passed(1, 1, NOW)


def test_a_refusal_of_what_had_passed_halves() -> None:
    """A refusal within the allowed size halves it: the limit was lowered, or the guess was too high."""
    known = Passed(100, 9_000, NOW - 1)

    assert after_refusal(known, 100, 9_000, NOW) == Passed(50, 4_500, NOW)
    assert after_refusal(known, 60, 8_000, NOW) == Passed(30, 4_000, NOW)


@pytest.mark.parametrize(("events", "size"), [(101, 9_001), (101, 10), (1, 9_001), (7, 20_000)])
def test_a_refusal_of_more_than_passed_keeps_what_passed(events: int, size: int) -> None:
    """A refusal above the allowed size keeps that size and starts its time again."""
    known = Passed(100, 9_000, NOW - DOUBLING_MS)

    assert after_refusal(known, events, size, NOW) == Passed(100, 9_000, NOW)


def test_a_larger_success_is_remembered() -> None:
    """A larger success raises the allowed events and bytes separately: they have separate limits."""
    known = Passed(100, 9_000, NOW)

    assert after_success(known, 200, 10) == Passed(200, 9_000, NOW)
    assert after_success(known, 1, 9_001) == Passed(100, 9_001, NOW)
    assert after_success(known, 200, 20_000) == Passed(200, 20_000, NOW)


def test_an_ordinary_success_changes_nothing() -> None:
    """Success changes nothing while VWO refused no batch as too large: no write in the usual case."""
    assert after_success(Passed(100, 9_000, NOW), 100, 9_000) is None
    assert after_success(None, 5_000, 10_000_000) is None


@given(passed=st.none() | passes, events=counts, size=amounts, now=times)
def test_after_a_refusal_the_same_is_not_sent_again(
    passed: Passed | None, events: int, size: int, now: int
) -> None:
    """After a refusal, fewer events or bytes are allowed than were refused."""
    remembered = after_refusal(passed, events, size, now)

    most_events, most_bytes = allowed(remembered, now)
    assert events == 1 or most_events < events or most_bytes < size
    assert remembered.since_ms == now


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
    pauses_ms=st.integers(0, DOUBLING_MS),
)
def test_everything_is_delivered_in_the_end(limit: int, batches: list[int], pauses_ms: int) -> None:
    """Every batch is delivered in parts that fit, at any limit."""
    vwo = Vwo(limit, 10**9)

    for i, count in enumerate(batches):
        vwo.deliver([EVENT] * count, NOW + i * pauses_ms)

    assert vwo.accepted == sum(batches)


@pytest.mark.parametrize("limit", [300, 999, 1_250, 2_400, 2_500, 4_999])
@pytest.mark.parametrize("by", ["events", "bytes"])
def test_a_lasting_limit_is_met_a_few_times_an_hour(limit: int, by: str) -> None:
    """A fleet that sends a full batch every minute meets a lasting limit only a few times an hour."""
    vwo = Vwo(limit, 10**9) if by == "events" else Vwo(10**9, EVENT * limit)
    for second in range(0, 3_600, 60):
        vwo.deliver([EVENT] * 5_000, NOW + 1_000 * second)
    first_hour, vwo.refused = vwo.refused, 0

    for second in range(3_600, 4 * 3_600, 60):
        vwo.deliver([EVENT] * 5_000, NOW + 1_000 * second)

    assert first_hour <= 10  # halves of 5,000 until it fits
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


def test_a_limit_that_was_lifted_is_found() -> None:
    """After a limit was lifted, full batches are sent again within hours."""
    vwo = Vwo(10, 10**9)
    vwo.deliver([EVENT] * 5_000, NOW)
    vwo.most_events = 10**9

    for hour in range(1, 5):
        vwo.deliver([EVENT] * 5_000, NOW + hour * DOUBLING_MS)

    assert vwo.passed is not None
    assert allowed(vwo.passed, NOW + 5 * DOUBLING_MS)[0] >= 5_000
