"""Faults of workers, beat and wake-ups.

Each fault is a context manager on a running fleet: inflicted on entry, healed on exit. The caller
decides how long it lasts. If healing starts a program again, the exit returns when that program is
ready.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import vwo_celery
from chaos.faults.row import (
    IN_FLIGHT,
    REPEAT_SECONDS,
    SOON_SECONDS,
    TRICKLE,
    Infliction,
    Row,
    again_and_again,
    queues_of,
)
from chaos.fleet import Fleet
from chaos.kit import EVENTS_PER_REQUEST, PARALLEL_SENDS
from tools.installation import KEY, event
from tools.waiting import wait_until
from vwo_celery.testing.standin import Fault

#: Queues that come in addition under overload, and the batches of each.
_CROWD_QUEUES, _CROWD_BATCHES = 60, 5
_FIRST_CROWD_ACCOUNT = 500_000
#: The Celery queue of our tasks, a list of the broker.
_TASKS = "vwo:broker:vwo_celery"
#: Task messages that may wait there: one for each batch, and few that look for lost ones.
_MOST_TASKS = _CROWD_QUEUES * _CROWD_BATCHES + PARALLEL_SENDS + 6


@contextmanager
def worker_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of the worker and its children, at any moment."""
    fleet.take_worker().kill()
    yield
    fleet.start_worker()


