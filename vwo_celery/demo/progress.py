"""The demo's progress: numbers of one moment, from Redis, from VWO's stand-in and the replicas.

It changes nothing.
"""

from __future__ import annotations

import msgspec

from vwo_celery.demo.alive import read_calls
from vwo_celery.demo.stage import Stage
from vwo_celery.operating.looks.inspector import Ledger, view_queues
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.snapshots import take_snapshot


class Moment(msgspec.Struct, frozen=True):
    """The demo now.

    Attributes:
        accepted: Events in the ledger.
        delivered: Events that VWO accepted, by the ledger.
        waiting: Events that are open or ready.
        in_flight: Events in batches that a worker holds.
        requests: Batch requests at VWO.
        calls: Calls of the SDK.
        running: Names of workers and beat that run.
        gone: Names of those that do not.
    """

    accepted: int = 0
    delivered: int = 0
    waiting: int = 0
    in_flight: int = 0
    requests: int = 0
    calls: int = 0
    running: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def saved(self) -> int:
        """Requests saved, against one request for each call."""
        return max(0, self.calls - self.requests)


def take_moment(fleet: Fleet, stage: Stage) -> Moment:
    """The demo as it is now.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    ledger = take_ledger(fleet)
    stats = stage.stats()
    programs = [*stage.workers, *([stage.beat] if stage.beat is not None else [])]
    numbers = range(1, len(stage.replicas) + 1)
    return Moment(
        accepted=ledger.accepted,
        delivered=ledger.delivered,
        waiting=ledger.pending,
        in_flight=ledger.in_flight,
        requests=stats.requests if stats is not None else 0,
        calls=sum(read_calls(stage.alive_path(number)) for number in numbers),
        running=tuple(child.name for child in programs if child.running),
        gone=tuple(child.name for child in programs if not child.running),
    )


def take_ledger(fleet: Fleet) -> Ledger:
    """The ledger of all queues together; the demo has one."""
    ledgers = [view.ledger for view in view_queues(fleet, fleet.registrations().readable)]

    def total(name: str) -> int:
        return sum(getattr(ledger, name) for ledger in ledgers)

    return Ledger(
        queue=", ".join(ledger.queue for ledger in ledgers),
        accepted=total("accepted"),
        delivered=total("delivered"),
        dead=total("dead"),
        dropped=total("dropped"),
        pending=total("pending"),
        in_flight=total("in_flight"),
        released=total("released"),
        balanced=all(ledger.balanced for ledger in ledgers),
    )


def undelivered(ledger: Ledger) -> int:
    """Events that are still on their way."""
    return ledger.pending + ledger.in_flight + ledger.released


def batches_in_flight(fleet: Fleet) -> dict[str, int]:
    """Batches that a worker holds now, with their numbers of events."""
    return {
        batch.id: batch.events
        for queue, registration in fleet.registrations().readable.items()
        for number in range(registration.shards)
        for batch in take_snapshot(fleet.shard(queue, number)).batches
        if batch.state == "in_flight"
    }
