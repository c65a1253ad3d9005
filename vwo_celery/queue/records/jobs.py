"""Jobs: bulk work that a worker does, as its order and its progress stand in Redis.

Beside an event's way; owns one key for each job, and their list. A job is kept for an hour after its last
sign of life. If the process dies here, or its worker, the job goes silent: what it has done is done, and
nothing else of it is lost than its place.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.connections.errors import is_wrong_type
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.batches import LONGEST_ERROR, as_ms
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.numbers import Shown
from vwo_celery.queue.words.registration import UNREADABLE

#: Time for which a job is kept after its last sign of life.
KEPT_SECONDS: Final = 3600.0


class JobOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody ordered.

    Attributes:
        operation: "redrive" or "purge".
        filter: The batches that are meant, as they were typed.
        scan_limit: Most events that are read to find them.
        until_ms: Unix ms of the count; what died later is left alone.
        batches: Batches that were counted.
        events: Their events.
        rate: Most events a second; None for as fast as Redis allows.
        most: Most batches to change; None for all.
        who: Who ordered it.
        host: The host where they did.
        door: Their way in.
        ordered_ms: Unix ms of the order.
        queues: The queues that were counted; none in an order of an older release.
    """

    operation: str
    filter: str
    scan_limit: int
    until_ms: int
    batches: Shown
    events: Shown
    rate: float | None
    most: int | None
    who: str
    host: str
    door: str
    ordered_ms: Shown
    queues: tuple[str, ...] = ()


class Job(msgspec.Struct, frozen=True):
    """A job as it stands.

    Attributes:
        job: Its id.
        order: What was ordered.
        state: "waiting" for a worker, "running", or what came of it: "ok", "failed" or "interrupted".
        worker: The worker that does it, "" while it waits.
        batches: Batches that are changed.
        events: Events that are changed.
        error: Why it failed, or was interrupted.
        stop_asked: Whether somebody has asked it to stop.
        heard_ms: Unix ms of its last sign of life.
        repeats: The job that does it instead, where its form was sent twice; "" for none.
    """

    job: str
    order: JobOrder
    state: str
    worker: str
    batches: int
    events: int
    error: str
    stop_asked: bool
    heard_ms: int
    repeats: str = ""


def add_job(fleet: Fleet, job: str, order: JobOrder) -> None:
    """Store a job that waits for a worker.

    Raises:
        QueueUnavailable: Redis did not answer, or refused.
    """
    with unavailable("order of a job"):
        pipe = fleet.client.pipeline(transaction=False)
        pipe.hset(fleet.keys.job(job), "order", msgspec.json.encode(order))
        _keep(pipe, fleet, job, order.ordered_ms)
        pipe.execute()


def _keep(pipe: Any, fleet: Fleet, job: str, now_ms: int) -> None:
    pipe.pexpire(fleet.keys.job(job), as_ms(KEPT_SECONDS))
    pipe.zadd(fleet.keys.jobs, {job: now_ms})
    pipe.zremrangebyscore(fleet.keys.jobs, "-inf", now_ms - as_ms(KEPT_SECONDS))


def begin_job(fleet: Fleet, job: str, worker: str) -> JobOrder | None:
    """Begin a job; None if it is gone, was given up, or another worker has begun it.

    Raises:
        QueueUnavailable: Redis did not answer; if the job was begun, it goes silent.
    """
    with unavailable(f"begin of job {job}"):
        text, state = fleet.client.hmget(fleet.keys.job(job), ["order", "state"])
        if (
            text is None
            or state is not None
            or not fleet.client.hsetnx(fleet.keys.job(job), "worker", worker)
        ):
            return None
    note_job(fleet, job, 0, 0)  # it may have waited for long, and find its first batch late
    return msgspec.json.decode(text, type=JobOrder)


def note_job(fleet: Fleet, job: str, batches: int, events: int, **facts: str) -> bool:
    """Note a job's progress; whether somebody has asked it to stop.

    A Redis that takes no note, since it is full, still tells that.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    now_ms = fleet.now_ms()
    notes: Any = {"batches": batches, "events": events, "heard_ms": now_ms, **facts}
    with unavailable(f"note of job {job}"):
        pipe = fleet.client.pipeline(transaction=False)
        pipe.hget(fleet.keys.job(job), "stop")
        pipe.hset(fleet.keys.job(job), mapping=notes)
        _keep(pipe, fleet, job, now_ms)
        asked, *_ = pipe.execute(raise_on_error=False)
        if isinstance(asked, Exception):
            raise asked
    return asked is not None


def end_job(
    fleet: Fleet, job: str, state: str, batches: int, events: int, error: str, **facts: str
) -> None:
    """Note what came of a job.

    Raises:
        QueueUnavailable: Redis did not answer; the job goes silent.
    """
    note_job(fleet, job, batches, events, state=state, error=error[:LONGEST_ERROR], **facts)


def ask_to_stop(fleet: Fleet, job: str) -> None:
    """Ask a job to stop after the batch that it is at.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"stop of job {job}"):
        fleet.client.hset(fleet.keys.job(job), "stop", "1")


def read_jobs(fleet: Fleet) -> list[Job]:
    """The jobs of the last hour, the oldest order first, without those whose key is of a wrong type.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("list of jobs"):
        names = [as_text(name) for name in fleet.client.zrange(fleet.keys.jobs, 0, -1)]
        pipe = fleet.client.pipeline(transaction=False)
        for name in names:
            pipe.hgetall(fleet.keys.job(name))
        found = pipe.execute(raise_on_error=False) if names else []
        for each in found:
            if isinstance(each, Exception) and not is_wrong_type(each):
                raise each
    jobs = [
        job
        for name, fields in zip(names, found, strict=True)
        if isinstance(fields, dict) and (job := _job(name, fields)) is not None
    ]
    return sorted(jobs, key=lambda each: (each.order.ordered_ms, each.job))


def _job(name: str, fields: dict[bytes, bytes]) -> Job | None:
    """The job, unless it has expired or cannot be read."""
    texts = {as_text(field): as_text(value) for field, value in fields.items()}
    try:
        order = msgspec.json.decode(texts.pop("order", ""), type=JobOrder)
    except UNREADABLE:
        return None
    worker = texts.get("worker", "")
    try:
        batches, events, heard_ms = (
            msgspec.convert(texts.get(name, default), Shown, strict=False)
            for name, default in (("batches", 0), ("events", 0), ("heard_ms", order.ordered_ms))
        )
    except msgspec.ValidationError:
        return None
    return Job(
        job=name,
        order=order,
        state=texts.get("state") or ("running" if worker else "waiting"),
        worker=worker,
        batches=batches,
        events=events,
        error=texts.get("error", ""),
        stop_asked="stop" in texts,
        heard_ms=heard_ms,
        repeats=texts.get("repeats", ""),
    )
