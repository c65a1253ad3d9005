"""Numbers that somebody else may have written: read, or taken for none."""

from __future__ import annotations

import pytest

from vwo_celery.queue.words.numbers import LARGEST, moment_ms, number


@pytest.mark.parametrize(
    ("text", "read"),
    [(b"17", 17), ("17", 17), (None, 0), (b"", 0), ("²", 0), (b"\xff", 0), ("-3", 0), ("1_0", 0),
     (str(LARGEST), LARGEST), (str(LARGEST + 1), 0), ("9" * 5_000, 0)],
)  # fmt: skip
def test_what_is_no_number_of_redis_counts_as_none(text: bytes | str | None, read: int) -> None:
    """A text is a number if Redis itself could count to it."""
    assert number(text) == read


def test_a_number_may_be_less_than_none_where_that_means_something() -> None:
    """Whoever reads differences says how little one may be."""
    assert number("-3", least=-5) == -3


@pytest.mark.parametrize(
    ("score", "ms"), [(5.0, 5), (float("inf"), 0), (float("-inf"), 0), (-1.0, 0), (1e300, 0)]
)
def test_a_score_without_end_is_no_moment(score: float, ms: int) -> None:
    """A score is a time, unless it is infinite or as good as that."""
    assert moment_ms(score) == ms
