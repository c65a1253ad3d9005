"""Stage 3 of an event's way: the claims of one task, each after the batch before it is settled.

Where a task surely goes on, and nothing of the application's runs in between, the next batch is claimed
in the packet of the ack before it. An ack never waits for that: where a look into Redis would have to
tell whether the task goes on, it leaves alone. If the process dies in here, a lease runs out.
"""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple

from vwo_celery.delivering.announcing import is_heard
from vwo_celery.delivering.leases import Lease
from vwo_celery.delivering.probing import claim_probe
from vwo_celery.delivering.turns import Turn
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.queue.words.batches import Batch, Held
from vwo_celery.queue.words.counts import NOTHING, Counts
from vwo_celery.queue.words.registration import Registration, Wakeup
from vwo_celery.queue.work.succession import Successor, claim_following, foreseen_after

_LEFT = "this worker leaves the queue to others"
_NOTHING = "no batch could be claimed: none is due, or the queue is stopped"


class Claimed(NamedTuple):
    """A batch that was claimed.

    Attributes:
        registration: The queue's registration.
        lease: The lease on the batch.
        probe: The circuit's token if it was claimed as a probe, else "".
    """

    registration: Registration
    lease: Lease
    probe: str


class Claims:
    """The claims of one task; what it claimed and has not begun is handed back at the block's end.

    Args:
        worker: The worker of this process.
        wakeup: The shard, and the slot that the first claim gives back.
        turn: The time of the task.

    Attributes:
        why_none: Why nothing was claimed when `next` returned None; "" if the turn is over.
    """

    def __init__(self, worker: Worker, wakeup: Wakeup, turn: Turn) -> None:
        self.why_none = ""
        self._worker = worker
        self._shard = worker.fleet.shard(wakeup.queue, wakeup.shard)
        self._token = wakeup.token
        self._turn = turn
        self._following = ""
        self._ahead: Claimed | None = None
        self._is_empty = False

    def next(self) -> Claimed | None:
        """Claim the batch that has waited longest, if it was not claimed with the last ack.

        Returns:
            The batch; None if the turn is over, or nothing may be claimed.

        Raises:
            QueueUnknown: The queue is not registered.
            QueueUnavailable: Redis did not answer.
        """
        if self._worker.stopping():
            return None
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            return ahead
        return None if self._turn.is_over() else self._claim()

    def _claim(self) -> Claimed | None:
        worker, shard = self._worker, self._shard
        registration = worker.registration(shard.queue, shard.number)
        if worker.declining.leaves(registration, shard, self._token):
            self.why_none = _LEFT
            return None
        asked = worker.clock()  # the lease begins later, by Redis' clock
        found, events = (None, None) if self._is_empty else self._ask()
        probe = ""
        if isinstance(found, Held):
            found, probe = claim_probe(worker, shard)
        if found is None:
            self.why_none = _NOTHING
            return None
        self._token = ""
        return Claimed(registration, Lease(shard, found, asked, events), probe)

    def _ask(self) -> Successor:
        following, self._following = self._following, ""
        lease_seconds = self._worker.settings.lease_seconds
        told = None
        if following:
            told = claim_following(self._shard, following, lease_seconds=lease_seconds)
        if told is None:
            told = Successor(self._shard.claim(token=self._token, lease_seconds=lease_seconds))
        return told

    def ack(self, claimed: Claimed, counts: Counts = NOTHING) -> None:
        """Forget a batch that VWO accepted; claim the next in the same packet where nothing is between.

        Args:
            claimed: The batch.
            counts: What was counted of it, beside what its lease knows.

        Raises:
            QueueUnavailable: Redis did not answer; the batch may be claimed again.
        """
        worker, lease = self._worker, claimed.lease
        self._following = foreseen_after(lease.batch)
        if not self._goes_on(claimed):
            lease.ack(counts)
            return
        asked = worker.clock()
        told = lease.ack_and_claim(counts, lease_seconds=worker.settings.lease_seconds)
        if told is None or isinstance(told.found, Held):
            return  # a claim alone tells what is the matter, or asks the circuit
        self._following, self._is_empty = "", told.found is None
        if isinstance(told.found, Batch):
            following = Lease(lease.shard, told.found, asked, told.events)
            worker.leases.keep(following)
            self._ahead = claimed._replace(lease=following)

    def _goes_on(self, claimed: Claimed) -> bool:
        """Whether the task surely claims again, at once; asks nobody."""
        worker, registration, lease = self._worker, claimed.registration, claimed.lease
        is_usual = not claimed.probe and lease.batch.passed is None and not lease.handed_back
        return (
            is_usual
            and self._turn.goes_on()
            and worker.knows(registration.destination.queue)
            and not is_heard(registration)
            and not worker.declining.hinders(registration)
            and not worker.stopping()
        )

    def __enter__(self) -> Claims:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        lease = ahead.lease
        with self._worker.leases.holding(lease):
            try:
                lease.hand_back()
            except QueueUnavailable as gone:
                log.warning("batch %s is claimed again after its lease: %s", lease.batch.id, gone)
        self._worker.wake_all(lease.shard, lease.batch.help_token, lease.batch.wakeups)
