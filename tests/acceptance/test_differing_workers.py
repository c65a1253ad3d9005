"""Workers of different settings on one Redis: each decides for itself what its own settings decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

import vwo_celery
from tools.installation import KEY, Installation, event
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.holding.declines import Decline, declines_of
from vwo_celery.testing import Standin

EVENTS = 20
#: Variables of a worker whose proxy is not there.
NO_WAY = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}

pytestmark = pytest.mark.declared_keys("declined", "declined_queues")


def send(queue: vwo_celery.Queue, names: range) -> None:
    """Enqueue events of these names, one after another."""
    for name in names:
        assert queue.enqueue(event(str(name)))


def connect(installation: Installation, standin: Standin, account: int = 1) -> vwo_celery.Queue:
    """A queue at *standin* whose events leave at once."""
    return vwo_celery.connect(
        vwo_celery.Destination(
            account_id=account, sdk_key=KEY, generation="legacy", base_url=standin.url
        ),
        batch_event_data={"events_per_request": 1},
        redis_url=installation.redis_url,
    )


def accepted(standin: Standin) -> Counter[str]:
    """Names of the events that VWO accepted, and how often."""
    return Counter(each["u"] for each in standin.events)


def expected(names: range) -> Counter[str]:
    """Each of these names once."""
    return Counter(map(str, names))


@pytest.fixture
def other(installation: Installation) -> Iterator[Standin]:
    """Another host that plays VWO."""
    with Standin() as running:
        yield running


def test_a_rolling_deploy_adds_a_host(installation: Installation) -> None:
    """A worker that may not send leaves the queue to one that may; every event arrives, once."""
    old = installation.worker(name="old", VWO_CELERY_ALLOWED_HOSTS="")
    installation.worker(name="new")
    queue = connect(installation, installation.standin)

    send(queue, range(EVENTS))
    wait_until(lambda: len(accepted(installation.standin)) == EVENTS, 30)
    old.stop()
    send(queue, range(EVENTS, EVENTS + 5))
    wait_until(lambda: len(accepted(installation.standin)) == EVENTS + 5, 30)

    assert accepted(installation.standin) == expected(range(EVENTS + 5))
    assert not installation.snapshot(queue).paused
    assert installation.snapshot(queue).balanced


def test_staging_and_production_share_a_redis(installation: Installation, other: Standin) -> None:
    """Two workers that may each send to another host deliver both queues, each to its own."""
    installation.worker(name="staging")
    installation.worker(name="production", VWO_CELERY_ALLOWED_HOSTS=other.netloc)
    staging = connect(installation, installation.standin, 1)
    production = connect(installation, other, 2)

    for name in range(EVENTS):
        send(staging, range(name, name + 1))
        send(production, range(name, name + 1))
    wait_until(lambda: len(accepted(other)) == len(accepted(installation.standin)) == EVENTS, 30)

    assert accepted(installation.standin) == accepted(other) == expected(range(EVENTS))


def test_a_queue_that_no_worker_may_send_goes_on_by_itself(installation: Installation) -> None:
    """Where no worker may send, the queue is held and told; a worker that may takes it up by itself."""
    old = installation.worker(name="old", VWO_CELERY_ALLOWED_HOSTS="")
    installation.worker("--queues=elsewhere", name="listens only", VWO_CELERY_ALLOWED_HOSTS="")
    queue = connect(installation, installation.standin)
    send(queue, range(3))
    old.wait_for_log("no worker that listens sends queue")

    both = declines(queue)
    assert len(both) == 2
    assert all("allowed_hosts" in decline.why for decline in both)
    assert installation.snapshot(queue).pending == 3
    assert installation.standin.requests == []

    installation.worker(name="new")
    wait_until(lambda: accepted(installation.standin) == expected(range(3)), 30)

    assert old.log().count("sends queue") <= 2  # once in each process of the pool
    assert installation.snapshot(queue).balanced


def test_a_queue_whose_tasks_all_decline_is_sent_by_a_listener(
    installation: Installation,
) -> None:
    """Where the workers with our tasks decline a queue, one that only listens and may send sends it."""
    able = installation.worker("--queues=elsewhere", name="able")
    declining = installation.worker(name="declining", VWO_CELERY_ALLOWED_HOSTS="")
    queue = connect(installation, installation.standin)

    send(queue, range(3))
    wait_until(lambda: len(accepted(installation.standin)) == 3, 40)
    send(queue, range(3, 6))
    wait_until(lambda: len(accepted(installation.standin)) == 6, 40)

    assert accepted(installation.standin) == expected(range(6))
    assert "is sent by this worker's listener" in able.log()
    assert declining.log().count("leaves queue") <= 3  # once in each process
    assert "no worker has run a task" not in able.log() + declining.log()
    assert installation.snapshot(queue).balanced


def test_a_worker_whose_proxy_is_away_leaves_the_queue_to_others(
    installation: Installation,
) -> None:
    """A worker whose own proxy is away costs no attempt, opens no circuit and holds up nobody."""
    installation.env["VWO_CELERY_CIRCUIT_FAILURES"] = "1"
    installation.worker(name="cut off", **NO_WAY)
    installation.worker(name="well")
    queue = connect(installation, installation.standin)

    send(queue, range(EVENTS))
    wait_until(lambda: len(accepted(installation.standin)) == EVENTS, 30)

    assert accepted(installation.standin) == expected(range(EVENTS))
    assert installation.reports("released") == []
    delivered = wait_until(
        lambda: len(told := installation.reports("delivered")) == EVENTS and told
    )
    assert {report["attempt"] for report in delivered} == {1}


def test_a_callback_is_called_by_the_worker_that_may(installation: Installation) -> None:
    """A queue with a callback is left to the workers that may import it, so that each is told."""
    installation.worker(name="without", VWO_CELERY_CALLBACK_MODULES="")
    installation.worker(name="with")
    queue = installation.connect(events_per_request=1, flush_callback="delivery_app:note_flush")

    send(queue, range(EVENTS))
    wait_until(lambda: len(accepted(installation.standin)) == EVENTS, 30)

    told = wait_until(lambda: len(told := installation.reports("callback")) == EVENTS and told)
    assert Counter(each["u"] for report in told for each in report["events"]) == expected(
        range(EVENTS)
    )


def declines(queue: vwo_celery.Queue) -> tuple[Decline, ...]:
    """The workers that decline a queue."""
    fleet = producer_of(queue).fleet
    return declines_of(fleet, fleet.listeners()).get(queue.name, ())
