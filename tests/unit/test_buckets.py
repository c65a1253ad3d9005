"""Buckets: which one a value belongs to, and what a share of the values does not exceed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vwo_celery.queue.words.buckets import (
    AGE_BOUNDS_SECONDS,
    POST_BOUNDS_SECONDS,
    SIZE_BOUNDS,
    bucket_of,
    percentile,
)

BOUNDS = (1, 2, 4)


@pytest.mark.parametrize("bounds", [AGE_BOUNDS_SECONDS, POST_BOUNDS_SECONDS, SIZE_BOUNDS])
def test_bounds_rise(bounds: tuple[float, ...]) -> None:
    """Each bound is above the one before, and the first above nothing."""
    assert sorted(set(bounds)) == list(bounds)
    assert bounds[0] > 0


@pytest.mark.parametrize(
    ("value", "bucket"), [(0, 0), (1, 0), (1.01, 1), (2, 1), (3, 2), (4, 2), (4.1, 3), (900, 3)]
)
def test_a_bound_belongs_to_the_bucket_that_it_ends(value: float, bucket: int) -> None:
    """What is just at a bound is within it; what is beyond the last one has a bucket of its own."""
    assert bucket_of(BOUNDS, value) == bucket


@pytest.mark.parametrize(
    ("counts", "share", "value"),
    [
        ((4, 0, 0, 0), 0.5, 0.5),
        ((1, 1, 2, 0), 0.5, 2),
        ((1, 1, 2, 0), 0.75, 3),
        ((0, 2, 0, 0), 0, 1),
        ((0, 0, 0, 7), 0.5, 4),
        ((9, 0, 0, 1), 0.95, 4),
        ((0, 0, 0, 0), 0.5, None),
    ],
)
def test_a_percentile_is_taken_within_its_bucket(
    counts: tuple[int, ...], share: float, value: float | None
) -> None:
    """Values are even within a bucket; beyond the last bound nothing but that bound is known."""
    assert percentile(BOUNDS, counts, share) == value


@given(st.lists(st.floats(0, 4), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_percentile_is_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    """No value is told that is further off than its bucket is wide."""
    counts = [0] * (len(BOUNDS) + 1)
    for each in values:
        counts[bucket_of(BOUNDS, each)] += 1
    ranks = [n for n in range(1, len(values) + 1) if n >= share * len(values)]
    true = sorted(values)[ranks[0] - 1]

    found = percentile(BOUNDS, counts, share)

    assert found is not None
    low, high = ((0, *BOUNDS)[bucket_of(BOUNDS, true)], (*BOUNDS, 4)[bucket_of(BOUNDS, true)])
    assert low <= found <= high
