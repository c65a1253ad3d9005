"""Events of a database transaction: enqueued when it commits, never when it is rolled back.

Just before stage 1 of an event's way. Between the call and the commit the event is
only in this process' memory. If the process dies there, the transaction is rolled back and the event
is gone with it. If it dies just after the commit, before Redis has the event, the event is lost;
only an outbox table could keep it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction

from vwo_celery.errors import EventError, QueueFull
from vwo_celery.events import encode
from vwo_celery.producing.queue import Queue, producer_of


def enqueue_on_commit(queue: Queue, event: Any, using: str | None = None) -> None:
    """Enqueue *event* once the transaction commits; at once where there is none.

    The event is encoded now, so later changes to it have no effect. Nothing is raised into the
    request: an event that cannot be enqueued is dropped, logged, and counted by its reason in
    `queue.dropped`. Besides the reasons of receipts these are "queue_full", also where `when_full`
    is "raise", since a commit cannot be taken back; "no_commit", where Django does not report
    commits because the database is unknown or in manual transaction management; and
    "enqueue_failed" for an unexpected error.

    Args:
        queue: The queue that `vwo_celery.connect` or `attach` returned.
        event: As for `Queue.enqueue`.
        using: Alias of the database; None for the default one.
    """
    try:
        encoded = encode(event)
    except EventError as exc:
        producer_of(queue).drop(exc.reason, 1, str(exc))
        return
    try:
        _on_commit(lambda: _enqueue(queue, encoded), using)
    except Exception as exc:  # Django's errors here have no common base class
        producer_of(queue).drop("no_commit", 1, f"Django takes nothing to do on a commit: {exc}")


def _on_commit(action: Callable[[], None], using: str | None) -> None:
    connection = transaction.get_connection(using)
    # Decided without connecting to the database, which may be away or not needed by this request.
    if connection.connection is None and connection.settings_dict["AUTOCOMMIT"]:
        action()
    else:
        connection.on_commit(action, robust=True)


def _enqueue(queue: Queue, encoded: bytes) -> None:
    try:
        queue.enqueue(encoded)
    except QueueFull as exc:
        producer_of(queue).drop("queue_full", 1, str(exc))
    except Exception as exc:  # if raised, it would end the request
        producer_of(queue).drop("enqueue_failed", 1, f"{type(exc).__name__}: {exc}")
