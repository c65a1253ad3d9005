"""Misdirected task messages: of another namespace, or of a queue that this worker does not know.

Two fleets on one broker that share a Celery queue get each other's messages; and a worker may get one
of a queue that a later release registered. It passes such a message on, since the next worker may be
the right one, a few times; then it drops it. The message is only a hint: the sweep of its own fleet
finds the batch.
"""

from __future__ import annotations

from typing import Any

from vwo_celery.celery.messages.publisher import PUBLISHED_HEADER, ROUTE_HEADER
from vwo_celery.celery.options import NAMESPACE_HEADER
from vwo_celery.celery.setup import settings_of
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnknown, QueueUnreadable, VwoCeleryError
from vwo_celery.logs import log

#: Header that counts how often a message was passed on.
_PASSED_HEADER = "vwo_passed"
#: Headers that stay those of the first publisher.
_KEPT_HEADERS = (NAMESPACE_HEADER, ROUTE_HEADER, PUBLISHED_HEADER)
#: Most times that a message is passed on: a broker hands messages to waiting workers in turn, and
#: where the right ones are all busy, they find the batch when they are done.
MOST_PASSES = 8


def is_misdirected(task: Any) -> bool:
    """Whether the message of the task that runs now belongs to another namespace."""
    namespace = task.request.get(NAMESPACE_HEADER)  # None in messages of releases before 0.2.0
    return namespace is not None and namespace != settings_of(task.app).namespace


def pass_on(task: Any, worker: Worker, wrong: str | QueueUnknown) -> dict[str, Any]:
    """Give the message of the task that runs now to another worker; drop it if that did not help.

    Args:
        task: The task.
        worker: The worker of this process.
        wrong: What is wrong with the message here, for the log.

    Returns:
        The task's return value.
    """
    why = str(wrong)
    if isinstance(wrong, QueueUnreadable):
        worker.seldom.warn(
            f"unreadable {why}", "%s; its events are left to workers that can read it", why
        )
    else:
        _report(task, worker, why)
    request = task.request
    passed = int(request.get(_PASSED_HEADER) or 0)
    if passed >= MOST_PASSES:
        log.debug("a task message was dropped after %d workers: %s", passed, why)
        return {"why": f"dropped, as not this worker's own: {why}"}
    kept = {name: request.get(name) for name in _KEPT_HEADERS}
    headers = {name: value for name, value in kept.items() if value is not None}
    headers[_PASSED_HEADER] = passed + 1
    try:
        shown = {"argsrepr": request.argsrepr} if request.argsrepr else {}
        task.publish(request.args, request.kwargs, headers=headers, **shown, **_origin(request))
    except Exception as exc:  # each transport has errors of its own
        log.debug("a task message could not be passed on: %s: %s", type(exc).__name__, exc)
    return {"why": f"passed on, as not this worker's own: {why}"}


def _origin(request: Any) -> dict[str, str]:
    """Options that send a message to where this one came from."""
    origin = request.delivery_info or {}
    exchange, key = origin.get("exchange"), origin.get("routing_key")
    if not key:
        return {}
    return {"exchange": exchange, "routing_key": key} if exchange else {"queue": key}


def _report(task: Any, worker: Worker, why: str) -> None:
    """Tell the operator, in the log and for the doctor."""
    settings = worker.settings
    worker.seldom.warn(
        "misdirected",
        "a worker of namespace %r got a task message that is not its own: %s; it is passed on, and "
        "batches may wait for a sweep. If two fleets share a broker, give each a celery_queue of "
        "its own (VWO_CELERY_CELERY_QUEUE)", settings.namespace, why,
    )  # fmt: skip
    try:
        worker.fleet.note_misdirected(str(task.request.get(NAMESPACE_HEADER) or ""))
    except VwoCeleryError as exc:
        log.debug("the doctor is not told of a misdirected message: %s", exc)
