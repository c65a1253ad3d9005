"""The Celery side: three tasks, what starts them, and the one line that adds them to an app.

Place: an adapter, translates and decides nothing. A task message is only a hint and holds names, no
event and no key: if one is lost or comes twice, the sweep or an empty claim makes up for it. That is
why tasks are acknowledged early, keep no result, and are published without retries.
"""

from __future__ import annotations

import logging
import os
from typing import Any, cast
from weakref import WeakKeyDictionary

from celery import Celery, current_app, shared_task

from vwo_celery import delivery, triggers
from vwo_celery.connections import open_worker_client
from vwo_celery.delivery import Worker
from vwo_celery.fleet import Fleet, Wakeup
from vwo_celery.settings import Settings

log = logging.getLogger("vwo_celery")

DELIVER, SWEEP, FLUSH = "vwo_celery.deliver", "vwo_celery.sweep", "vwo_celery.flush"
BEAT_ENTRY = "vwo-celery-sweep"
#: By name, which Celery resolves in workers: the listener imports this module.
LISTENER = "vwo_celery.bootstep:Listener"
#: Sweeps that are worth less than a newer one; more would only stack up while no worker runs.
_SWEEP_EXPIRES_INTERVALS = 5

_settings: WeakKeyDictionary[Celery, Settings] = WeakKeyDictionary()
_workers: WeakKeyDictionary[Celery, tuple[int, Worker]] = WeakKeyDictionary()


@shared_task(name=DELIVER, ignore_result=True)
def deliver(queue: str, shard: int, token: str) -> None:
    """Send the batches of one shard; a wake-up's token is given back at the end."""
    delivery.deliver(worker_of(_app()), Wakeup(queue, shard, token))


@shared_task(name=SWEEP, ignore_result=True)
def sweep() -> None:
    """Seal what is old enough and start `deliver` for what is ready, in every queue."""
    worker = worker_of(_app())
    for wakeup in triggers.sweep(worker.fleet, worker.settings, by="beat"):
        worker.wake(wakeup)


@shared_task(name=FLUSH, ignore_result=True)
def flush(queue: str | None = None) -> None:
    """Send what one queue holds now, or what all queues hold, whatever its age."""
    worker = worker_of(_app())
    queues = [queue] if queue else list(worker.fleet.registrations())
    for name in queues:
        for number in range(worker.fleet.registration(name).shards):
            shard = worker.fleet.shard(name, number)
            for wakeup in triggers.sweep_shard(shard, worker.settings, force=True)[0]:
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
    app.steps["consumer"].add(LISTENER)
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
    pid, worker = _workers.get(app, (0, None))
    if worker is None or pid != os.getpid():
        settings = settings_of(app)
        fleet = Fleet(open_worker_client(settings.redis_url), settings.namespace)
        worker = Worker(fleet, settings, lambda wakeup: publish(app, wakeup))
        _workers[app] = (os.getpid(), worker)
    return worker


def publish(app: Celery, wakeup: Wakeup) -> None:
    """Have a worker run `deliver`; a broker that cannot be reached only delays it."""
    try:
        app.send_task(
            DELIVER,
            args=(wakeup.queue, wakeup.shard, wakeup.token),
            retry=False,
            ignore_result=True,
            **routing(settings_of(app)),
        )
    except Exception as exc:
        # Whatever the transport raises: the slot expires, and the sweep finds the batch.
        log.warning("a deliver task for %s was not published: %s", wakeup.queue, exc)


def routing(settings: Settings) -> dict[str, Any]:
    """Options that send a task to `celery_queue`, where that is set."""
    return {"queue": settings.celery_queue} if settings.celery_queue else {}


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
    app: Any = current_app  # a proxy, which is no key for what an app was given
    return cast("Celery", app._get_current_object())
