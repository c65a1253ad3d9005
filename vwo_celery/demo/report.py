"""The demo's result: every number is counted where it arises, and compared with the others.

Pure. The receipts of the replicas are compared with what VWO's stand-in
saw, event by event, and with the ledger in Redis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from vwo_celery.demo.deliveries import Delivery
from vwo_celery.demo.progress import undelivered
from vwo_celery.demo.replica import ReplicaReport
from vwo_celery.operating.looks.inspector import Ledger
from vwo_celery.testing.standin.tally import Stats


class Sum(msgspec.Struct, frozen=True):
    """The demo's result.

    Attributes:
        replicas: Number of replicas that reported.
        enqueued: Events with a receipt that promises delivery.
        dropped: Events with a receipt that says they were dropped.
        delivered: Of those enqueued, how many VWO saw.
        lost: Of those enqueued, how many neither VWO saw nor Redis holds.
        duplicates: Times that VWO saw an event once more.
        strangers: Events that VWO saw and no replica enqueued.
        resent: Most duplicates that repeated attempts can have made.
        retried: Batches that were sent again.
        calls: Calls of the SDK.
        requests: Batch requests that VWO got.
        delay_p50: Median seconds from an event's making to its arrival.
        delay_p95: 95th percentile of that.
        call_p50: Median duration of a call of the SDK, seconds.
        enqueue_p50: Median duration of one enqueue within it.
        ledger: Of all queues together.
    """

    replicas: int
    enqueued: int
    dropped: int
    delivered: int
    lost: int
    duplicates: int
    strangers: int
    resent: int
    retried: int
    calls: int
    requests: int
    delay_p50: float | None
    delay_p95: float | None
    call_p50: float
    enqueue_p50: float
    ledger: Ledger

    @property
    def saved(self) -> int:
        """Requests saved, against one request for each call."""
        return self.calls - self.requests

    def problems(self) -> list[str]:
        """Every broken promise; empty if all were kept."""
        late = undelivered(self.ledger)
        found = {
            f"{self.lost:,} events are lost": self.lost,
            f"{late:,} events are not delivered yet": late,
            f"{self.ledger.dead:,} events are dead": self.ledger.dead,
            f"{self.dropped:,} events were dropped, as their receipts say": self.dropped,
            f"{self.strangers:,} events reached VWO that nobody enqueued": self.strangers,
            f"only {self.resent:,} of {self.duplicates:,} duplicates are explained by batches that "
            "were sent again": self.duplicates > self.resent,
            "the ledger is out of balance": not self.ledger.balanced,
            f"the ledger counts {self.ledger.accepted:,} events, the receipts {self.enqueued:,}": (
                self.ledger.accepted != self.enqueued
            ),
            "nothing was enqueued": not self.enqueued,
        }
        return [problem for problem, holds in found.items() if holds]


def add_up(
    reports: Sequence[ReplicaReport],
    journal: Iterable[str],
    stats: Stats,
    ledger: Ledger,
    deliveries: Iterable[Delivery],
) -> Sum:
    """Compute the result.

    Args:
        reports: The reports of the replicas.
        journal: Digest of each event that VWO saw, repeats included.
        stats: VWO's own counts.
        ledger: Of all queues together, as Redis has it.
        deliveries: The batches that workers say VWO accepted.
    """
    enqueued = Counter(digest for report in reports for digest in report.enqueued)
    dropped = Counter(digest for report in reports for digest in report.dropped)
    seen = Counter(journal)
    missing = (enqueued - seen).total()
    retried = [each for each in deliveries if each.attempt > 1]
    calls = [seconds for report in reports for seconds in report.call_seconds]
    enqueues = [seconds for report in reports for seconds in report.enqueue_seconds]
    return Sum(
        replicas=len(reports),
        enqueued=enqueued.total(),
        dropped=dropped.total(),
        delivered=enqueued.total() - missing,
        lost=max(0, missing - undelivered(ledger) - ledger.dead),
        duplicates=sum(n - max(1, enqueued[each]) for each, n in seen.items()),
        strangers=sum(1 for each in seen if each not in enqueued and each not in dropped),
        resent=sum((each.attempt - 1) * each.events for each in retried),
        retried=len(retried),
        calls=len(calls),
        requests=stats.requests,
        delay_p50=stats.delay_seconds.p50,
        delay_p95=stats.delay_seconds.p95,
        call_p50=median(calls) if calls else 0.0,
        enqueue_p50=median(enqueues) if enqueues else 0.0,
        ledger=ledger,
    )
