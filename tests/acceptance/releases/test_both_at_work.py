"""Both releases at work on one queue, as in a deployment and its rollback: each event is delivered."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tools.two_releases import EVENTS, WAIT_SECONDS, Fleet, assert_balanced, name_of
from tools.waiting import wait_until
from upgrade.releases import Release
from vwo_celery.testing import Fault, Standin

PER_REQUEST = 50
#: Lanes of two workers.
LANES = 4

pytestmark = pytest.mark.declared_keys("*")


def test_both_releases_work_on_one_queue(fleet: Fleet, before: Release, this: Release) -> None:
    """Producers, workers and beat of both releases run together, with releases and SIGKILL, as in a
    deployment.

    No event is lost. Duplicates are whole batches that VWO had accepted from a worker that was
    killed before it could ack.
    """
    both = {"before": before, "this": this}
    fleet.standin.fail(503, "reset", 500, Fault(status=429, headers=(("Retry-After", "1"),)))
    workers = [fleet.worker(release, f"worker-{name}") for name, release in both.items()]
    fleet.beat(before)
    producers = [fleet.produce(release, name) for name, release in both.items()]
    assert [producer.wait() for producer in producers] == [0, 0]

    fleet.standin.fail(*["hang"] * 3 * LANES)
    producers = [fleet.produce(release, f"late-{name}") for name, release in both.items()]
    wait_until(lambda: fleet.in_flight() >= LANES * PER_REQUEST, WAIT_SECONDS)
    for worker in workers:
        worker.kill()
    fleet.standin.heal()
    for worker in workers:
        worker.start()
    assert [producer.wait() for producer in producers] == [0, 0]

    fleet.wait_for_all()
    applications = [f"{late}{name}" for late in ("", "late-") for name in both]
    names = {f"{name}-{number}" for name in applications for number in range(EVENTS)}
    assert set(fleet.names()) == names
    assert Counter(map(name_of, _once(fleet.standin))) == dict.fromkeys(fleet.names(), 1)
    assert_balanced(fleet, before, this)


def _once(standin: Standin) -> list[Any]:
    """The events of the accepted batches, each batch once however often it arrived."""
    accepted = {batch.body: batch for batch in standin.batches if 200 <= batch.status < 300}
    return [event for batch in accepted.values() for event in batch.events]


@pytest.mark.parametrize("order", ["upgrade", "rollback"])
def test_a_producer_of_one_release_and_a_worker_of_the_other(
    fleet: Fleet, before: Release, this: Release, order: str
) -> None:
    """Between releases every event is delivered once, by size and by age, with listeners' sweeps only."""
    producing, working = (before, this) if order == "upgrade" else (this, before)
    fleet.worker(working, "worker")

    producer = fleet.produce(producing, "app", events=130)

    assert producer.wait() == 0
    wait_until(lambda: len(fleet.standin.events) >= 130, WAIT_SECONDS)
    fleet.wait_for_all()
    assert fleet.names() == Counter(f"app-{number}" for number in range(130))
    assert_balanced(fleet, before, this)


def test_a_rolling_upgrade_and_back_under_load(
    fleet: Fleet, before: Release, this: Release
) -> None:
    """Two workers are replaced one by one while applications of both releases enqueue, and then back.

    Each is told to end as the next one listens, as in a deployment; every event is delivered once.
    """
    running = [fleet.worker(before, f"old-{number}") for number in range(2)]
    applications = []
    for step, release in enumerate((this, this, before, before)):
        running.append(fleet.worker(release, f"worker-{step}"))
        names = {f"before-{step}": before, f"this-{step}": this}
        producers = [fleet.produce(each, name) for name, each in names.items()]
        running.pop(0).stop()
        assert [producer.wait() for producer in producers] == [0, 0]
        applications += names

    fleet.wait_for_all()
    assert fleet.names() == Counter(
        f"{name}-{number}" for name in applications for number in range(EVENTS)
    )
    assert_balanced(fleet, before, this)


def test_a_worker_of_the_release_before_leaves_what_it_cannot_send(
    fleet: Fleet, before: Release, this: Release
) -> None:
    """A worker of 0.1 that hears the wake-ups of such queues sends nothing of them, and loses nothing;
    beside it, a worker of this release delivers every event once, as its SDK said it.
    """
    count = 30
    old = fleet.worker(before, "worker-before")
    fleet.beat(before)
    assert fleet.produce_newer(this, count).wait() == 0
    for generation in ("fme+query", "legacy+query", "single"):
        old.wait_for_log(f"Invalid enum value '{generation}'")

    found = fleet.ledgers()
    assert fleet.standin.batches + fleet.standin.singles == []
    assert [(each.accepted, each.pending) for each in found] == [(count, count)] * 3
    assert [(each.dead, each.in_flight, each.released) for each in found] == [(0, 0, 0)] * 3

    fleet.worker(this, "worker-this")
    fleet.wait_for_all()
    told = [*fleet.standin.events, *(json.loads(each.body) for each in fleet.standin.singles)]
    assert Counter(map(name_of, told)) == Counter(
        f"{what}-{number}" for what in ("silent", "java", "single") for number in range(count)
    )
    assert {tuple(each.query) for each in fleet.standin.batches} == {
        ("a", "env"), ("a", "sd", "sv", "env", "eb")
    }  # fmt: skip
    assert fleet.standin.disagreements() == []
    assert all(each.balanced for each in fleet.ledgers())