@contextmanager
def worker_killed_in_post(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of the worker while VWO holds a request, which VWO then accepts."""
    fleet.vendor.misbehave = lambda _: Fault(delay_seconds=0.5)
    wait_until(lambda: fleet.vendor.in_hand, SOON_SECONDS)
    fleet.take_worker().kill()
    fleet.vendor.behave()
    yield
    fleet.start_worker()


def worker_dies(moment: str) -> Infliction:
    """SIGKILL of a pool process by itself at *moment*, one of delivery_app.py's."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        crashed = fleet.folder / f"crashed-{uuid4().hex}"
        _end_worker(fleet, signal.SIGTERM)
        fleet.start_worker(CRASH_AT=moment, CRASH_FILE=str(crashed))
        fleet.wait_until(crashed.exists, SOON_SECONDS, "the worker's crash")
        yield
        _end_worker(fleet, signal.SIGTERM)
        fleet.start_worker()

    return infliction


@contextmanager
def pool_process_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of one pool process, as by the kernel when memory runs out."""
    fleet.worker_children()[0].kill()
    yield


def worker_ended(how: signal.Signals) -> Infliction:
    """The worker is asked to end, and then another is started, as in a rolling restart."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        _end_worker(fleet, how)
        yield
        fleet.start_worker()

    return infliction


def _end_worker(fleet: Fleet, how: signal.Signals) -> None:
    worker = fleet.end_worker(how)
    worker.wait(3 * SOON_SECONDS)


#: Variables of a worker that may not send to the queue's host, and whose other settings differ, too.
_DIFFERENT = {
    "VWO_CELERY_ALLOWED_HOSTS": "",
    "VWO_CELERY_LEASE_SECONDS": "60",
    "VWO_CELERY_BACKOFF_MAX_SECONDS": "1",
}


@contextmanager
def workers_differ(fleet: Fleet) -> Iterator[None]:
    """A rolling deploy: a worker of other settings, which may not send to the host, runs beside."""
    other = fleet.installation.worker(f"--pool={fleet.kit.pool}", name="differing", **_DIFFERENT)
    yield
    os.kill(other.pid, signal.SIGTERM)
    other.wait(3 * SOON_SECONDS)


@contextmanager
def no_worker_may_send(fleet: Fleet) -> Iterator[None]:
    """Only a worker that may not send to the queue's host, until another is started beside it."""
    _end_worker(fleet, signal.SIGTERM)
    other = fleet.installation.worker(f"--pool={fleet.kit.pool}", name="differing", **_DIFFERENT)
    yield
    fleet.start_worker()
    os.kill(other.pid, signal.SIGTERM)
    other.wait(3 * SOON_SECONDS)


@contextmanager
def beat_dead(fleet: Fleet) -> Iterator[None]:
    """No beat."""
    (beat,) = fleet.beats
    fleet.beats = []
    beat.kill()
    yield
    fleet.beats = [fleet.installation.beat()]


@contextmanager
def beat_stalled(fleet: Fleet) -> Iterator[None]:
    """A beat that is stopped."""
    os.kill(fleet.beats[0].pid, signal.SIGSTOP)
    yield
    os.kill(fleet.beats[0].pid, signal.SIGCONT)


@contextmanager
def two_beats(fleet: Fleet) -> Iterator[None]:
    """A second beat."""
    second = fleet.installation.start(
        "beat", "--loglevel=INFO", f"--schedule={fleet.folder / 'schedule2'}", name="beat2"
    )
    fleet.beats.append(second)
    yield
    fleet.beats.remove(second)
    second.stop()


@contextmanager
def hints_lost(fleet: Fleet) -> Iterator[None]:
    """As many wake-ups as possible are deleted before a listener takes them."""
    wakeups = queues_of(fleet).keys.wakeups
    with again_and_again(lambda: fleet.client.delete(wakeups), 0.001):
        yield


@contextmanager
def hints_repeated(fleet: Fleet) -> Iterator[None]:
    """Ten wake-ups of one token, again and again."""
    queues, queue = queues_of(fleet), fleet.fates.shard.queue
    with again_and_again(lambda: queues.leave_wakeups(queue, 0, ["again"] * 10), REPEAT_SECONDS):
        yield


@contextmanager
def overload(fleet: Fleet) -> Iterator[None]:
    """Sixty more queues with five due batches each, while VWO takes a second for each request.

    The task messages that wait in the broker stay bounded; healed when all of the others' events
    have arrived.
    """
    fleet.vendor.misbehave = lambda _: Fault(delay_seconds=1)
    accounts = range(_FIRST_CROWD_ACCOUNT, _FIRST_CROWD_ACCOUNT + _CROWD_QUEUES)
    for account in accounts:
        destination = vwo_celery.Destination(
            account_id=account, sdk_key=KEY, generation="legacy", base_url=fleet.vendor.url
        )
        crowded = vwo_celery.connect(
            destination, batch_event_data={"events_per_request": 1}, redis=fleet.client
        )
        names = (f"{account}-{uuid4().hex}" for _ in range(_CROWD_BATCHES))
        assert all(crowded.enqueue_many([event(name) for name in names]))
    yield
    waiting = int(fleet.client.llen(_TASKS))
    fleet.vendor.behave()
    sent = [str(account) for account in accounts]
    fleet.wait_until(
        lambda: all(fleet.vendor.took(account) >= _CROWD_BATCHES for account in sent),
        3 * SOON_SECONDS, "the events of the other queues",
    )  # fmt: skip
    for account in sent:
        fleet.vendor.forget(account)
    assert waiting <= _MOST_TASKS, f"{waiting} task messages waited in the broker"


#: Rows of the fault matrix.
ROWS = (
    Row(
        name="worker-killed",
        fault="worker and its children killed (SIGKILL)",
        inflict=worker_killed,
        seconds=1,
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="worker-killed-in-post",
        fault="the same while VWO holds a request",
        inflict=worker_killed_in_post,
        seconds=1,
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="dies-before-post",
        fault="pool process killed between claim and POST",
        inflict=worker_dies("before_post"),
        seconds=1,
    ),
    Row(
        name="dies-before-ack",
        fault="pool process killed between VWO's 200 and the ack",
        inflict=worker_dies("after_post"),
        seconds=1,
        leases_lost=EVENTS_PER_REQUEST,
    ),
    Row(
        name="pool-process-killed",
        fault="pool process killed as by the OOM killer",
        inflict=pool_process_killed,
        seconds=1,
        leases_lost=EVENTS_PER_REQUEST,
    ),
    Row(
        name="worker-sigterm",
        fault="worker ended by SIGTERM under load, another started",
        inflict=worker_ended(signal.SIGTERM),
        seconds=0,
    ),
    Row(
        name="worker-sigquit",
        fault="worker ended by SIGQUIT under load, another started",
        inflict=worker_ended(signal.SIGQUIT),
        seconds=0,
        leases_lost=IN_FLIGHT,
    ),
    Row(
        name="workers-differ",
        fault="a worker beside that may not send to the host, with other lease and backoff",
        inflict=workers_differ,
        seconds=4,
        least_requests=2,
    ),
    Row(
        name="no-worker-may-send",
        fault="only a worker that may not send to the host",
        inflict=no_worker_may_send,
        seconds=4,
    ),
    # -- triggers
    Row(
        name="beat-dead",
        fault="no beat; events leave by age",
        inflict=beat_dead,
        seconds=4,
        traffic=TRICKLE,
        least_requests=2,
    ),
    Row(
        name="beat-stalled",
        fault="beat stopped (SIGSTOP); events leave by age",
        inflict=beat_stalled,
        seconds=4,
        traffic=TRICKLE,
        least_requests=2,
    ),
    Row(name="two-beats", fault="two beats", inflict=two_beats, least_requests=2),
    Row(
        name="hints-lost",
        fault="as many wake-ups as possible deleted",
        inflict=hints_lost,
        least_requests=2,
    ),
    Row(
        name="hints-repeated",
        fault="ten extra wake-ups, ten times a second",
        inflict=hints_repeated,
        least_requests=2,
    ),
    Row(
        name="overload",
        fault="60 more queues with five batches each; VWO takes a second",
        inflict=overload,
        seconds=10,
        soak=False,
    ),
)
