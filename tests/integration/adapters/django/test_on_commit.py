"""`enqueue_on_commit`: an event waits for its commit, and never fails what was committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

import vwo_celery
from vwo_celery.django import enqueue_on_commit
from vwo_celery.testing import free_port

Connect = Callable[..., vwo_celery.Queue]
Stored = Callable[[], list[str]]


def test_an_event_waits_for_the_commit(queue: vwo_celery.Queue, stored: Stored) -> None:
    """An event is not in Redis before the transaction commits, and is there afterwards."""
    with transaction.atomic():
        enqueue_on_commit(queue, {"name": "bought"})
        before = stored()

    assert before == []
    assert stored() == ["bought"]


def _roll_back(queue: vwo_celery.Queue, name: str) -> None:
    with transaction.atomic():
        enqueue_on_commit(queue, {"name": name})
        raise KeyError


def test_an_event_of_a_rollback_is_never_enqueued(queue: vwo_celery.Queue, stored: Stored) -> None:
    """An event of a transaction or a savepoint that is rolled back is never enqueued."""
    with transaction.atomic():
        enqueue_on_commit(queue, {"name": "kept"})
        with pytest.raises(KeyError):
            _roll_back(queue, "of the savepoint")
    with pytest.raises(KeyError):
        _roll_back(queue, "of the transaction")

    assert stored() == ["kept"]
    assert queue.dropped == {}


def test_without_transaction_it_is_enqueued_at_once(
    queue: vwo_celery.Queue, stored: Stored
) -> None:
    """Without a transaction the event is enqueued at once, whether or not the database can be reached."""
    enqueue_on_commit(queue, {"name": "unconnected"})
    unconnected = connections["default"].connection is None
    connections["default"].ensure_connection()
    enqueue_on_commit(queue, {"name": "connected"})

    assert unconnected
    assert stored() == ["unconnected", "connected"]


def test_it_waits_for_the_database_it_is_told(queue: vwo_celery.Queue, stored: Stored) -> None:
    """An event waits for the commit of the database named by *using*."""
    with transaction.atomic(using="other"):
        enqueue_on_commit(queue, {"name": "of other"}, using="other")
        with transaction.atomic():
            enqueue_on_commit(queue, {"name": "of default"})
        before = stored()

    assert before == ["of default"]
    assert stored() == ["of default", "of other"]


def test_the_event_is_what_it_was_at_the_call(queue: vwo_celery.Queue, stored: Stored) -> None:
    """Changes of the event object between the call and the commit have no effect."""
    event = {"name": "as it was"}

    with transaction.atomic():
        enqueue_on_commit(queue, event)
        event["name"] = "as it became"

    assert stored() == ["as it was"]


def test_an_event_without_json_form_is_dropped(queue: vwo_celery.Queue, stored: Stored) -> None:
    """An event without a JSON form is counted as dropped, not raised; the transaction commits."""
    with transaction.atomic():
        enqueue_on_commit(queue, {"name": float("nan")})
        enqueue_on_commit(queue, {"name": "fine"})

    assert queue.dropped == {"not_json": 1}
    assert stored() == ["fine"]


@pytest.mark.declared_keys("ready", "info", "batch", "wakeups", "watched", "slots")
def test_a_full_queue_raises_nothing_after_the_commit(connect: Connect) -> None:
    """After the commit a full queue raises nothing, even with when_full="raise": the order is
    committed already.
    """
    queue = connect(when_full="raise", max_queue_events=1)

    with transaction.atomic():
        for _ in range(3):
            enqueue_on_commit(queue, {"name": "bought"})

    assert queue.dropped == {"queue_full": 2}


def test_redis_away_raises_nothing_after_the_commit(connect: Connect) -> None:
    """Without Redis and spool, the event is counted as dropped after the commit; nothing is raised."""
    queue = connect(redis_url=f"redis://127.0.0.1:{free_port()}/0", spool_dir="")

    with transaction.atomic():
        enqueue_on_commit(queue, {"name": "bought"})

    assert queue.dropped == {"redis_unavailable": 1}


@pytest.mark.parametrize("connected", [False, True])
def test_whatever_enqueue_raises_stays_here(
    queue: vwo_celery.Queue, stored: Stored, monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    """An unexpected error of `enqueue` loses the event, not the request or other commit callbacks."""
    if connected:
        connections["default"].ensure_connection()
    done: list[str] = []

    def fail(_event: Any) -> None:
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(queue, "enqueue", fail)
        enqueue_on_commit(queue, {"name": "at once"})
        with transaction.atomic():
            enqueue_on_commit(queue, {"name": "on commit"})
            transaction.on_commit(lambda: done.append("the next"))

    assert done == ["the next"]
    assert stored() == []
    assert queue.dropped == {"enqueue_failed": 2}


def test_without_a_commit_to_wait_for_it_is_dropped(
    queue: vwo_celery.Queue, stored: Stored
) -> None:
    """If Django announces no commit (manual transactions, an unknown alias), the event is dropped."""
    transaction.set_autocommit(False)
    enqueue_on_commit(queue, {"name": "manual"})
    transaction.set_autocommit(True)
    enqueue_on_commit(queue, {"name": "unknown"}, using="no such alias")

    assert stored() == []
    assert queue.dropped == {"no_commit": 2}
