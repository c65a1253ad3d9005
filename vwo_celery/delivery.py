"""Stages 3 to 6 of an event's way, in a worker: claim, send, settle, announce. Read this file first.

A worker task drains one shard: it goes on while batches are there, within a time budget, and calls
for help where more are waiting than lanes are busy. If the process dies before the POST, the lease
runs out and the same batch is claimed again; after the POST and before the settling, likewise, and
VWO sees the batch twice; after the settling, only the announcement is lost.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any

from vwo_celery import signals
from vwo_celery.callbacks import find_callback
from vwo_celery.errors import CallbackRefused, HostRefused, QueueUnavailable
from vwo_celery.events import body
from vwo_celery.fleet import Fleet, Registration, Wakeup
from vwo_celery.listening import result_text
from vwo_celery.outcomes import Answer, Failure, Outcome, Verdict, backoff_seconds, judge
from vwo_celery.sender import Senders
from vwo_celery.settings import Settings
from vwo_celery.signals import BatchReport
from vwo_celery.store import Batch, Shard
from vwo_celery.triggers import tokens

log = logging.getLogger("vwo_celery")

#: A task ends after so long and asks for another, so that a shutdown and other tasks get a turn.
BUDGET_SECONDS = 5.0
_REGISTRATION_TTL_SECONDS = 10.0


class Worker:
    """What a worker process needs to deliver; one for each process.

    Args:
        fleet: The queues.
        settings: This worker's.
        wake: Takes a wake-up and sees to it that a `deliver` task runs for it; must not raise.
        clock: Seconds that only rise.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: Settings,
        wake: Callable[[Wakeup], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fleet = fleet
        self.settings = settings
        self.wake = wake
        self.clock = clock
        self.senders = Senders(
            request_timeout_seconds=settings.request_timeout_seconds,
            allowed_hosts=settings.allowed_hosts,
        )
        self._registrations: dict[str, tuple[float, Registration]] = {}
        self._logged: set[str] = set()

    def log_once(self, message: str) -> None:
        """Log an error that would come with every batch only once in this process."""
        if message not in self._logged:
            self._logged.add(message)
            log.error("%s", message)

    def registration(self, queue: str) -> Registration:
        """A queue's registration, a few seconds old at most."""
        read_at, registration = self._registrations.get(queue, (0.0, None))
        if registration is None or self.clock() - read_at > _REGISTRATION_TTL_SECONDS:
            registration = self.fleet.registration(queue)
            self._registrations[queue] = (self.clock(), registration)
        return registration


def deliver(worker: Worker, wakeup: Wakeup) -> int:
    """Send the batches of one shard until none is left to claim, or the time budget is used.

    Args:
        worker: This process'.
        wakeup: Which shard, and the slot to give back at the end.

    Returns:
        The number of batches that were tried.

    Raises:
        QueueUnknown: The queue is not registered.
        QueueUnavailable: Redis did not answer; a claimed batch is claimed again after its lease.
    """
    shard = worker.fleet.shard(wakeup.queue, wakeup.shard)
    started, tried = worker.clock(), 0
    while worker.clock() - started < BUDGET_SECONDS:
        registration = worker.registration(wakeup.queue)
        batch = shard.claim(token=wakeup.token, lease_seconds=worker.settings.lease_seconds)
        if batch is None:
            return tried
        tried += 1
        _call_for_help(worker, wakeup, batch)
        outcome = _send_and_settle(worker, shard, registration, batch, wakeup.token)
        if outcome is not None:
            _announce(worker, registration, batch, *outcome)
    worker.wake(wakeup)
    return tried


def _call_for_help(worker: Worker, wakeup: Wakeup, batch: Batch) -> None:
    for token in tokens(batch.help_token, batch.wakeups):
        worker.wake(Wakeup(wakeup.queue, wakeup.shard, token))


def _send_and_settle(
    worker: Worker, shard: Shard, registration: Registration, batch: Batch, token: str
) -> tuple[BatchReport, Any] | None:
    claimed = worker.clock()
    events = shard.read(batch)
    if len(events) != batch.events:
        return _miss(shard, registration, batch, events)
    if batch.lost_leases > worker.settings.max_lost_leases:
        return _give_up(shard, registration, batch, events)
    if not _hold_on(worker, shard, batch, token, worker.clock() - claimed):
        return None  # somebody else has claimed it since, and sends it
    answer = _send(worker, registration, events)
    outcome = judge(answer, now=time.time())
    report, signal = settle(worker, shard, registration, batch, events, outcome)
    report.status, report.elapsed_seconds = answer.status, answer.elapsed_seconds
    return report, signal


def _miss(
    shard: Shard, registration: Registration, batch: Batch, events: list[bytes]
) -> tuple[BatchReport, Any] | None:
    """Send nothing of a batch that is not whole.

    Usually an older holder of it has had VWO's answer since our claim, and it is settled: None. Else
    somebody deleted its events, and it is kept for the operator as it is.
    """
    error = f"{batch.events - len(events)} of {batch.events} events are gone from Redis; not sent"
    if not shard.dead_letter(batch, error=error):
        return None
    report = BatchReport(registration.destination, batch, events, error=error)
    return report, signals.batch_dead_lettered


def _give_up(
    shard: Shard, registration: Registration, batch: Batch, events: list[bytes]
) -> tuple[BatchReport, Any]:
    """Dead-letter a batch whose workers keep dying: it may be what kills them."""
    error = f"{batch.lost_leases} workers went silent while they held this batch; not sent again"
    shard.dead_letter(batch, error=error)
    report = BatchReport(registration.destination, batch, events, error=error)
    return report, signals.batch_dead_lettered


def _hold_on(worker: Worker, shard: Shard, batch: Batch, token: str, passed_seconds: float) -> bool:
    """Renew the lease where it could end within the POST; False if it is ours no more."""
    settings = worker.settings
    if passed_seconds + settings.request_timeout_seconds < settings.lease_seconds:
        return True
    return shard.extend(batch, lease_seconds=settings.lease_seconds, token=token)


def _send(worker: Worker, registration: Registration, events: list[bytes]) -> Answer:
    try:
        sender = worker.senders.get(registration.destination)
    except HostRefused as exc:
        return Answer(failure=Failure.CONFIGURATION, detail=str(exc))
    return sender.send(body(events), events=len(events))


def settle(
    worker: Worker,
    shard: Shard,
    registration: Registration,
    batch: Batch,
    events: list[bytes],
    outcome: Outcome,
) -> tuple[BatchReport, Any]:
    """Do to the batch what the outcome asks for; what to report, and by which signal."""
    report = BatchReport(
        registration.destination, batch, events, error=outcome.error, verdict=outcome.verdict
    )
    error = outcome.error or ""
    if outcome.verdict is Verdict.DELIVERED:
        shard.ack(batch.id)
        return report, signals.batch_delivered
    if _must_pause(outcome, batch):
        _pause(worker, registration, error)
        shard.release(batch, delay_seconds=0, error=error)
        return report, signals.destination_paused
    if (
        outcome.verdict is Verdict.RELEASE
        and batch.age_seconds < worker.settings.max_batch_age_seconds
    ):
        report.retry_in_seconds = _delay_seconds(worker.settings, batch, outcome)
        shard.release(batch, delay_seconds=report.retry_in_seconds, error=error)
        return report, signals.batch_released
    shard.dead_letter(batch, error=error)
    return report, signals.batch_dead_lettered


def _must_pause(outcome: Outcome, batch: Batch) -> bool:
    """Whether it is the configuration that VWO dislikes, and not this batch.

    VWO answers 400 to an unknown account as well as to an event it cannot read (vendor's .NET SDK),
    so that a queue which never delivered anything is taken for wrongly configured.
    """
    if outcome.verdict is Verdict.REFUSED:
        return True
    return outcome.verdict is Verdict.REJECTED and not batch.ever_delivered


def _pause(worker: Worker, registration: Registration, error: str) -> None:
    queue = registration.destination.queue
    for number in range(registration.shards):
        worker.fleet.shard(queue, number).pause(error)
    log.error("queue %s is paused, its events are kept: %s; then: vwo-celery resume", queue, error)


def _delay_seconds(settings: Settings, batch: Batch, outcome: Outcome) -> float:
    return backoff_seconds(
        batch.attempt,
        base=settings.backoff_base_seconds,
        maximum=settings.backoff_max_seconds,
        floor=outcome.retry_after_seconds,
        random=random.random,
    )


def _announce(
    worker: Worker, registration: Registration, batch: Batch, report: BatchReport, signal: Any
) -> None:
    """Tell receivers, the callback and listeners; nothing that they do changes the delivery."""
    failures = signals.announce(signal, report)
    if registration.flush_callback:
        failures += _call_back(worker, registration.flush_callback, report)
    try:
        if failures:
            worker.fleet.count_receiver_errors(report.queue, failures)
        if batch.results_wanted:
            worker.fleet.publish_result(report.queue, result_text(report.error, report.raw_events))
    except QueueUnavailable as exc:
        log.warning("batch %s is settled, its announcement was lost: %s", report.batch, exc)


def _call_back(worker: Worker, path: str, report: BatchReport) -> int:
    """Call the queue's flush_callback; 1 if that failed, 0 if not."""
    try:
        find_callback(path, worker.settings.callback_modules)(report.error, report.events)
    except CallbackRefused as exc:
        worker.log_once(str(exc))
        return 1
    except Exception:
        log.exception("flush_callback %s of queue %s raised", path, report.queue)
        return 1
    return 0
