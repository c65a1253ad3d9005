"""The name under which a worker listens."""

from __future__ import annotations

from vwo_celery.celery.worker.names import WorkerName
from vwo_celery.delivering.worker import process_name


def test_a_worker_has_not_the_name_of_the_one_that_it_replaces() -> None:
    """In containers both have the same host and pid, and notes of the first are not the second's."""
    first, second = WorkerName(), WorkerName()
    first.prepare()
    second.prepare()

    assert first() == first() != second()
    assert first().startswith(f"{process_name()}-")


def test_without_a_main_process_a_process_has_its_own_name() -> None:
    """As where a task runs outside a worker."""
    assert WorkerName()() == process_name()
