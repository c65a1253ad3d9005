"""The fleet under test: applications, a worker, a beat, Redis with its AOF, VWO's stand-in; relays.

All are real processes except VWO, which is a real HTTP server in this process. Applications and the
worker each reach Redis through a proxy of their own: one can lose it without the other. A program
that ends by itself is counted and started again, as a supervisor would do.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
from msgspec.structs import replace

import vwo_celery
from chaos.application import POISON, Load
from chaos.deployment import PYTHON_PATH, Deployment
from chaos.receipts import Receipts
from chaos.relayed import SPELLINGS
from chaos.relays import Relays
from chaos.stores import STORES, SingleStore
from chaos.vendor import Acceptance, Vendor, name_of
from tools.installation import KEY
from tools.processes import Process
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import Snapshot, take_snapshot, take_snapshots
from vwo_celery.queue.shard import Shard
from vwo_celery.testing import RedisServer, wait_for

EVENTS_PER_REQUEST = 20
PARALLEL_SENDS = 4
#: Most shards of a queue, in any row.
SHARDS = 4
LEASE_SECONDS = 6
REQUEST_TIMEOUT_SECONDS = 3
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


class Kit(msgspec.Struct, frozen=True):
    """Parts of a fleet; rows with the same kit share one fleet.
    Attributes:
        store: Store of the queues: "single", "sentinel" or "cluster".
        own_broker: Whether Celery's broker is a separate Redis; required unless the store is single.
        pool: Celery's worker pool.
        backoff_base_seconds: The workers' setting, of which the waits after a refusal are multiples.
        relays: Number of relays through which the applications send; 0 for none.
        relay_workers: Processes of each.
        relay_spool: Whether they have a spool.
    """

    store: str = "single"
    own_broker: bool = False
    pool: str = "prefork"
    backoff_base_seconds: float = 1.0
    relays: int = 0
    relay_workers: int = 1
    relay_spool: bool = True


PLAIN = Kit()


class Traffic(msgspec.Struct, frozen=True):
    """Load of each application; see `application.Load`.

    `forms` are those of the applications in turn, where they send through relays.
    """

    applications: int = 2
    per_second: float = 60.0
    burst: int = 30
    burst_every_seconds: float = 1.0
    jitter: float = 0.0
    poison_every: int = 0
    forms: tuple[str, ...] = ("legacy", "fme", "fme", "legacy")


class Fleet:
    """A running installation, used as a context; `open_queue` gives it a queue of its own.
    Args:
        folder: An empty folder for logs, receipts and spools.
        kit: Its parts.
    Attributes:
        broken: Set if its programs need not be waited for at the end.
    """

    def __init__(self, folder: Path, kit: Kit = PLAIN) -> None:
        self.folder = folder
        self.kit = kit
        self.store = STORES[kit.store](folder)
        self.broker = RedisServer(appendonly=True) if kit.own_broker else self.redis
        self.vendor = Vendor(_LATENCY_SECONDS)
        self.receipts = Receipts(folder)
        self.applications: list[Process] = []
        self.worker: Process | None = None
        self.steady: Process | None = None
        self.beats: list[Process] = []
        self.deaths: list[str] = []
        self.broken = False
        self.account = _FIRST_ACCOUNT
        self.traffic = Traffic()
        self._names = 0
        self._account_of: dict[str, int] = {}
        self._run_folder = folder

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
            self.end_applications()
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

    # -- its parts

    def open_queue(self, traffic: Traffic, **env: str) -> None:
        """Switch to a new queue, and start applications that fill it.
        Args:
            traffic: Their load.
            env: Their settings.
        """
        self.account += 1
        self._run_folder = self.folder / str(self.account)
        self._run_folder.mkdir()
        self.receipts, self.traffic, self.deaths = Receipts(self._run_folder), traffic, []
        self.start_applications(**env)

    def start_applications(self, **env: str) -> None:
        """Start the missing applications."""
        settings = {
            "VWO_CELERY_REDIS_URL": self.store.applications_url,
            "VWO_CELERY_SPOOL_DIR": str(self._run_folder / "spool"),
            "VWO_CELERY_MAX_PARALLEL_SENDS": str(PARALLEL_SENDS),
            "PYTHONPATH": PYTHON_PATH,
        }
        for _ in range(self.traffic.applications):
            self._names += 1
            load = self._load(f"app{self._names}")
            process = Process(
                "python", "-m", "chaos.application", load,
                folder=self._run_folder, name=f"app{self._names}", env={**settings, **env},
            )  # fmt: skip
            process.start()
            self.applications.append(process)

    def _load(self, name: str) -> str:
        traffic, number = self.traffic, len(self.applications)
        self._account_of[name] = self.accounts[number % len(self.accounts)]
        load = Load(
            name=name,
            receipts=str(self.receipts.file(name)),
            quiet=str(self._quiet),
            account=self._account_of[name],
            sdk_key=KEY,
            base_url=self.vendor.url,
            per_second=traffic.per_second,
            burst=traffic.burst,
            burst_every_seconds=traffic.burst_every_seconds,
            jitter=traffic.jitter,
            seed=self._names,
            poison_every=traffic.poison_every,
            batch={"events_per_request": EVENTS_PER_REQUEST, "request_time_interval": 1},
            relays=tuple(self.relays.ports.values()),
            form=traffic.forms[number % len(traffic.forms)],
        )
        return json.dumps(msgspec.to_builtins(load))

    @property
    def _quiet(self) -> Path:
        return self._run_folder / "quiet"

    def hush_applications(self) -> None:
        """Stop the applications' events; the processes stay."""
        self._quiet.touch()

    def kill_applications(self) -> None:
        """End all applications with SIGKILL."""
        for process in self.applications:
            process.kill()
        self.applications.clear()

    def end_applications(self) -> None:
        """End all applications by SIGTERM."""
        for process in self.applications:
            process.ask_to_end()
        for process in self.applications:
            process.stop()
        self.applications.clear()

    def spool_files(self) -> list[Path]:
        """Spool files of the applications, or of the relays."""
        spool = self.relays.spool if self.kit.relays else self._run_folder / "spool"
        return sorted(spool.glob("*.sqlite3"))

    def spooled(self) -> int:
        """Number of events in these files."""
        found = 0
        for path in self.spool_files():
            with (
                suppress(sqlite3.OperationalError),  # removed meanwhile, since it was empty
                closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database,
            ):
                found += database.execute("SELECT count(*) FROM events").fetchone()[0]
        return found

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
        programs = (*self.beats, *self.applications, *self.relays.running)
        for process in [self.worker, self.steady, *programs]:
            code = process.exit_code if process is not None else None
            if process is not None and code is not None:
                self.deaths.append(f"{process.name} ended with {code}")
                process.start()

    # -- its state

    @property
    def shards(self) -> list[Shard]:
        """Every shard that the present queues may have, reached without a proxy."""
        queues = [
            vwo_celery.connect(destination, redis=self.client, shards=SHARDS)
            for destination in self._destinations()
        ]
        return [shard for queue in queues for shard in producer_of(queue).shards]

    def _destinations(self) -> list[vwo_celery.Destination]:
        """Of the present queue; behind relays, of each account's two."""
        if not self.kit.relays:
            return [
                vwo_celery.Destination(
                    account_id=self.account, sdk_key=KEY, generation="legacy",
                    base_url=self.vendor.url,
                )
            ]  # fmt: skip
        generations: tuple[vwo_celery.Generation, ...] = ("legacy", "fme")
        return [
            vwo_celery.Destination(
                account_id=account, sdk_key=KEY, generation=generation, base_url=self.vendor.url,
                query=SPELLINGS[generation],
            )
            for account in self.accounts for generation in generations
        ]  # fmt: skip

    @property
    def accounts(self) -> list[int]:
        """The accounts of the applications in turn."""
        return [self.account, self.account + _NEIGHBOUR][: 2 if self.kit.relays else 1]

    @property
    def shard(self) -> Shard:
        """The present queue's first shard, in most rows its only one."""
        return self.shards[0]

    def snapshot(self) -> Snapshot:
        """The snapshot of the present queue, all its shards together."""
        return _together(take_snapshots(self.shards))

    def held(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of the events in Redis: dead, and waiting."""
        shards = self.shards
        rest = [key for shard in shards for key in _batches_in(shard, dead=False)]
        dead = [key for shard in shards for key in _batches_in(shard, dead=True)]
        return self._names_in(dead), self._names_in([*rest, *(s.keys.open for s in shards)])

    def unreadable(self) -> frozenset[str]:
        """Names of the dead letters that VWO's stand-in treats as unreadable."""
        dead = [key for shard in self.shards for key in _batches_in(shard, dead=True)]
        events = map(json.loads, self._events_in(dead))
        return frozenset(event["u"] for event in events if event.get("visitor_ua") == POISON)

    def _names_in(self, keys: list[str]) -> frozenset[str]:
        return frozenset(map(name_of, self._events_in(keys)))

    def _events_in(self, keys: list[str]) -> list[bytes]:
        return [text for key in keys for text in self.client.lrange(key, 0, -1)]

    def asked(self) -> int:
        """Number of requests that VWO got for the present accounts."""
        return sum(self.vendor.asked[str(account)] for account in self.accounts)

    def taken(self) -> dict[str, list[Acceptance]]:
        """The events that VWO has accepted by name, with every acceptance."""
        taken = [self.vendor.taken(str(account)) for account in self.accounts]
        return {name: times for each in taken for name, times in each.items()}

    def misplaced(self) -> frozenset[str]:
        """Names of the events that VWO has accepted under another account than their own."""
        return frozenset(
            name
            for account in self.accounts
            for name in self.vendor.names(str(account))
            if self._account_of.get(name.rpartition("-")[0], account) != account
        )

    def forget(self) -> None:
        """Free the memory used for what VWO has accepted."""
        for account in self.accounts:
            self.vendor.forget(str(account))

    def accepted(self) -> frozenset[str]:
        """Names of the events that VWO has accepted."""
        return frozenset().union(*(self.vendor.names(str(each)) for each in self.accounts))

    def undelivered(self) -> frozenset[str]:
        """Promised events, by the receipts read last, that VWO has not accepted."""
        return frozenset(self.receipts.promised - self.accepted())


def _batches_in(shard: Shard, *, dead: bool) -> list[str]:
    """Keys of a shard's batches: of its dead letters, or of all others."""
    batches = take_snapshot(shard).batches
    return [shard.keys.batch(batch.id) for batch in batches if (batch.state == "dead") is dead]


def _together(shards: Sequence[Snapshot]) -> Snapshot:
    """One snapshot in place of several: numbers added up, times the latest."""
    first, dropped = shards[0], Counter[str]()
    for each in shards:
        dropped.update(each.dropped)
    added = ("open_events", "accepted", "delivered", "refused", "counted_events", "counted_bytes")
    latest = ("held_until_ms", "redis_lost_ms", "forgotten_ms")
    return replace(
        first,
        batches=tuple(batch for each in shards for batch in each.batches),
        dropped=dict(dropped),
        paused=next((each.paused for each in shards if each.paused), ""),
        **{name: sum(getattr(each, name) for each in shards) for name in added},
        **{name: max(getattr(each, name) for each in shards) for name in latest},
    )
