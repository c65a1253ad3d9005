"""The state of a worker process between batches: connections, leases, registrations read lately.

Stages 3 to 6 of an event's way use it. If the process dies, only its leases are lost, and they run
out.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable

from vwo_celery.clocks import monotonic
from vwo_celery.delivering.batch_log import BatchLog, Unsaid
from vwo_celery.delivering.declining import Declining
from vwo_celery.delivering.leases import Leases
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import SeldomLog, log_once
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.circuit import Circuit
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration, Wakeup
from vwo_celery.queue.work.sweeping import tokens
from vwo_celery.sending.sender import Senders
from vwo_celery.settings import Settings

#: Age up to which a registration is used again without a look into Redis, in seconds.
_REGISTRATION_TTL_SECONDS = 10.0


def process_name() -> str:
    """Name of this process among the workers: host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Worker:
    """The connections, leases and settings with which one process delivers.

    Args:
        fleet: The queues.
        settings: The settings of this worker.
        wake: Has a `deliver` task run for a wake-up; must not raise.
        clock: Monotonic clock, in seconds.
        stopping: Whether the process is about to end, so that it must claim nothing more.
        interruptions: Exceptions that may be raised into any step of a delivery from outside, as at a
            time limit. A batch is handed back for them.
        name: The name under which the worker listens; "" for that of this process.

    Attributes:
        proven: Names of the queues of which VWO accepted something from this process. It outlives a
            Redis that comes back empty.
        batch_log: The log's lines on the batches of this process.
        dead: Dead letters of this process that no error has told of yet.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: Settings,
        wake: Callable[[Wakeup], None],
        clock: Callable[[], float] = monotonic,
        stopping: Callable[[], bool] = lambda: False,
        interruptions: tuple[type[Exception], ...] = (),
        name: str = "",
    ) -> None:
        self.fleet = fleet
        self.settings = settings
        self.wake = wake
        self.clock = clock
        self.stopping = stopping
        self._interruptions = interruptions
        self.name = name or process_name()
        self.declining = Declining(fleet, settings, self.name, clock)
        self.batch_log = BatchLog(self.name, clock)
        self.dead = Unsaid()
        self.leases = Leases()
        self.proven: set[str] = set()
        self.seldom = SeldomLog()
        self.once = log_once()
        self.senders = Senders(
            request_timeout_seconds=settings.request_timeout_seconds,
            allowed_hosts=settings.allowed_hosts,
        )
        self._registrations: dict[str, tuple[float, Registration]] = {}

    def is_interruption(self, exc: BaseException) -> bool:
        """Whether an exception, or the one that it was made of, came from outside."""
        return any(isinstance(each, self._interruptions) for each in (exc, exc.__cause__))

    def registration(self, queue: str, shard: int = 0) -> Registration:
        """Return a queue's registration, at most a few seconds old unless it cannot be read.

        Args:
            queue: Its name.
            shard: The shard that is served, which has a copy.

        Raises:
            QueueUnknown: The queue is not registered.
            QueueUnavailable: Redis did not answer, and this worker has never read it.
        """
        _, known = self._registrations.get(queue, (0.0, None))
        if known is not None and self.knows(queue):
            return known
        try:
            found = self.fleet.registration(queue, shard)
        except QueueUnavailable:
            if known is None:
                raise
            found = known
        self._registrations[queue] = (self.clock(), found)
        return found

    def knows(self, queue: str) -> bool:
        """Whether a queue's registration was read lately, so that it is used without another look."""
        read_at, known = self._registrations.get(queue, (0.0, None))
        return known is not None and self.clock() - read_at <= _REGISTRATION_TTL_SECONDS

    def wake_all(self, shard: Shard, stem: str, count: int) -> None:
        """Have a task run for each slot that a script took under *stem*; may wait for the broker."""
        for token in tokens(stem, count):
            self.wake(Wakeup(shard.queue, shard.number, token))

    def circuit(self, queue: str) -> Circuit:
        """Return the circuit of a queue's destination."""
        # In a Cluster it may lie on a part that is away, for which no batch of another waits.
        return Circuit(self.fleet.reader.client, queue, self.settings, random.random)
