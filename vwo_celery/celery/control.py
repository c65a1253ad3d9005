"""Celery's remote control of our queues: `celery inspect vwo_…` and `celery control vwo_…`.

Each worker that gets a command answers with the document that `vwo-celery … --json` prints. Changes go
through `operating.operations`, so they are in the audit; a worker that finds nothing to change records
nothing, since a command reaches every worker. A command blocks the worker's consumer while it runs,
and no task. If the worker dies in here, nothing is lost, and the same command does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from celery import Celery
from celery.worker.control import control_command, inspect_command

from vwo_celery.celery.setup import settings_of
from vwo_celery.connections import open_client
from vwo_celery.errors import VwoCeleryError
from vwo_celery.operating import doctor, operations
from vwo_celery.operating.doctor import BrokerFacts
from vwo_celery.operating.documents.status import queue_statuses
from vwo_celery.operating.documents.workers import workers_document
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.operating.looks.looking import look
from vwo_celery.operating.past.audit import Actor, actor_of_cli
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Registration
from vwo_celery.settings import Settings
from vwo_celery.text.masking import mask_url

#: Longest wait for one answer of Redis, in seconds: the consumer waits as long.
_REDIS_TIMEOUT_SECONDS = 5.0
_QUEUES: dict[str, Any] = {"variadic": "queues", "signature": "[queue1 [queue2 [... [queueN]]]]"}


def _answer(app: Celery, ask: Callable[[Fleet], Any]) -> Any:
    """The document that *ask* makes, as plain values; our own errors as Celery spells errors."""
    settings = settings_of(app)
    try:
        client = open_client(settings.redis_url, timeout_seconds=_REDIS_TIMEOUT_SECONDS)
        try:
            return msgspec.to_builtins(ask(Fleet(client, settings.namespace)))
        finally:
            client.close()
    except VwoCeleryError as exc:
        return {"error": str(exc)}


def _chosen(fleet: Fleet, queues: Any) -> dict[str, Registration]:
    found = fleet.registrations()
    return inspector.choose(found.readable, list(queues or ()), found.unreadable)


def _actor() -> Actor:
    return actor_of_cli("celery")


@inspect_command(**_QUEUES)
def vwo_queues(state: Any, queues: Any = (), **_: Any) -> Any:
    """What each queue of vwo_celery holds, since when and why: `queues` of `vwo-celery status --json`."""
    settings = settings_of(state.app)
    return _answer(
        state.app, lambda fleet: queue_statuses(look(fleet, settings, list(queues or ())))
    )


@inspect_command()
def vwo_workers(state: Any, **_: Any) -> Any:
    """The workers that listen, and in what they differ: as `vwo-celery workers --json`."""
    return _answer(state.app, workers_document)


@inspect_command(default_timeout=10.0)
def vwo_doctor(state: Any, **_: Any) -> Any:
    """What keeps events from leaving, as this worker sees it: as `vwo-celery doctor --json`."""
    settings = settings_of(state.app)
    return _answer(
        state.app, lambda fleet: list(doctor.examine(settings, lambda: fleet, _broker_of_worker))
    )


def _broker_of_worker(settings: Settings) -> BrokerFacts:
    """The broker that brought the command; to ask the other workers, this one would wait for itself."""
    url = mask_url(settings.broker_url or settings.redis_url)
    return BrokerFacts(url=url, unchecked="it brought this command to this worker")


@control_command(**_QUEUES)
def vwo_flush(state: Any, queues: Any = (), **_: Any) -> Any:
    """Send what queues of vwo_celery hold now, all of them by default: as `vwo-celery flush --json`."""

    def flush(fleet: Fleet) -> Any:
        views = inspector.view_queues(fleet, _chosen(fleet, queues))
        held = [view for view in views if view.open or view.ready]
        if not held:
            return []
        return operations.flush(fleet, _actor(), [view.queue for view in held]).document()

    return _answer(state.app, flush)


@control_command(
    args=[("queue", str), ("reason", str)], signature="QUEUE|all [REASON]",
)  # fmt: skip
def vwo_pause(state: Any, queue: str, reason: str = "", **_: Any) -> Any:
    """Send nothing of a queue of vwo_celery, or of all, until it is resumed."""

    def pause(fleet: Fleet) -> Any:
        left = _where(fleet, queue, lambda view: not _paused_by_operator(view))
        return {"paused": operations.pause(fleet, _actor(), left, reason) if left else []}

    return _answer(state.app, pause)


@control_command(args=[("queue", str)], signature="QUEUE|all")
def vwo_resume(state: Any, queue: str, **_: Any) -> Any:
    """Send again what a paused or stopped queue of vwo_celery holds, or all of them."""

    def resume(fleet: Fleet) -> Any:
        left = _where(fleet, queue, lambda view: view.stopped is not None)
        return {"resumed": operations.resume(fleet, _actor(), left) if left else []}

    return _answer(state.app, resume)


def _where(
    fleet: Fleet, queue: str, wanted: Callable[[QueueView], bool]
) -> dict[str, Registration]:
    """The queue, or all of them, as far as there is something to change."""
    chosen = _chosen(fleet, () if queue == "all" else (queue,))
    views = inspector.view_queues(fleet, chosen)
    return {view.queue: chosen[view.queue] for view in views if wanted(view)}


def _paused_by_operator(view: QueueView) -> bool:
    return bool(view.paused) and view.stopped is not None and view.stopped.by == "operator"
