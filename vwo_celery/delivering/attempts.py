"""One try of one batch: the POST, the lease meanwhile, and what the destination's circuit is told.

Stages 3 to 5 of an event's way, between `delivery` and what it has done to a batch. If the process
dies in here, the lease and the leave to probe run out by themselves.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from vwo_celery.delivering.leases import Lease
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import HostRefused, QueueUnavailable
from vwo_celery.events import body
from vwo_celery.logs import log
from vwo_celery.queue.batches import Batch
from vwo_celery.queue.registration import Registration
from vwo_celery.queue.shard import Shard
from vwo_celery.sending.outcomes import Answer, Failure, Outcome, Verdict, backoff_seconds
from vwo_celery.signals import BatchReport

#: What became of some events, and the signal that says so.
Told = tuple[BatchReport, Any]


class Attempt(msgspec.Struct, frozen=True):
    """One try of one batch.

    Attributes:
        worker: The process'.
        registration: The queue's.
        lease: On the batch.
        token: Of the wake-up that the task runs for.
        probe: Of the circuit's probe that this is; "" for an ordinary try.
    """

    worker: Worker
    registration: Registration
    lease: Lease
    token: str
    probe: str

    @property
    def batch(self) -> Batch:
        """The batch, as it was claimed."""
        return self.lease.batch

    @property
    def shards(self) -> list[Shard]:
        """All shards of the queue."""
        fleet, queue = self.worker.fleet, self.registration.destination.queue
        return [fleet.shard(queue, number) for number in range(self.registration.shards)]

    def report(self, events: Sequence[bytes], **told: Any) -> BatchReport:
        """What to tell about some of the batch's events."""
        return BatchReport(self.registration.destination, self.batch, list(events), **told)


def hold_on(attempt: Attempt) -> bool:
    """Renew the lease where it could end within a POST; False if it is ours no more."""
    settings, lease = attempt.worker.settings, attempt.lease
    passed = attempt.worker.clock() - lease.renewed_at
    if passed + settings.request_timeout_seconds < settings.lease_seconds:
        return True
    lease.renewed_at = attempt.worker.clock()
    return lease.extend(lease_seconds=settings.lease_seconds, token=attempt.token)


def send(attempt: Attempt, events: Sequence[bytes]) -> Answer:
    """POST some events."""
    try:
        sender = attempt.worker.senders.get(attempt.registration.destination)
    except HostRefused as exc:
        return Answer(failure=Failure.CONFIGURATION, detail=str(exc))
    return sender.send(body(events), events=len(events))


def delay_seconds(attempt: Attempt, outcome: Outcome) -> float:
    """How long to wait after a failure, with jitter, at least as long as VWO asked for."""
    settings = attempt.worker.settings
    return backoff_seconds(
        attempt.batch.attempt,
        base=settings.backoff_base_seconds,
        maximum=settings.backoff_max_seconds,
        floor=outcome.retry_after_seconds,
        random=random.random,
    )


def tell_circuit(attempt: Attempt, outcome: Outcome) -> float | None:
    """Count a failure, or close the circuit; seconds until the next probe where it is open."""
    worker = attempt.worker
    circuit = worker.circuit(attempt.registration.destination.queue)
    if outcome.verdict is not Verdict.RELEASE:
        if attempt.probe and circuit.end_probe(attempt.probe, answered=True):
            for shard in attempt.shards:
                shard.let_go()
        return None
    wait = circuit.note_failure(
        delivered_ms=attempt.batch.delivered_ms,
        floor_seconds=outcome.retry_after_seconds,
        probe=attempt.probe,
    )
    if wait is not None:
        _hold_all(attempt, wait, outcome.error or "")
    return wait


def _hold_all(attempt: Attempt, wait: float, error: str) -> None:
    until_ms = attempt.worker.fleet.now_ms() + int(1000 * wait)
    for shard in attempt.shards:
        shard.hold(until_ms, "")
    queue = attempt.registration.destination.queue
    attempt.worker.seldom.warn(
        f"circuit {queue}",
        "the circuit of queue %s is open, its events are kept: %s; one batch at a time is sent to "
        "find out whether it is over, the next in %.1f s", queue, error, wait,
    )  # fmt: skip


def end_probe(attempt: Attempt) -> None:
    """Let another probe go, where this one has come to nothing."""
    if not attempt.probe:
        return
    try:
        circuit = attempt.worker.circuit(attempt.registration.destination.queue)
        circuit.end_probe(attempt.probe, answered=False)
    except QueueUnavailable as exc:
        log.debug("the leave to probe runs out by itself: %s", exc)


def release_after(attempt: Attempt, exc: Exception) -> None:
    """Give a batch back whose try raised; it counts as a failed attempt, unless the worker is stopping.

    Celery's cold shutdown of the pool solo raises an error out of its signal handler, into whatever
    is being done.
    """
    if attempt.worker.stopping():
        attempt.lease.hand_back()
        return
    error = f"the worker failed: {type(exc).__name__}"
    outcome = Outcome(verdict=Verdict.RELEASE, error=error)
    try:
        attempt.lease.release(delay_seconds=delay_seconds(attempt, outcome), error=error)
    except QueueUnavailable as gone:
        log.warning("batch %s is claimed again after its lease: %s", attempt.batch.id, gone)
