"""The three Celery tasks, and `setup`, the one line that adds them to an app.

Translates, decides nothing. A task message is only a hint: it holds names, no
event and no key. If one is lost, the sweep makes up for it; if one comes twice, the second claims
nothing. So tasks are acknowledged early, keep no result, and are published without retries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from celery import Celery, current_app, shared_task
from celery.signals import worker_process_shutdown, worker_shutdown

from vwo_celery.celery.publisher import Publisher
from vwo_celery.celery.stopping import stopping
from vwo_celery.connections import open_worker_client
from vwo_celery.delivering import delivery
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.forks import PerProcess
from vwo_celery.logs import log
from vwo_celery.queue import sweeping
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.registration import Wakeup
from vwo_celery.settings import Settings

DELIVER, SWEEP, FLUSH = "vwo_celery.deliver", "vwo_celery.sweep", "vwo_celery.flush"
#: Serializer of every task message, also in an app that pickles its own tasks.
_SERIALIZER = "json"
BEAT_ENTRY = "vwo-celery-sweep"
#: Name of the bootstep, which only workers import: the listener imports this module.
LISTENER = "vwo_celery.celery.listener:Listener"
#: Sweep intervals until a sweep task expires; later ones would pile up while no worker runs.
_SWEEP_EXPIRES_INTERVALS = 5

_settings: WeakKeyDictionary[Celery, Settings] = WeakKeyDictionary()
_workers: PerProcess[WeakKeyDictionary[Celery, Worker]] = PerProcess(WeakKeyDictionary)
#: Every worker that this process has made.
_made: PerProcess[WeakSet[Worker]] = PerProcess(WeakSet)


@shared_task(name=DELIVER, ignore_result=True, serializer=_SERIALIZER)
def deliver(queue: str, shard: int, token: str) -> None:
    """Send the batches of one shard; a wake-up's token is given back at the end."""
    worker = worker_of(_app())
    wakeup = Wakeup(queue, shard, token)
    _note_task(worker)
    try:
        delivery.deliver(worker, wakeup)
    except BaseException as exc:
        if stopping() or not isinstance(exc, Exception):
            _leave(worker.fleet, wakeup)  # another worker sends what was handed back
        raise


@shared_task(name=SWEEP, ignore_result=True, serializer=_SERIALIZER)
def sweep() -> None:
    """Seal what is old enough and start `deliver` for what is ready, in every queue."""
    worker = worker_of(_app())
    for wakeup in sweeping.sweep(worker.fleet, by="beat"):
        worker.wake(wakeup)


@shared_task(name=FLUSH, ignore_result=True, serializer=_SERIALIZER)
def flush(queue: str | None = None) -> None:
    """Send what one queue holds now, or what all queues hold, whatever its age."""
    worker = worker_of(_app())
    _note_task(worker)
    queues = [queue] if queue else list(worker.fleet.registrations().readable)
    for name in queues:
        for number in range(worker.fleet.registration(name).shards):
            shard = worker.fleet.shard(name, number)
            for wakeup in sweeping.sweep_shard(shard, force=True)[0]:
                worker.wake(wakeup)


def setup(app: Celery, settings: Settings | None = None, **arguments: Any) -> Settings:
    """Add vwo_celery to a Celery app: tasks, listener, beat entry, routing.

    Args:
        app: The app that workers and beat run.
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        arguments: Single settings, see docs/reference/settings.md.

    Returns:
        The settings that the app's workers use.

    Raises:
        SettingsError: A setting is wrong.
    """
    settings = settings if settings is not None else Settings.load(**arguments)
    _settings[app] = settings
    app.steps["worker"].add(LISTENER)
    worker_process_shutdown.connect(hand_back_all, weak=False, dispatch_uid="vwo_celery")
    worker_shutdown.connect(_end_shutdown, weak=False, dispatch_uid="vwo_celery")
    app.on_after_finalize.connect(_add_beat_entry, weak=False)
    if getattr(app, "finalized", False):
        _add_beat_entry(app)
    return settings


def settings_of(app: Celery) -> Settings:
    """The settings given to `setup`; without it, those of Django and the environment."""
    if app not in _settings:
        _settings[app] = Settings.load()
    return _settings[app]


def worker_of(app: Celery) -> Worker:
    """This process' worker; a child made by fork gets its own."""
    workers = _workers.get()
    worker = workers.get(app)
    if worker is None:
        fleet = open_fleet(app)
        worker = workers[app] = new_worker(app, fleet, _wake_by(publisher_of(app), fleet))
    return worker


def new_worker(app: Celery, fleet: Fleet, wake: Callable[[Wakeup], None]) -> Worker:
    """A further worker in this process; `hand_back_all` covers its leases, too."""
    worker = Worker(fleet, settings_of(app), wake, stopping=stopping)
    _made.get().add(worker)
    return worker


def open_fleet(app: Celery) -> Fleet:
    """The queues, over a connection of their own."""
    settings = settings_of(app)
    return Fleet(open_worker_client(settings.redis_url), settings.namespace)


def publisher_of(app: Celery) -> Publisher:
    """A publisher of `deliver` tasks."""
    return Publisher(app, DELIVER, routing(settings_of(app)))


def hand_back_all(**_: Any) -> None:
    """Hand back the leases of this process, which is about to end; its parent keeps its own."""
    for worker in list(_made.get()):
        worker.leases.hand_back_all()


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
    try:
        fleet.leave_wakeups(wakeup.queue, wakeup.shard, [wakeup.token])
    except QueueUnavailable as exc:
        log.debug("the slot runs out, and the sweep finds the batch: %s", exc)


def _note_task(worker: Worker) -> None:
    with sweeping.skipping_refusals("a sign of life"):
        worker.fleet.note_task()


def routing(settings: Settings) -> dict[str, Any]:
    """Options of every task message: JSON in any app, and `celery_queue` where that is set."""
    queue = {"queue": settings.celery_queue} if settings.celery_queue else {}
    return {"serializer": _SERIALIZER, **queue}


def _add_beat_entry(sender: Celery, **_: Any) -> None:
    settings = settings_of(sender)
    interval = settings.sweep_interval_seconds
    sender.add_periodic_task(
        interval,
        sender.signature(SWEEP),
        name=BEAT_ENTRY,
        expires=_SWEEP_EXPIRES_INTERVALS * interval,
        **routing(settings),
    )


def _app() -> Celery:
    app: Any = current_app  # a proxy, which cannot be a key of `_settings`
    return cast("Celery", app._get_current_object())
