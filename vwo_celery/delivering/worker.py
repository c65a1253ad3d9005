"""What a worker process needs to deliver: its connections, its leases, what it has read lately.

Stages 3 to 6 of an event's way stand on it. It holds nothing that is lost with the process but the
leases, which then run out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from vwo_celery.delivering.leases import Leases
from vwo_celery.logs import SeldomLog, log_once
from vwo_celery.queue.circuit import Circuit
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.registration import Registration, Wakeup
from vwo_celery.sending.sender import Senders
from vwo_celery.settings import Settings

_REGISTRATION_TTL_SECONDS = 10.0


class Worker:
    """One for each process.

    Args:
        fleet: The queues.
        settings: This worker's.
        wake: Takes a wake-up and sees to it that a `deliver` task runs for it; must not raise.
        clock: Seconds that only rise.
        stopping: Whether the process is about to end, so that nothing more is to be claimed.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: Settings,
        wake: Callable[[Wakeup], None],
        clock: Callable[[], float] = time.monotonic,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.fleet = fleet
        self.settings = settings
        self.wake = wake
        self.clock = clock
        self.stopping = stopping
        self.leases = Leases()
        self.seldom = SeldomLog()
        self.once = log_once()
        self.senders = Senders(
            request_timeout_seconds=settings.request_timeout_seconds,
            allowed_hosts=settings.allowed_hosts,
        )
        self._registrations: dict[str, tuple[float, Registration]] = {}

    def registration(self, queue: str) -> Registration:
        """A queue's registration, a few seconds old at most."""
        read_at, registration = self._registrations.get(queue, (0.0, None))
        if registration is None or self.clock() - read_at > _REGISTRATION_TTL_SECONDS:
            registration = self.fleet.registration(queue)
            self._registrations[queue] = (self.clock(), registration)
        return registration

    def circuit(self, queue: str) -> Circuit:
        """The circuit of a queue's destination."""
        return Circuit(self.fleet.client, queue, self.settings, random.random)
