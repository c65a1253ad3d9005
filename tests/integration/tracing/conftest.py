"""What is recorded of a test, and a VWO with a worker in the test's own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tools.recording import Recording
from tools.selective_vwo import Delivering, Make, Vwo


@pytest.fixture
def recording() -> Iterator[Recording]:
    """Every trace is sampled, and the exporter keeps it in memory."""
    found = Recording()
    with found.in_force():
        yield found


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
