"""The fleet under test: applications, a worker, a beat, Redis with its AOF, VWO's stand-in; relays.

All are real processes except VWO, which is a real HTTP server in this process. Applications and the
worker each reach Redis through a proxy of their own: one can lose it without the other. A program
that ends by itself is counted and started again, as a supervisor would do.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil

from chaos.applications import Applications
from chaos.deployment import Deployment
from chaos.fates import Fates
from chaos.kit import (
    EVENTS_PER_REQUEST,
    LEASE_SECONDS,
    PARALLEL_SENDS,
    PLAIN,
    REQUEST_TIMEOUT_SECONDS,
    Kit,
    Traffic,
)
from chaos.receipts import Receipts
from chaos.relays import Relays
from chaos.stores import STORES, SingleStore
from chaos.vendor import Vendor
from tools.processes import Process
from vwo_celery.testing import RedisServer, wait_for

#: Long enough that a worker is often interrupted in the middle of a POST.
_LATENCY_SECONDS = 0.02
_POLL_SECONDS = 0.05
_FIRST_ACCOUNT = 700_000
#: From an account to the second one that uses the same relays.
_NEIGHBOUR = 100_000

_WORKER_ENV = {
    "VWO_CELERY_LEASE_SECONDS": str(LEASE_SECONDS),
    "VWO_CELERY_REQUEST_TIMEOUT_SECONDS": str(REQUEST_TIMEOUT_SECONDS),
    "VWO_CELERY_SWEEP_INTERVAL_SECONDS": "0.5",
    "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT": "5",
}


class Fleet:
    """A running installation, used as a context; `open_queue` gives it a queue of its own.
    Args:
        folder: An empty folder for logs, receipts and spools.
        kit: Its parts.
    Attributes:
        applications: The programs that fill the present queue.
        fates: Where the events of the present queue are, from the first `open_queue` on.
        broken: Set if its programs need not be waited for at the end.
    """

    def __init__(self, folder: Path, kit: Kit = PLAIN) -> None:
        self.folder = folder
        self.kit = kit
        self.store = STORES[kit.store](folder)
        self.broker = RedisServer(appendonly=True) if kit.own_broker else self.redis
        self.vendor = Vendor(_LATENCY_SECONDS)
        self.worker: Process | None = None
        self.steady: Process | None = None
        self.beats: list[Process] = []
        self.deaths: list[str] = []
        self.broken = False
        self.account = _FIRST_ACCOUNT

    def __enter__(self) -> Fleet:
        with ExitStack() as stack:
            stack.enter_context(self.store)
            stack.enter_context(self.broker if self.kit.own_broker else nullcontext())
            stack.enter_context(self.vendor)
            self.installation = Deployment(self.store.worker_url, self.vendor, self.folder)
            broker = self.broker.url if self.kit.own_broker else self.store.worker_url
            self.installation.env |= {**_WORKER_ENV, "VWO_CELERY_BROKER_URL": broker}
            base = str(self.kit.backoff_base_seconds)
            self.installation.env["VWO_CELERY_BACKOFF_BASE_SECONDS"] = base
            self.applications = Applications(self.store.applications_url, self.vendor.url)
            stack.callback(self._end_programs)
            self.beats = [self.installation.beat()]
            self.start_worker()
            self.relays = self._relays()
            stack.callback(self._end_relays)
            self.relays.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end_programs(self) -> None:
        try:
            self.applications.end()
            if not self.broken:
                self.installation.stop()
        finally:
            self.installation.kill()

    def _relays(self) -> Relays:
        env = {
            "VWO_CELERY_REDIS_URL": self.store.applications_url,
            "VWO_CELERY_RELAY_UPSTREAM": self.vendor.url,
            "VWO_CELERY_RELAY_EVENTS_PER_REQUEST": str(EVENTS_PER_REQUEST),
            "VWO_CELERY_RELAY_REQUEST_TIME_INTERVAL": "1",
            "VWO_CELERY_MAX_PARALLEL_SENDS": str(PARALLEL_SENDS),
        }
        if not self.kit.relay_spool:
            env["VWO_CELERY_SPOOL_DIR"] = ""
        return Relays(self.folder, self.kit.relays, self.kit.relay_workers, env)

    def _end_relays(self) -> None:
        try:
            if not self.broken:
                self.relays.stop()
        finally:
            self.relays.kill()

    @property
    def single(self) -> SingleStore:
        """The store, which must be a single Redis."""
        assert isinstance(self.store, SingleStore)
        return self.store

    @property
    def redis(self) -> RedisServer:
        """The single store's server."""
        return self.single.server

    @property
    def client(self) -> Any:
        """A client for reading the store, which no fault affects."""
        return self.store.client

    @property
    def receipts(self) -> Receipts:
        """What the applications were told of the events of the present queue."""
        return self.applications.receipts

    # -- its parts

    def open_queue(self, traffic: Traffic, **env: str) -> None:
        """Switch to a new queue, and start applications that fill it.
        Args:
            traffic: Their load.
            env: Their settings.
        """
        self.account += 1
        self.deaths = []
        folder = self.folder / str(self.account)
        folder.mkdir()
        accounts = [self.account, self.account + _NEIGHBOUR][: 2 if self.kit.relays else 1]
        self.applications.turn_to(folder, traffic, accounts, [*self.relays.ports.values()])
        self.fates = Fates(
            client=self.store.client,
            vendor=self.vendor,
            receipts=self.applications.receipts,
            accounts=accounts,
            account_of=self.applications.account_of,
            spool=self.relays.spool if self.kit.relays else self.applications.spool,
            relayed=self.kit.relays > 0,
        )
        self.applications.start(**env)

    def start_worker(self, **env: str) -> None:
        """Start the worker, and return when it accepts tasks."""
        self.worker = self.installation.worker(f"--pool={self.kit.pool}", **env)

    def start_steady_worker(self) -> Process:
        """Start another worker, which no fault ends."""
        self.steady = self.installation.worker(f"--pool={self.kit.pool}", name="steady")
        return self.steady

    def end_worker(self, how: signal.Signals) -> Process:
        """Send the worker a signal; the caller waits for its end."""
        worker = self.take_worker()
        os.kill(worker.pid, how)
        return worker

    def take_worker(self) -> Process:
        """The worker, which is no longer started again if it ends."""
        worker, self.worker = self.worker, None
        assert worker is not None
        return worker

    def worker_children(self) -> list[psutil.Process]:
        """The worker's pool processes."""
        assert self.worker is not None
        return list(psutil.Process(self.worker.pid).children(recursive=True))

    # -- time

    def hold(self, seconds: float) -> None:
        """Let the fleet run for this time, restarting programs as a supervisor would."""
        end = time.monotonic() + seconds
        with suppress(TimeoutError):
            self.wait_until(lambda: time.monotonic() >= end, seconds + 1)

    def wait_until(
        self, predicate: Callable[[], Any], timeout_seconds: float, what: str = ""
    ) -> None:
        """Return once *predicate* holds; meanwhile start programs again that end by themselves.
        Raises:
            TimeoutError: It did not hold in time.
        """

        def look() -> Any:
            self._start_again()
            return predicate()

        wait_for(look, timeout_seconds, what=what, every_seconds=_POLL_SECONDS)

    def _start_again(self) -> None:
        programs = (*self.beats, *self.applications.running, *self.relays.running)
        for process in [self.worker, self.steady, *programs]:
            code = process.exit_code if process is not None else None
            if process is not None and code is not None:
                self.deaths.append(f"{process.name} ended with {code}")
                process.start()
