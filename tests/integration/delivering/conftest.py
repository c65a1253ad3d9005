"""A VWO that answers each batch by rule, and queues with a worker in the test's own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tools.selective_vwo import Delivering, Make, Vwo


@pytest.fixture
def vwo() -> Iterator[Vwo]:
    """A VWO that accepts everything until its `judge` is set."""
    playing = Vwo()
    with playing.standin:
        yield playing


@pytest.fixture
def make(redis_url: str, vwo: Vwo) -> Iterator[Make]:
    """Make a queue and its worker."""
    ends: list[Callable[[], None]] = []

    def make_one(**options: Any) -> Delivering:
        made = Delivering(redis_url, vwo.standin, **options)
        ends.append(made.listen())
        return made

    yield make_one
    for end in ends:
        end()
