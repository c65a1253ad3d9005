"""What is recorded of a test, and a VWO with a worker in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.recording import Recording
from tools.selective_vwo import Delivering, Make, Vwo, workers_of


@pytest.fixture
def recording() -> Iterator[Recording]:
    """Every trace is sampled, and the exporter keeps it in memory."""
    with (found := Recording()).in_force():
        yield found


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


@pytest.fixture
def sealed(recording: Recording, make: Make) -> Delivering:
    """A worker and its queue, which holds one batch, of a single call that was recorded."""
    made = make()
    with recording.request():
        made.enqueue(1)
    made.shard.sweep(force=True, idle_ms=1)
    return made
