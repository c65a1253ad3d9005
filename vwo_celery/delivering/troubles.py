"""Stage 6 of an event's way: tell the operator what fails and since when, what dies, and what recovers.

Since when a destination does not accept stands in its circuit in Redis, and so does when a log last
told of it: one worker of the fleet tells it when it begins, when the circuit opens, and then ever more
seldom. If the process dies in here, a line is lost, and the next one has the same time.
"""

from __future__ import annotations

from vwo_celery import signals
from vwo_celery.delivering.attempts import Announcement, Attempt
from vwo_celery.delivering.probing import at_circuit, kept, note_recovery
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue.holding.circuit import Trouble
from vwo_celery.sending.outcomes import Verdict
from vwo_celery.signals import BatchReport
from vwo_celery.text.amounts import count, span
from vwo_celery.text.moments import since


def tell(attempt: Attempt, announcement: Announcement) -> None:
    """Log what an operator should know of the end of an attempt; never raises for Redis."""
    report, signal = announcement
    try:
        if signal is signals.batch_delivered:
            if attempt.batch.attempt > 1 and not attempt.probe:
                note_recovery(attempt)
        elif signal is signals.batch_dead_lettered:
            _tell_of_death(attempt.worker, report)
        elif signal in (signals.batch_released, signals.destination_paused):
            _tell_of_failure(attempt, report)
    except QueueUnavailable as exc:
        log.debug("the end of an attempt at queue %s is not told: %s", report.queue, exc)


def _tell_of_failure(attempt: Attempt, report: BatchReport) -> None:
    """Log that VWO does not accept, if no worker of the fleet has told of it lately."""
    if report.retry_in_seconds is None:
        return  # a pause, which is logged where it is made
    worker, queue = attempt.worker, report.queue
    circuit = worker.circuit(queue)
    trouble: Trouble | None = at_circuit(worker, queue, circuit.worth_telling, None)
    if trouble is None:
        return
    refused = report.verdict is not Verdict.RELEASE
    log.warning(
        "VWO has not accepted queue %s %s: %s; %s kept; next try in %s%s",
        queue,
        since(trouble.seconds),
        report.error,
        count(kept(attempt), "event"),
        span(report.retry_in_seconds),
        f"; at once: vwo-celery resume --queue {queue}" if refused else "",
    )


def _tell_of_death(worker: Worker, report: BatchReport) -> None:
    """Log a dead letter with what to do; those of one queue and reason once a minute."""
    topic = f"dead {report.queue} {report.error}"
    batches, events = worker.dead.add(topic, report.count)
    told = worker.seldom.error(
        topic,
        "%s of queue %s became dead letters: %s; the last is batch %s. See: vwo-celery dead list "
        "--queue %s; send again: vwo-celery dead redrive --queue %s",
        f"{count(events, 'event')} in {count(batches, 'batch', 'batches')}",
        report.queue, report.error, report.batch, report.queue, report.queue,
    )  # fmt: skip
    if told:
        worker.dead.take(topic)
