"""Numbers, durations and sizes in readable form."""

from __future__ import annotations

import pytest

from vwo_celery.text.amounts import count, size, span


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 batches"), (1, "1 batch"), (1200, "1,200 batches")]
)
def test_a_count_agrees_with_its_noun(number: int, text: str) -> None:
    """The noun is singular after 1 and plural otherwise."""
    assert count(number, "batch", "batches") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.04, "0 s"), (0.44, "0.4 s"), (9.0, "9 s"), (75.2, "75 s"),
        (119.6, "120 s"), (120, "2 min"), (3540, "59 min"), (3599, "1 h 00 min"),
        (7500, "2 h 05 min"), (172_800, "2 d 00 h"), (1_000_000, "11 d 14 h"),
    ],
)  # fmt: skip
def test_a_span_has_two_units_at_most(seconds: float, text: str) -> None:
    """A duration has at most two units; the precision follows its length."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1024, "1.0 KiB"), (1.5 * 2**30, "1.5 GiB"),
     (2**52, "4,096.0 TiB")],
)  # fmt: skip
def test_a_size_is_in_its_largest_unit(bytes_: float, text: str) -> None:
    """A size is in its largest unit; units are powers of 1024, as in Redis."""
    assert size(bytes_) == text
