"""Turns: a task gives way to others that wait, and asks for its next turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tools.selective_vwo import Delivering
from vwo_celery.delivering import turns
from vwo_celery.delivering.delivery import deliver
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)


class Clock:
    """A clock that goes on by a tenth of a second with each POST."""

    def __init__(self, standin: Standin) -> None:
        self._standin = standin

    def __call__(self) -> float:
        """The time in seconds."""
        return len(self._standin.requests) / 10


@pytest.fixture
def made(redis_url: str) -> Iterator[Delivering]:
    """A queue of 100 batches, whose wake-ups are all lost, and a worker with that clock."""
    with Standin() as standin:
        made = Delivering(redis_url, standin, per_request=1)
        made.worker.clock = Clock(standin)
        made.enqueue(*range(100))
        made.shard.client.delete(made.shard.keys.slots)
        yield made


def turn(made: Delivering, others_wait: Callable[[], bool]) -> int:
    """Run one task; the number of its batches."""
    return deliver(made.worker, Wakeup(made.queue.name, 0, ""), others_wait)


def test_a_task_gives_way_to_others(made: Delivering) -> None:
    """If wake-ups wait, a task ends after a quarter of a second, and asks for its next turn."""
    sent = turn(made, lambda: True)

    assert sent == 3
    assert (made.woken[-1].queue, made.woken[-1].shard) == (made.queue.name, 0)


def test_a_task_goes_on_while_nobody_waits(made: Delivering) -> None:
    """If none waits, it goes on until its time is used, and looks a few times a second."""
    looks: list[int] = []

    sent = turn(made, lambda: looks.append(1) or False)  # type: ignore[func-returns-value]

    assert sent == 10 * turns.BUDGET_SECONDS
    assert len(looks) <= turns.BUDGET_SECONDS / turns.TURN_SECONDS


def test_a_task_gives_way_as_soon_as_others_come(made: Delivering) -> None:
    """Others that come later are noticed as well."""
    sent = turn(made, lambda: len(made.standin.requests) >= 20)

    assert 20 <= sent <= 23


def test_the_next_turn_takes_a_place_of_its_own(made: Delivering) -> None:
    """For one shard no more tasks wait than it may send batches at once, however often it gives way."""
    for _ in range(20):
        turn(made, lambda: True)

    parallel = made.queue.settings.max_parallel_sends
    assert made.shard.client.zcard(made.shard.keys.slots) == parallel
    assert len(made.woken) == parallel


def test_whoever_sends_the_last_batch_asks_for_nothing(made: Delivering) -> None:
    """A task that gives way with nothing left wakes nobody."""
    made.worker.clock = lambda: 0.0
    assert turn(made, lambda: True) == 100
    made.woken.clear()
    made.enqueue(100)
    made.shard.client.delete(made.shard.keys.slots)
    made.worker.stopping = lambda: len(made.standin.requests) > 100

    assert turn(made, lambda: True) == 1
    assert made.woken == []
