"""A VWO that answers each batch by rule, and queues with a worker in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.selective_vwo import Make, Vwo, workers_of


@pytest.fixture
def vwo() -> Iterator[Vwo]:
    """A VWO that accepts everything until its `judge` is set."""
    with (playing := Vwo()).standin:
        yield playing


@pytest.fixture
def make(redis_url: str, vwo: Vwo) -> Iterator[Make]:
    """Make a queue and its worker."""
    with workers_of(redis_url, vwo) as make_one:
        yield make_one
