"""Stage 6 of an event's way: tell receivers, the callback and listeners what became of a batch.

The batch is settled before it is announced: what a receiver or a callback raises is logged and
counted, and changes nothing. If the process dies in here, the announcement is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import CallbackRefused, QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.results import result_text
from vwo_celery.settings.callbacks import find_callback
from vwo_celery.signals import BatchReport

if TYPE_CHECKING:
    from celery.utils.dispatch import Signal


def announce(
    worker: Worker, registration: Registration, report: BatchReport, signal: Any, wanted: bool
) -> None:
    """Tell receivers, the callback and listeners; nothing that they do changes the delivery."""
    failures = send_signal(signal, report)
    answered = report.verdict is not None or report.error is not None
    if registration.flush_callback and answered:
        failures += _call_back(worker, registration.flush_callback, report)
    try:
        if failures:
            worker.fleet.count_receiver_errors(report.queue, failures)
        if wanted and answered:
            worker.fleet.publish_result(report.queue, result_text(report.error, report.raw_events))
    except QueueUnavailable as exc:
        log.warning("batch %s is settled, its announcement was lost: %s", report.batch, exc)


def send_signal(signal: Signal, report: BatchReport) -> int:
    """Send a signal; the number of receivers that raised, each logged."""
    failures = 0
    for receiver, answer in signal.send(sender=report.queue, report=report):
        if isinstance(answer, Exception):
            failures += 1
            log.error("a receiver of %s raised: %r: %r", signal, receiver, answer)
    return failures


def _call_back(worker: Worker, path: str, report: BatchReport) -> int:
    """Call the queue's flush_callback; 1 if that failed, 0 if not."""
    try:
        find_callback(path, worker.settings.callback_modules)(report.error, report.events)
    except CallbackRefused as exc:
        worker.once.error(str(exc), "%s", exc)
        return 1
    except Exception:
        log.exception("flush_callback %s of queue %s raised", path, report.queue)
        return 1
    return 0
