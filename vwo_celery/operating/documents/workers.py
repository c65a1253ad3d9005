"""The document of `workers`: who listens, and in what they differ. Nothing to lose."""

from __future__ import annotations

import msgspec

from vwo_celery.operating.looks.knowing import unless_wrong, why_unreadable
from vwo_celery.operating.looks.workers import Difference, WorkerView, differences, view_workers
from vwo_celery.queue.fleet import Fleet


class Workers(msgspec.Struct, frozen=True):
    """The workers that listen, and in what they differ.

    Attributes:
        workers: The workers by name; None, as the next, where a key with them cannot be read.
        differences: In what they differ.
        unreadable: Keys that cannot be read, each with the reason.
    """

    workers: list[WorkerView] | None
    differences: list[Difference] | None
    unreadable: list[str]


def workers_document(fleet: Fleet) -> Workers:
    """Look at the workers that listen.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return document_of(unless_wrong(lambda: view_workers(fleet), None), fleet)


def document_of(found: list[WorkerView] | None, fleet: Fleet) -> Workers:
    """The document of these workers; None where a key with them is of a wrong type."""
    if found is None:
        return Workers(None, None, why_unreadable(fleet, "listeners", "workers"))
    return Workers(found, differences(found), [])
