"""Events of a database transaction: enqueued when it commits, never when it is rolled back.

Place: adapters, just before stage 1 of an event's way. Between the call and the commit the event is
in this process' memory only; if the process dies there, the transaction is rolled back and the event
goes with it. If it dies just after the commit, before Redis has the event, the event is lost: only
an outbox table could keep it.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from vwo_celery.errors import EventError, QueueFull
from vwo_celery.events import encode
from vwo_celery.producer import Queue


def enqueue_on_commit(queue: Queue, event: Any, using: str | None = None) -> None:
    """Enqueue *event* once the transaction commits; at once where there is none.

    The event is encoded now, so what happens to it until the commit changes nothing. Nothing is
    raised into the request: an event that cannot be enqueued is dropped, which `queue.dropped`
    counts and the log tells; also "queue_full" where `when_full` is "raise", since a commit cannot
    be refused any more, and "no_commit" where Django has no commit to wait for, as the connection
    is in manual transaction management or unknown.

    Args:
        queue: What `vwo_celery.connect` or `attach` returned.
        event: As for `Queue.enqueue`.
        using: Alias of the database; None for the default one.
    """
    try:
        text = encode(event)
    except EventError as exc:
        queue.drop(exc.reason, 1, str(exc))
        return

    # A function, not a partial: Django names what failed by its __qualname__.
    def enqueue() -> None:
        try:
            queue.enqueue(text)
        except QueueFull as exc:
            queue.drop("queue_full", 1, str(exc))

    try:
        connection = transaction.get_connection(using)
        if _has_no_transaction(connection):
            enqueue()
        else:
            connection.on_commit(enqueue, robust=True)
    except Exception as exc:  # Django's objections have no base class of their own
        queue.drop("no_commit", 1, f"Django took no hook for the commit: {exc}")


def _has_no_transaction(connection: Any) -> bool:
    """Whether that can be told without connecting to the database, which may well be away."""
    return connection.connection is None and connection.settings_dict["AUTOCOMMIT"]
