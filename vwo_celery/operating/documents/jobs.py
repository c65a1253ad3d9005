"""The document of `jobs`: bulk work that workers do. Nothing to lose."""

from __future__ import annotations

import msgspec

from vwo_celery.operating.operations import Amount
from vwo_celery.queue.records.jobs import Job


class JobDocument(msgspec.Struct, frozen=True):
    """One job.

    Attributes:
        job: Its id.
        state: "waiting" for a worker, "running", "silent" where its worker seems to be gone, or what
            came of it: "ok", "failed" or "interrupted".
        worker: The worker that does it, "" while it waits.
        error: Why it failed, or was interrupted.
        stop_asked: Whether somebody has asked it to stop.
        heard_ms: Unix ms of its last sign of life.
        operation: "redrive" or "purge".
        filter: The batches that are meant, as they were typed.
        scan_limit: Most events that are read to find them.
        until_ms: Unix ms of the count; what died later is left alone.
        rate: Most events a second; None for as fast as Redis allows.
        most: Most batches to change; None for all.
        who: Who ordered it.
        host: The host where they did.
        door: Their way in.
        ordered_ms: Unix ms of the order.
        counted: What it is about to change.
        changed: What it has changed.
    """

    job: str
    state: str
    worker: str
    error: str
    stop_asked: bool
    heard_ms: int
    operation: str
    filter: str
    scan_limit: int
    until_ms: int
    rate: float | None
    most: int | None
    who: str
    host: str
    door: str
    ordered_ms: int
    counted: Amount
    changed: Amount


def job_document(job: Job) -> JobDocument:
    """The document of a job."""
    order = job.order
    return JobDocument(
        job=job.job, state=job.state, worker=job.worker, error=job.error, stop_asked=job.stop_asked,
        heard_ms=job.heard_ms, operation=order.operation, filter=order.filter,
        scan_limit=order.scan_limit, until_ms=order.until_ms, rate=order.rate, most=order.most,
        who=order.who, host=order.host, door=order.door, ordered_ms=order.ordered_ms,
        counted=Amount(order.batches, order.events), changed=Amount(job.batches, job.events),
    )  # fmt: skip
