"""More queues than lanes: task messages wait in the broker, in a bounded number, and none is missed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis as redis_py

import vwo_celery
from tools.installation import KEY, Installation, event
from vwo_celery.queue.fleet import Fleet
from vwo_celery.testing import RedisServer, Standin
from vwo_celery.testing.standin.rules import Request

QUEUES, BATCHES = 60, 5
#: Sweeps during which every lane stays busy.
SWEEPS = 25
#: Longest time for which the lane is held, on a busy machine.
_LONGEST_SECONDS = 60
#: Messages sent in that time only to find out whether others are lost.
MOST_PROBES = 5


class Gate:
    """A VWO that answers no request until it is opened, and then accepts all."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._opened = threading.Event()

    def __call__(self, request: Request) -> None:
        """Hold a request."""
        self.arrived.set()
        self._opened.wait(_LONGEST_SECONDS)

    def open(self) -> None:
        """Answer all requests, now and from now on."""
        self._opened.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """The gate of the stand-in."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def standin(gate: Gate) -> Iterator[Standin]:
    """A VWO behind the gate."""
    with Standin(faults=gate) as standin:
        yield standin
        gate.open()


@pytest.fixture
def broker(installation: Installation) -> Iterator[RedisServer]:
    """A broker separate from the queues' Redis, so that it can be counted, emptied and killed."""
    with RedisServer() as server:
        installation.env["VWO_CELERY_BROKER_URL"] = server.url
        yield server
        installation.stop()


def fill(installation: Installation) -> None:
    """Fill 60 queues with five batches each, which are due."""
    for account in range(QUEUES):
        queue = vwo_celery.connect(
            vwo_celery.Destination(
                account_id=1_000 + account, sdk_key=KEY, generation="legacy",
                base_url=installation.standin.url,
            ),
            batch_event_data={"events_per_request": 1},
            redis_url=installation.redis_url,
        )  # fmt: skip
        queue.enqueue_many([event(f"{account}-{number}") for number in range(BATCHES)])


def occupy(installation: Installation, gate: Gate) -> None:
    """Occupy the only lane with a POST that VWO does not answer."""
    installation.env["VWO_CELERY_REQUEST_TIMEOUT_SECONDS"] = str(_LONGEST_SECONDS)
    installation.env["VWO_CELERY_LEASE_SECONDS"] = str(2 * _LONGEST_SECONDS)
    worker = installation.worker("--pool=threads", "--concurrency=1")
    installation.connect(events_per_request=1).enqueue(event("first"))
    worker.wait_until(gate.arrived.is_set)


def wait_for_sweeps(installation: Installation, count: int) -> None:
    """Wait until so many sweeps have run."""
    with redis_py.Redis.from_url(installation.redis_url) as client:
        fleet, seen = Fleet(client, "vwo"), set[int]()

        def enough() -> bool:
            seen.update(fleet.last_sweeps_ms().values())
            return len(seen) >= count

        installation.started[0].wait_until(enough, _LONGEST_SECONDS)


def test_messages_do_not_pile_up_behind_a_busy_lane(
    installation: Installation, broker: RedisServer, gate: Gate
) -> None:
    """While the one lane is busy, the broker holds one message for each batch, sweep after sweep.

    When the lane is free, all batches leave, each once.
    """
    occupy(installation, gate)
    fill(installation)

    with redis_py.Redis.from_url(broker.url) as client:
        wait_for_sweeps(installation, SWEEPS)
        waiting = client.llen("broker:celery")
    gate.open()
    installation.started[0].wait_until(lambda: len(installation.delivered()) > QUEUES * BATCHES, 90)

    assert QUEUES * BATCHES / 2 < waiting <= QUEUES * BATCHES + MOST_PROBES
    assert len(set(installation.delivered())) == len(installation.delivered())


def test_a_broker_that_loses_its_messages_is_noticed(
    installation: Installation, broker: RedisServer, gate: Gate
) -> None:
    """Task messages that the broker has lost are sent again, although each still holds its slot."""
    occupy(installation, gate)
    fill(installation)
    worker = installation.started[0]

    with redis_py.Redis.from_url(broker.url) as client:
        worker.wait_until(lambda: client.llen("broker:celery") >= QUEUES * BATCHES / 2)
        wait_for_sweeps(installation, 3)
        client.delete("broker:celery")
    gate.open()
    worker.wait_until(lambda: len(installation.delivered()) > QUEUES * BATCHES, 90)

    assert len(set(installation.delivered())) == len(installation.delivered())
