"""Planning: requests an hour against the age at which events leave, by pure calculation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vwo_celery.operating.past.memory import maxmemory_bytes
from vwo_celery.operating.past.planning import (
    Choice,
    Plan,
    plan,
    recommend,
    with_outage,
    worthwhile,
)
from vwo_celery.queue.records.histories import Sample
from vwo_celery.queue.words.batches import Limits

MINUTE_MS = 60_000
LIMITS = Limits(
    events_per_request=100, interval_ms=60_000, batch_bytes=1_000_000, capacity_events=10**6,
    capacity_bytes=10**9, parallel=8, slot_ttl_ms=3_000,
)  # fmt: skip


def samples(*events: int, size: int = 0) -> list[Sample]:
    """Samples between which so many events came in each minute, of which one waits at each."""
    found, total = [Sample(0, undelivered=bool(size), bytes=size)], 0
    for minute, more in enumerate(events, 1):
        total += more
        found.append(Sample(minute * MINUTE_MS, accepted=total, undelivered=bool(size), bytes=size))
    return found


def choice_of(found: Plan, events: int, interval: float) -> Choice:
    """One choice of a plan."""
    (each,) = [
        c
        for c in found.choices
        if (c.events_per_request, c.request_time_interval) == (events, interval)
    ]
    return each


def test_batches_of_one_leave_at_once() -> None:
    """With one event a request there are as many requests as events, and none waits."""
    found = choice_of(plan("q", [samples(600)], LIMITS), 1, 60.0)

    assert found.requests_an_hour == 36_000
    assert (found.age_p50_seconds, found.age_p95_seconds, found.limit) == (0, 0, "events")


def test_full_batches_leave_before_the_interval() -> None:
    """Ten events a second fill a batch of 100 in ten seconds: the size is what binds."""
    found = choice_of(plan("q", [samples(600)], LIMITS), 100, 60.0)

    assert found.requests_an_hour == pytest.approx(360)
    assert found.age_p50_seconds == pytest.approx(5, rel=0.05)
    assert found.age_p95_seconds == pytest.approx(9.5, rel=0.05)
    assert found.limit == "events"


def test_few_events_leave_by_the_interval() -> None:
    """An event a minute waits its whole interval, whatever the size: the interval binds."""
    found = choice_of(plan("q", [samples(1, 1, 1)], LIMITS), 100, 30.0)

    assert found.requests_an_hour == pytest.approx(60 / 1.5)
    assert found.age_p95_seconds == pytest.approx(30)
    assert found.limit == "interval"


def test_large_events_fill_a_body_first() -> None:
    """Where 25 events fill the body of a request, a batch holds 25, and bytes are what binds."""
    found = plan("q", [samples(600, size=40_000)], LIMITS)

    assert found.event_bytes == 40_000
    assert choice_of(found, 100, 60.0).limit == "bytes"
    assert choice_of(found, 100, 60.0).requests_an_hour == pytest.approx(1_440)
    assert choice_of(found, 10, 60.0).limit == "events"


def test_each_shard_makes_batches_of_its_own() -> None:
    """The same events over two shards need twice the requests where the interval binds."""
    one = choice_of(plan("q", [samples(6)], LIMITS), 1000, 60.0)
    two = choice_of(plan("q", [samples(3), samples(3)], LIMITS), 1000, 60.0)

    assert two.requests_an_hour > 1.5 * one.requests_an_hour


def test_the_busiest_minute_needs_quick_answers() -> None:
    """8 lanes with 100 events each keep up with 1,000 events a second if a request takes 0.8 s."""
    found = plan("q", [samples(60, 60_000, 60)], LIMITS)

    assert found.busiest_events_a_second == 1_000
    assert found.post_seconds == pytest.approx(0.8)


def test_without_events_nothing_is_recommended() -> None:
    """A queue without a history, or to which nothing came, has no choices."""
    for shards in ([], [[]], [samples()], [samples(0, 0)]):
        found = plan("q", shards, LIMITS)
        assert (found.choices, found.recommended, found.events) == ((), None, 0)


def test_counters_that_began_anew_count_nothing() -> None:
    """Where Redis lost its counters, that minute's events are unknown, not negative."""
    before, after = samples(600), [Sample(2 * MINUTE_MS, accepted=5)]

    found = plan("q", [[*before, *after]], LIMITS)

    assert found.events == 600


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=6), st.floats(0, 700))
def test_what_is_recommended_is_prompt_and_best(events: list[int], age: float) -> None:
    """No choice whose events leave in time needs noticeably fewer requests."""
    found = plan("q", [samples(*events)], LIMITS, age_seconds=age)

    prompt = [c for c in found.choices if c.age_p95_seconds <= age]
    if not sum(events):
        assert found.recommended is None
    elif prompt:
        assert found.recommended is not None
        fewest = min(c.requests_an_hour for c in prompt)
        assert found.recommended.requests_an_hour <= fewest * 1.0101
        assert found.recommended.age_p95_seconds <= age * 1.0101 + 1e-9


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=6))
def test_a_larger_limit_never_means_more_requests(events: list[int]) -> None:
    """Of two choices, the one with the larger size and interval needs at most as many requests."""
    found = plan("q", [samples(*events)], LIMITS).choices

    for a in found:
        for b in found:
            larger = a.events_per_request <= b.events_per_request
            if larger and a.request_time_interval <= b.request_time_interval:
                assert b.requests_an_hour <= a.requests_an_hour * 1.000001


def test_only_choices_that_no_other_beats_are_worthwhile() -> None:
    """A choice with more requests and older events than another is left out."""
    found = [Choice(n, 1.0, requests, age, age, "events") for n, requests, age in
             ((1, 100.0, 1.0), (2, 50.0, 5.0), (3, 60.0, 6.0), (4, 10.0, 9.0))]  # fmt: skip

    assert [c.events_per_request for c in worthwhile(found)] == [1, 2, 4]
    assert recommend(found, 0.5) is None


def test_an_outage_needs_memory_by_the_formula() -> None:
    """Events of the busiest minute all the while, and the most dead letters, with what batches add."""
    found = with_outage(plan("q", [samples(600, 1_200, size=448)], LIMITS), 6 * 3600, 100_000)

    assert found.outage is not None
    assert (found.outage.seconds, found.outage.events) == (21_600, 432_000)
    waiting = 532_000
    assert found.outage.maxmemory_bytes == maxmemory_bytes(waiting, 448, waiting / 100)
    assert found.outage.maxmemory_bytes == pytest.approx(1.15 * 448 * waiting + 12 * waiting + 4e5)


def test_an_outage_of_events_of_unknown_size() -> None:
    """Where no event waited at any sample, nothing is said of memory."""
    assert with_outage(plan("q", [samples(600)], LIMITS), 3600, 0).outage is None
