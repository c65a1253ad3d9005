"""A deployment that lowers `shards`, with real workers: VWO is asked no more, and all is delivered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

import vwo_celery
from tools.installation import Installation, event
from tools.waiting import wait_until
from vwo_celery.operating.looks.inspector import QueueView, view_queues
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.testing import Standin

SHARDS, EVENTS = 4, 40
#: Attempts of sweeps and listeners at the queue while it is refused.
LOOKS = 20
LANES, CIRCUIT_FAILURES = 2, 3


@pytest.fixture
def standin() -> Iterator[Standin]:
    """VWO."""
    with Standin() as running:
        yield running


def fleet_of(queue: vwo_celery.Queue) -> Fleet:
    """The queues in Redis."""
    return producer_of(queue).fleet


def view(queue: vwo_celery.Queue) -> QueueView:
    """The queue as an operator sees it."""
    fleet = fleet_of(queue)
    (found,) = view_queues(fleet, fleet.registrations().readable)
    return found


def lowered(installation: Installation) -> vwo_celery.Queue:
    """A queue filled in several shards, as the next deployment has it: in one."""
    batch = {"events_per_request": 100, "request_time_interval": 60}
    before = installation.connect_with({"shards": SHARDS}, **batch)
    for number in range(EVENTS):
        assert before.enqueue(event(str(number)))
    after = installation.connect_with({"shards": 1}, **batch)
    assert producer_of(after).register()
    return after


@pytest.mark.declared_keys("ready", "info", "batch", "wakeups")
@pytest.mark.parametrize(("status", "most"), [(401, LANES), (503, CIRCUIT_FAILURES + LANES)])
def test_lowered_shards_do_not_run_free(installation: Installation, status: int, most: int) -> None:
    """A refusal pauses all shards, and an outage holds them, whatever number was registered last."""
    installation.standin.fail(*[status] * 10_000)
    queue = lowered(installation)
    installation.worker(
        VWO_CELERY_BACKOFF_BASE_SECONDS="60",
        VWO_CELERY_BACKOFF_MAX_SECONDS="60",
        VWO_CELERY_CIRCUIT_FAILURES=str(CIRCUIT_FAILURES),
    )

    assert not queue.flush_events(timeout_seconds=0)
    wait_until(lambda: view(queue).paused or view(queue).held_seconds is not None, 20)
    for _ in range(LOOKS):
        queue.flush_events(timeout_seconds=0.1)

    assert len(installation.standin.requests) <= most
    assert view(queue).undelivered == EVENTS


def test_lowered_shards_are_delivered(installation: Installation) -> None:
    """A flush by a process with one shard is truthy once every shard's events have arrived."""
    queue = lowered(installation)
    installation.worker()

    result = queue.flush_events(timeout_seconds=30)

    assert result
    assert (result.delivered, result.failed, result.pending) == (EVENTS, 0, 0)
    assert Counter(installation.delivered()) == Counter(map(str, range(EVENTS)))
    assert view(queue).ledger.balanced
    assert view(queue).ledger.delivered == EVENTS
