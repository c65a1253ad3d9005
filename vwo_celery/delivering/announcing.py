"""Stage 6 of an event's way: announce what became of a batch to receivers, callback and results.

The batch is settled before it is announced: an exception in a receiver or callback is logged and
counted, and changes nothing. If the process dies in here, the announcement is lost.
"""

from __future__ import annotations

from typing import Any

from vwo_celery import signals
from vwo_celery.delivering.attempts import Announcement
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import CallbackRefused
from vwo_celery.logs import log
from vwo_celery.queue.words.registration import Registration
from vwo_celery.queue.work.results import Settled, result_text
from vwo_celery.sending.outcomes import answer_of
from vwo_celery.settings.callbacks import find_callback
from vwo_celery.signals import BatchReport

#: Word for each announcement, for those who follow outcomes.
_OUTCOMES = {
    signals.batch_delivered: "delivered",
    signals.batch_released: "released",
    signals.batch_split: "split",
    signals.batch_dead_lettered: "dead_lettered",
    signals.destination_paused: "paused",
}


def announce(
    worker: Worker, registration: Registration, announcement: Announcement, *, wanted: bool
) -> None:
    """Send the signal, call the callback, publish the result; never raises for what one of them does.

    Args:
        worker: The worker of this process.
        registration: The queue's registration.
        announcement: What to announce.
        wanted: Whether somebody listens for the queue's results.
    """
    report, signal = announcement
    failures = _send_signal(signal, report)
    answered = report.verdict is not None or report.error is not None
    if registration.flush_callback and answered:
        failures += _call_back(worker, registration.flush_callback, report)
    if failures:
        worker.fleet.count_receiver_errors(report.queue, failures)
    if wanted and answered:
        text = result_text(report.error, report.raw_events, _settled(announcement))
        worker.fleet.publish_result(report.queue, text)


def is_heard(registration: Registration) -> bool:
    """Whether something of the application's runs when a batch of this queue is delivered."""
    queue = registration.destination.queue
    return bool(registration.flush_callback) or signals.batch_delivered.has_listeners(queue)


def _settled(announcement: Announcement) -> Settled:
    report, signal = announcement
    answer = str(report.status) if report.status else answer_of(report.error or "")
    outcome = _OUTCOMES.get(signal, "")
    return Settled(batch=report.batch, attempt=report.attempt, outcome=outcome, answer=answer)


def _send_signal(signal: Any, report: BatchReport) -> int:
    """Send a signal; return the number of receivers that raised, each of them logged."""
    failures = 0
    for receiver, answer in signal.send(sender=report.queue, report=report):
        if isinstance(answer, Exception):
            failures += 1
            log.error("a receiver of %s raised: %r: %r", signal, receiver, answer)
    return failures


def _call_back(worker: Worker, path: str, report: BatchReport) -> int:
    """Call the queue's `flush_callback`; return 1 if it failed, else 0."""
    try:
        find_callback(path, worker.settings.callback_modules)(report.error, report.events)
    except CallbackRefused as exc:
        worker.once.error(str(exc), "%s", exc)
        return 1
    except Exception:
        log.exception("flush_callback %s of queue %s raised", path, report.queue)
        return 1
    return 0
