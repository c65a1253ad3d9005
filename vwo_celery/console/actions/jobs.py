"""Stop bulk work that a worker does. What it has done stays done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vwo_celery.console.actions.action import Action
from vwo_celery.console.shared.rights import Right
from vwo_celery.operating import operations
from vwo_celery.operating.documents.jobs import JobDocument, job_document

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit


class StopOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job that is meant.

    Attributes:
        job: Its id.
    """

    job: str


def _stop(visit: Visit, order: StopOrder) -> JobDocument:
    return job_document(operations.stop_job(visit.fleet, visit.actor, order.job))


STOP: Final = Action(
    "stop",
    "Stop a job after the batch that it is at.",
    Right.OPERATE,
    StopOrder,
    JobDocument,
    _stop,
)
