"""Events of a database transaction: enqueued when it commits, never when it is rolled back.

Place: adapters, just before stage 1 of an event's way. Between the call and the commit the event is
in this process' memory only; if the process dies there, the transaction is rolled back and the event
goes with it. If it dies just after the commit, before Redis has the event, the event is lost: only
an outbox table could keep it.
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

    The event is encoded now, so what happens to it until the commit changes nothing. Nothing is
    raised into the request: an event that cannot be enqueued is dropped, which the log tells and
    `queue.dropped` counts by reason, as of a receipt, and as "queue_full" also where `when_full` is
    "raise", since a commit cannot be taken back; "no_commit" where Django tells nobody of a commit,
    as the database is unknown or in manual transaction management; "enqueue_failed" for a fault
    in here.

    Args:
        queue: What `vwo_celery.connect` or `attach` returned.
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
    except Exception as exc:  # Django's objections have no base class of their own
        producer_of(queue).drop("no_commit", 1, f"Django takes nothing to do on a commit: {exc}")


def _on_commit(action: Callable[[], None], using: str | None) -> None:
    connection = transaction.get_connection(using)
    # Told without connecting to the database, which may be away, or not needed by this request.
    if connection.connection is None and connection.settings_dict["AUTOCOMMIT"]:
        action()
    else:
        connection.on_commit(action, robust=True)


def _enqueue(queue: Queue, encoded: bytes) -> None:
    try:
        queue.enqueue(encoded)
    except QueueFull as exc:
        producer_of(queue).drop("queue_full", 1, str(exc))
    except Exception as exc:  # raised, it would end the request that the transaction was part of
        producer_of(queue).drop("enqueue_failed", 1, f"{type(exc).__name__}: {exc}")
