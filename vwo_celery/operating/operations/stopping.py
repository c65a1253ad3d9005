"""The stop of a job, which a worker does in the background.

The job looks for it a few times a second, and ends after the batch that it is at.
"""

from __future__ import annotations

from msgspec.structs import replace

from vwo_celery.errors import JobUnknown
from vwo_celery.operating.past.audit import Actor, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import jobs
from vwo_celery.queue.records.jobs import Job


def stop_job(fleet: Fleet, actor: Actor, job: str) -> Job:
    """Ask a job to stop; the job as it was, with that noted.

    Raises:
        JobUnknown: There is no such job, or it has ended.
        QueueUnavailable: Redis did not answer.
    """
    found = next((each for each in jobs.read_jobs(fleet) if each.job == job), None)
    if found is None:
        raise JobUnknown(f"there is no job {job!r}; vwo-celery jobs lists those of the last hour")
    if found.state not in ("waiting", "running"):
        raise JobUnknown(f"job {job!r} has ended: {found.state}")
    with recorded(fleet, actor, "jobs stop", filter=f"job:{job}") as entry:
        jobs.ask_to_stop(fleet, job)
        entry.note = f"asked after {found.events:,} events"
    return replace(found, stop_asked=True)
