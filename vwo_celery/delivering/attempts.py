"""One attempt at one batch: the POST, the lease meanwhile, and the delay after a failure.

Stages 4 and 5 of an event's way: `delivery` makes an attempt, `settling` and `refusals` conclude it.
If the process dies in here, the lease runs out and the batch is claimed again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from vwo_celery import signals
from vwo_celery.delivering.leases import Lease
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.events import body
from vwo_celery.logs import log
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words import counts
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.counts import Counts
from vwo_celery.queue.words.registration import Registration
from vwo_celery.sending.outcomes import UNSENT, Answer, Outcome, Verdict, backoff_seconds
from vwo_celery.signals import BatchReport

Told = TypeVar("Told")


class Announcement(NamedTuple):
    """A report on some events, and the signal that announces it."""

    report: BatchReport
    signal: Any


class Attempt(msgspec.Struct, frozen=True):
    """One attempt at one batch.

    Attributes:
        worker: The worker of this process.
        registration: The queue's registration.
        lease: The lease on the batch.
        probe: The circuit's token if this attempt is its probe; "" if it is an ordinary one.
        ack: Forgets the batch, since VWO accepted it, with what is counted of that; raises
            QueueUnavailable.
    """

    worker: Worker
    registration: Registration
    lease: Lease
    probe: str
    ack: Callable[[Counts], object]

    @property
    def batch(self) -> Batch:
        """The batch, as it was claimed."""
        return self.lease.batch

    @property
    def age_seconds(self) -> float:
        """Age of the batch's oldest event now."""
        batch, passed = self.batch, self.worker.clock() - self.lease.claimed_at
        return (batch.claimed_ms - batch.first_ms) / 1000 + passed

    @property
    def shards(self) -> list[Shard]:
        """All shards of the queue, and the batch's own even if it is beyond their number."""
        fleet, queue = self.worker.fleet, self.registration.destination.queue
        numbers = {*range(self.registration.shards), self.lease.shard.number}
        return [fleet.shard(queue, number) for number in sorted(numbers)]

    def at_each_shard(self, act: Callable[[Shard], Told]) -> list[Told]:
        """What *act* returns for each shard, without those on a part of a Cluster that is away."""
        fleet, own = self.worker.fleet, self.lease.shard.number
        told: list[Told] = []
        for shard in self.shards:
            if fleet.in_cluster and shard.number != own:
                other = fleet.brief.shard(shard.queue, shard.number)
                told += fleet.brief.on_part_of(other, lambda other=other: [act(other)], [])
            else:
                told.append(act(shard))
        return told

    def announcement(self, signal: Any, encoded: Sequence[bytes], **facts: Any) -> Announcement:
        """Report on some of the batch's events; *facts* are arguments of `BatchReport`."""
        batch = self.batch
        report = BatchReport(
            self.registration.destination,
            list(encoded),
            batch=batch.id,
            attempt=batch.attempt,
            oldest_age_seconds=(batch.claimed_ms - batch.first_ms) / 1000,
            **facts,
        )
        return Announcement(report, signal)


def keep_lease(attempt: Attempt) -> bool:
    """Extend the lease if it could end within a POST; False if the batch is no longer leased to us."""
    settings, lease = attempt.worker.settings, attempt.lease
    if lease.handed_back:
        return False
    passed = attempt.worker.clock() - lease.renewed_at
    if passed + settings.request_timeout_seconds < settings.lease_seconds:
        return True
    lease.renewed_at = attempt.worker.clock()
    return lease.extend(lease_seconds=settings.lease_seconds)


def send(attempt: Attempt, encoded: Sequence[bytes]) -> Answer:
    """POST some events, and have the request counted when the batch is settled."""
    destination = attempt.registration.destination
    sender = attempt.worker.senders.get(destination)
    if destination.is_single:
        answer = sender.send_single(encoded)
    else:
        answer = sender.send(body(encoded), events=len(encoded))
    if answer.failure not in UNSENT:
        seconds = answer.elapsed_seconds
        attempt.lease.count(counts.request(answer.word, seconds=seconds, events=len(encoded)))
    return answer


def delay_seconds(attempt: Attempt, outcome: Outcome) -> float:
    """Draw the delay after a failure: random, and at least as long as VWO asked for."""
    settings = attempt.worker.settings
    return backoff_seconds(
        attempt.batch.attempt,
        base=settings.backoff_base_seconds,
        maximum=settings.backoff_max_seconds,
        floor=outcome.retry_after_seconds,
        random=random.random,
    )


def release_after(attempt: Attempt, exc: Exception) -> None:
    """Release the batch after an unexpected error; hand it back, uncounted, after an interruption.

    Celery raises errors from its signal handlers, into whatever code runs at that moment: at a soft
    time limit, and at the cold shutdown of the pool solo.
    """
    if attempt.worker.stopping() or attempt.worker.is_interruption(exc):
        attempt.lease.hand_back()
        return
    error = f"the worker failed: {type(exc).__name__}"
    outcome = Outcome(verdict=Verdict.RELEASE, error=error)
    delay, batch = delay_seconds(attempt, outcome), attempt.batch
    try:
        released = attempt.lease.release(delay_seconds=delay, error=error, refused=False)
    except QueueUnavailable as gone:
        log.warning("batch %s is claimed again after its lease: %s", batch.id, gone)
        return
    if released:
        failed = attempt.announcement(
            signals.batch_released, (), error=error, retry_in_seconds=delay
        )
        failed.report.count, failed.report.size_bytes = batch.events, batch.bytes
        attempt.worker.batch_log.write(failed)  # no signal: the error goes to Celery
