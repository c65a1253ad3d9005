"""A queue's history: sums over its shards, and steps between its samples."""

from __future__ import annotations

from typing import Any

import pytest

from vwo_celery.operating.past.history import coarser, period_for, steps_of, summed
from vwo_celery.queue.records.histories import Sample

MINUTE_MS = 60_000


def at(minute: int, accepted: int, **numbers: Any) -> Sample:
    """A sample of that minute."""
    return Sample(minute * MINUTE_MS, accepted=accepted, **numbers)


def test_the_samples_of_shards_are_added() -> None:
    """Of each time there is the sum; the oldest event counts, and a stop of any shard."""
    found = summed(
        [[at(1, 10, oldest_ms=5), at(2, 20)], [at(1, 1, oldest_ms=9, stopped=1), at(2, 2)]]
    )

    assert found == [at(1, 11, oldest_ms=9, stopped=1), at(2, 22)]


def test_a_fleet_stands_still_when_all_of_it_does() -> None:
    """Of several queues together, a time counts as stopped only if each was."""
    found = summed(
        [[at(1, 10, stopped=1), at(2, 20, stopped=1)], [at(1, 1), at(2, 2, stopped=1)]],
        stopped=min,
    )

    assert [each.stopped for each in found] == [0, 1]


def test_a_shard_that_is_not_sampled_keeps_its_counters() -> None:
    """A shard that holds nothing is not sampled any more; what it counted stays in the sum."""
    found = summed([[at(1, 10), at(2, 20), at(3, 30)], [at(1, 7)], [at(3, 4)], []])

    assert [each.accepted for each in found] == [10 + 7 + 4, 20 + 7 + 4, 30 + 7 + 4]


def test_a_missing_sample_is_a_longer_step() -> None:
    """What came meanwhile is told of the longer step: no zero, and nothing lost."""
    steps = steps_of([at(1, 10), at(2, 25), at(5, 100)])

    assert [(step.seconds, step.accepted) for step in steps] == [(60, 15), (180, 75)]


def test_counters_that_fall_tell_nothing() -> None:
    """After Redis was restarted empty a step is unknown, not negative; the next ones are known."""
    steps = steps_of([at(1, 10), at(2, 3), at(3, 9)])

    assert [step.accepted for step in steps] == [None, 6]
    assert [step.accepted for step in coarser(steps, 1)] == [None]


def test_ages_are_those_of_the_step() -> None:
    """Counts by bucket are added over shards and over steps, and none is told where none is kept."""
    samples = summed(
        [
            [at(1, 1, ages=(1, 0)), at(2, 2, ages=(3, 1)), at(3, 2, ages=(3, 5)), at(4, 2)],
            [at(1, 0, ages=(1, 1))],
        ]
    )

    steps = steps_of(samples)

    assert samples[1].ages == (4, 2)
    assert [step.ages for step in steps] == [(2, 1), (0, 4), None]
    assert [step.ages for step in coarser(steps[:2], 1)] == [(2, 5)]
    assert [step.ages for step in coarser(steps, 1)] == [None]


def test_ages_that_fall_tell_nothing() -> None:
    """Where the counts by bucket began anew, all of the step is unknown, not negative."""
    (step,) = steps_of([at(1, 10, ages=(5, 5)), at(2, 20, ages=(9, 1))])

    assert (step.accepted, step.ages) == (None, None)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 10, 60])
def test_a_coarser_history_keeps_its_sums(most: int) -> None:
    """Joined steps last as long and hold as many events as those that they are made of."""
    steps = steps_of([at(n, n * n, dead=n, oldest_ms=n % 7) for n in range(21)])

    found = coarser(steps, most)

    assert len(found) <= most
    assert sum(step.seconds for step in found) == sum(step.seconds for step in steps)
    assert sum(step.accepted or 0 for step in found) == 400
    assert (found[-1].at_ms, found[-1].dead) == (steps[-1].at_ms, 20)
    assert max(s.oldest_seconds for s in found) == max(s.oldest_seconds for s in steps)


def test_a_span_is_told_by_the_finest_samples_that_cover_it() -> None:
    """8 hours by the minute, 7 days by ten minutes, 90 days by the hour."""
    spans = {3_600: 60, 28_800: 60, 28_801: 600, 604_800: 600, 604_801: 3_600, 10**8: 3_600}

    assert {each: period_for(each).period_ms / 1000 for each in spans} == spans
