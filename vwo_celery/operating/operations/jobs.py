"""Jobs: bulk work that a worker does, so that neither a terminal nor a request waits for it.

Beside an event's way. The order stands in Redis; the task message holds only its id. If the worker is
killed, the job goes silent and is shown so: what it has done is done, and the same order again does the
rest. If the message is lost, the job waits, and nothing was changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import Scan, find_dead
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.operations import Amount, Counted, Done, Order, Pace, purge, redrive
from vwo_celery.operating.past.audit import Actor
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import jobs
from vwo_celery.queue.records.jobs import Job, JobOrder
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.keys import new_token

__all__ = ["Job", "give_up", "list_jobs", "order_job", "run_job"]

#: What a job may do, by its name.
_OPERATIONS: Final[Mapping[str, Callable[..., Done]]] = {"redrive": redrive, "purge": purge}
#: Time without a sign of life after which a job's worker seems to be gone.
SILENT_SECONDS: Final = 15.0
#: Pause between two looks whether to stop, and two notes of the progress.
_LOOK_SECONDS: Final = 0.25


def order_job(
    fleet: Fleet,
    actor: Actor,
    operation: str,
    counted: Counted,
    *,
    filter: Filter,
    scan_limit: int,
    pace: Pace,
) -> str:
    """Order a job; its id, which a worker has to be sent.

    Args:
        fleet: The queues.
        actor: Who orders it; in the audit, it is their change, under the job's id.
        operation: "redrive" or "purge".
        counted: What it is about to change, as it was shown.
        filter: The batches that are meant.
        scan_limit: Most events that are read to find them.
        pace: How fast, and how far, it may go.

    Raises:
        QueueUnavailable: Redis did not answer, or refused: nothing was ordered.
    """
    job = new_token()
    order = JobOrder(
        operation=operation, filter=str(filter), scan_limit=scan_limit, until_ms=counted.until_ms,
        batches=counted.amount.batches, events=counted.amount.events, rate=pace.rate, most=pace.most,
        who=actor.name, host=actor.host, door=actor.door, ordered_ms=fleet.now_ms(),
    )  # fmt: skip
    jobs.add_job(fleet, job, order)
    return job


def give_up(fleet: Fleet, job: str, why: str) -> None:
    """Note that a job which waits shall not begin any more, as nobody could be told of it.

    Raises:
        QueueUnavailable: Redis did not answer; the job goes on waiting.
    """
    jobs.end_job(fleet, job, "failed", 0, 0, why)


def list_jobs(fleet: Fleet) -> list[Job]:
    """The jobs of the last hour, the oldest order first; one is "silent" if its worker seems to be gone.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    since_ms = fleet.now_ms() - as_ms(SILENT_SECONDS)
    return [
        msgspec.structs.replace(each, state="silent")
        if each.state == "running" and each.heard_ms < since_ms
        else each
        for each in jobs.read_jobs(fleet)
    ]


def run_job(fleet: Fleet, job: str, worker: str, stopping: Callable[[], bool]) -> Done | None:
    """Do what was ordered, in this thread; None if somebody else does, or the job is gone.

    Args:
        fleet: The queues.
        job: The id.
        worker: Name of this worker.
        stopping: Whether this worker is about to stop: the job ends, interrupted.

    Raises:
        QueueUnavailable: Redis did not answer; what was changed stays so.
    """
    order = jobs.begin_job(fleet, job, worker)
    if order is None:
        return None
    progress = _Progress(fleet, job, stopping)
    actor = Actor(order.who, order.door, order.host, change=job)
    try:
        done = _work(fleet, actor, order, progress)
    except VwoCeleryError as exc:
        progress.end("failed", str(exc))
        raise
    except BaseException as exc:
        progress.end("failed", type(exc).__name__)
        raise
    progress.end("interrupted" if done.stopped else "ok", progress.why)
    return done


def _work(fleet: Fleet, actor: Actor, order: JobOrder, progress: _Progress) -> Done:
    wanted = Filter.parse(order.filter)
    found = fleet.registrations()
    registered = inspector.choose(found.readable, wanted.queues, found.unreadable)
    scan = Scan(order.scan_limit)
    counted = Counted(Amount(order.batches, order.events), order.until_ms, tuple(registered))
    work = Order(
        counted, filter=order.filter, pace=Pace(order.rate, order.most), brake=progress,
        watch=progress.note,
    )  # fmt: skip
    return _OPERATIONS[order.operation](
        fleet, actor, find_dead(fleet, registered, wanted, scan), work
    )


class _Progress:
    """A job's progress, told to Redis now and then; and its brake, which is asked for at the same time.

    Attributes:
        why: Why it was stopped, "" if it was not.
    """

    def __init__(self, fleet: Fleet, job: str, stopping: Callable[[], bool]) -> None:
        self.why = ""
        self._fleet = fleet
        self._job = job
        self._stopping = stopping
        self._amount = Amount()
        self._told_at = -_LOOK_SECONDS

    def note(self, amount: Amount) -> None:
        """Keep what has been changed so far, for the next note."""
        self._amount = amount

    def wait(self, timeout: float) -> bool:
        """Wait so long; True, within a moment, if the job shall stop."""
        deadline = monotonic() + timeout
        while not self._stops():
            left = deadline - monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, _LOOK_SECONDS))
        return True

    def _stops(self) -> bool:
        if not self.why and self._stopping():
            self.why = "its worker was stopped; the same order again does the rest"
        if not self.why and monotonic() - self._told_at >= _LOOK_SECONDS:
            self._told_at = monotonic()
            if jobs.note_job(self._fleet, self._job, self._amount.batches, self._amount.events):
                self.why = "somebody stopped it; the same order again does the rest"
        return bool(self.why)

    def end(self, state: str, error: str) -> None:
        """Tell what came of it, if Redis takes that."""
        try:
            batches, events = self._amount.batches, self._amount.events
            jobs.end_job(self._fleet, self._job, state, batches, events, error)
        except QueueUnavailable:
            return  # the job is shown as silent
