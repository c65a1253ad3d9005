"""Jobs: bulk work that a worker does, so that neither a terminal nor a request waits for it.

Beside an event's way. The order stands in Redis; the task message holds only its id. If the worker is
killed, the job goes silent and is shown so: what it has done is done, and the same order again does the
rest. If the message is lost, the job waits, and nothing was changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

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

__all__ = [
    "Job", "Sent", "find_job", "give_up", "give_way", "list_jobs", "order_job", "run_job", "under_way",
]  # fmt: skip

#: What a job may do, by its name.
_OPERATIONS: Final[Mapping[str, Callable[..., Done]]] = {"redrive": redrive, "purge": purge}
#: Time without a sign of life after which a job's worker seems to be gone.
SILENT_SECONDS: Final = 15.0
#: Pause between two looks whether to stop, and two notes of the progress.
_LOOK_SECONDS: Final = 0.25
#: States of a job that its order, sent again, need not do the rest of.
_ORDERED: Final = ("waiting", "running", "ok")


class Sent(NamedTuple):
    """What a form is known by that was sent: sent twice, it is the same.

    Attributes:
        operation: "redrive" or "purge".
        filter: The batches that are meant, as they were typed.
        until_ms: Unix ms of the count that was shown.
        who: Who sent it.
    """

    operation: str
    filter: str
    until_ms: int | None
    who: str


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
        queues=counted.queues,
    )  # fmt: skip
    jobs.add_job(fleet, job, order)
    return job


def give_up(fleet: Fleet, job: str, why: str, *, other: str = "") -> bool:
    """Let a job which waits begin no more; False if a worker has begun it, which then does it.

    A worker and whoever gives up reach for the same place, which one of them gets. If the process dies
    in between, the job is shown as waiting, and nobody begins it.

    Args:
        fleet: The queues.
        job: The job.
        why: Why it is given up.
        other: The job that does the same instead; this one is listed no more then.

    Raises:
        QueueUnavailable: Redis did not answer; the job may go on waiting.
    """
    if jobs.begin_job(fleet, job, "") is not None:
        jobs.end_job(fleet, job, "failed", 0, 0, why, **({"repeats": other} if other else {}))
        return True
    return not any(each.job == job and each.worker for each in jobs.read_jobs(fleet))


def under_way(fleet: Fleet, sent: Sent) -> list[Job]:
    """The jobs that a form has ordered and that need no other one, the oldest order first.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return [
        each for each in list_jobs(fleet) if each.state in _ORDERED and _sent(each.order) == sent
    ]


def _sent(order: JobOrder) -> Sent:
    return Sent(order.operation, order.filter, order.until_ms, order.who)


def give_way(fleet: Fleet, job: str) -> str:
    """Give up a job, of which no worker was told yet, for another one of the same form.

    Where a form is sent twice at the same time, both have ordered a job before either looks. Whoever
    looks last sees both. The older order stays, unless a worker has begun the other one.

    Returns:
        The other job; "" if this one stays.

    Raises:
        QueueUnavailable: Redis did not answer; the job goes on waiting.
    """
    own = find_job(fleet, job)
    is_older = False
    for each in () if own is None else under_way(fleet, _sent(own.order)):
        if each.job == job:
            is_older = True
        elif not is_older or not _repeats(fleet, each.job, job):
            _repeats(fleet, job, each.job)
            return each.job
    return ""


def _repeats(fleet: Fleet, job: str, other: str) -> bool:
    return give_up(fleet, job, f"it was sent twice: job {other} does it", other=other)


def find_job(fleet: Fleet, job: str) -> Job | None:
    """The job of an id, also one that is not listed, since another one does the same.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return next((each for each in _read(fleet) if each.job == job), None)


def list_jobs(fleet: Fleet) -> list[Job]:
    """The jobs of the last hour, the oldest order first; one is "silent" if its worker seems to be gone.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    return [each for each in _read(fleet) if not each.repeats]


def _read(fleet: Fleet) -> list[Job]:
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
    queues = order.queues or tuple(registered)
    counted = Counted(Amount(order.batches, order.events), order.until_ms, queues)
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
