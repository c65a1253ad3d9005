"""The three Celery tasks on events' way, and the worker of each process that runs them.

Translates, decides nothing. A task message is only a hint: it holds names, no
event and no key. If one is lost, the sweep makes up for it; if one comes twice, the second claims
nothing. So tasks are acknowledged early, keep no result, and are published without retries. What they
return, as JSON, is for Celery's log, Flower and receivers of `task_success`.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from celery import Celery, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import worker_process_shutdown, worker_shutdown

from vwo_celery.celery.messages import misdirected
from vwo_celery.celery.messages.publisher import PUBLISHED_HEADER, ROUTE_HEADER, Publisher
from vwo_celery.celery.options import DELIVER, FLUSH, SWEEP, routing
from vwo_celery.celery.setup import settings_of
from vwo_celery.celery.worker.names import worker_name
from vwo_celery.celery.worker.stopping import stopping
from vwo_celery.celery.worker.task import OwnTask, SweepTask
from vwo_celery.connections import open_hint_client, open_worker_client
from vwo_celery.delivering import delivery
from vwo_celery.delivering.batch_log import Summary
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnknown
from vwo_celery.forks import PerProcess
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import sweep_messages, sweeping

#: Exceptions by which Celery interrupts a task: not the batch's fault, so it is handed back.
_INTERRUPTIONS = (SoftTimeLimitExceeded,)

_workers: PerProcess[WeakKeyDictionary[Celery, Worker]] = PerProcess(WeakKeyDictionary)
#: Every worker that this process has made.
_made: PerProcess[WeakSet[Worker]] = PerProcess(WeakSet)


@shared_task(base=OwnTask, bind=True, name=DELIVER)
def deliver(self: Any, queue: str, shard: int, token: str) -> dict[str, Any]:
    """Send the batches of one shard; the first claim gives the wake-up's slot back.

    Returns:
        Batches and events by what became of them, and why none was sent or one was not accepted.
    """
    worker = worker_of(self.app)
    wakeup = Wakeup(queue, shard, token)
    if misdirected.is_misdirected(self):
        worker.fleet.note_task()  # without the time of publishing, which the other fleet waits for
        return misdirected.pass_on(self, worker, f"queue {queue} of another namespace")
    route = str(self.request.get(ROUTE_HEADER) or "")
    worker.fleet.note_task(route, int(self.request.get(PUBLISHED_HEADER) or 0))
    summary = Summary()
    try:
        delivery.deliver(
            worker, wakeup, lambda: bool(route) and worker.fleet.others_wait(route), summary
        )
    except QueueUnknown as exc:
        return misdirected.pass_on(self, worker, exc)
    except BaseException as exc:
        if stopping() or not isinstance(exc, Exception) or worker.is_interruption(exc):
            _leave(worker.fleet, wakeup)  # another worker sends what was handed back
        raise
    return summary.document()


@shared_task(base=SweepTask, bind=True, name=SWEEP)
def sweep(self: Any) -> dict[str, Any] | None:
    """Seal what is old enough and start `deliver` for what is ready, in every queue.

    Returns:
        The number of tasks started; None if nothing was due.
    """
    worker = worker_of(self.app)
    if misdirected.is_misdirected(self):
        return misdirected.pass_on(self, worker, "a sweep of another namespace")
    with sweeping.skipping_refusals("the answer to a sweep"):
        sweep_messages.answer(worker.fleet)
    started = 0
    for wakeup in sweep_messages.sweep_if_due(worker.fleet, worker.settings):
        worker.wake(wakeup)
        started += 1
    return _started(started) if started else None


@shared_task(base=OwnTask, bind=True, name=FLUSH)
def flush(self: Any, queue: str | None = None) -> dict[str, Any]:
    """Send what one queue holds now, or what all queues hold, whatever its age.

    Returns:
        The number of tasks started.
    """
    worker = worker_of(self.app)
    worker.fleet.note_task()
    try:
        return _flush(worker, [queue] if queue else list(worker.fleet.registrations().readable))
    except QueueUnknown as exc:
        return misdirected.pass_on(self, worker, exc)


def _flush(worker: Worker, queues: list[str]) -> dict[str, Any]:
    started = 0
    for name in queues:
        for number in range(worker.fleet.registration(name).shards):
            shard = worker.fleet.shard(name, number)
            for wakeup in sweeping.sweep_shard(shard, force=True):
                worker.wake(wakeup)
                started += 1
    return _started(started)


def _started(tasks: int) -> dict[str, Any]:
    return {"started": {"tasks": tasks}}


def worker_of(app: Celery) -> Worker:
    """This process' worker; a child made by fork gets its own."""
    workers = _workers.get()
    worker = workers.get(app)
    if worker is None:
        fleet = open_fleet(app)
        worker = workers[app] = new_worker(app, fleet, _wake_by(publisher_of(app, fleet), fleet))
    return worker


def new_worker(app: Celery, fleet: Fleet, wake: Callable[[Wakeup], None]) -> Worker:
    """A further worker in this process; `hand_back_all` covers its leases, too."""
    worker = Worker(
        fleet,
        settings_of(app),
        wake,
        stopping=stopping,
        interruptions=_INTERRUPTIONS,
        name=worker_name(),
    )
    _made.get().add(worker)
    return worker


def open_fleet(app: Celery) -> Fleet:
    """The queues, over a connection of their own."""
    settings = settings_of(app)
    client = open_worker_client(settings.redis_url)
    hints = open_hint_client(settings.redis_url, client)
    return Fleet(client, settings.namespace, hints)


def publisher_of(app: Celery, fleet: Fleet) -> Publisher:
    """A publisher of `deliver` tasks for *fleet*."""
    return Publisher(app, DELIVER, routing(app, settings_of(app)), fleet.note_published)


def hand_back_all(**_: Any) -> None:
    """Hand back the leases of this process, which is about to end, and say the last of its log.

    Its parent keeps its own.
    """
    for worker in list(_made.get()):
        worker.leases.hand_back_all()
        worker.batch_log.end()


def hand_back_at_end() -> None:
    """Have the leases of each process of this worker handed back when it ends."""
    atexit.register(hand_back_all)
    worker_process_shutdown.connect(hand_back_all, weak=False, dispatch_uid="vwo_celery")
    worker_shutdown.connect(_end_shutdown, weak=False, dispatch_uid="vwo_celery")


def _end_shutdown(**_: Any) -> None:
    """Hand back, and clear the flag: the process goes on if the worker ran inside another program."""
    hand_back_all()
    stopping.prepare()


def _wake_by(publisher: Publisher, fleet: Fleet) -> Callable[[Wakeup], None]:
    """A function that publishes a task, and leaves to the listeners what the broker refuses."""

    def wake(wakeup: Wakeup) -> None:
        if not publisher.publish(wakeup):
            _leave(fleet, wakeup)

    return wake


def _leave(fleet: Fleet, wakeup: Wakeup) -> None:
    fleet.try_leaving_wakeups(wakeup.queue, wakeup.shard, [wakeup.token])
